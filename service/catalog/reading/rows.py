"""Rows become items, as they will be written into answers.

Longer than 300 lines: the checks of one row share what is known of its file.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from operator import itemgetter
from typing import IO, Any, Final, NamedTuple

from service.catalog.item import ITEM_COLUMNS, NotWritable, record_of
from service.catalog.reading.cells import FLOAT_ID, without_entities, without_mark
from service.catalog.reading.columns import Columns
from service.catalog.reading.encoding import is_broken
from service.catalog.reading.exclusion import Eligible, Exclusion
from service.catalog.reading.formats import open_rows, readable_errors
from service.catalog.reading.origins import as_text
from service.catalog.reading.ports import LineTrace, Record, RowSource, Sink, Surprise, TooLarge, Unreadable
from service.catalog.reading.prices import PriceVotes, Style, amount_of, may_be_price, plain_price, price_of
from service.catalog.reading.report import LACKING, CatalogReport, DropReason, RowTally
from service.catalog.reading.usual_lines import UsualLines
from service.constants import MAX_ID_CHARACTERS
from service.errors import CatalogError

_WEB: Final = re.compile(r"https?://[^/\s]")
_USUAL_WEB: Final = re.compile(r"https?://[!-.0-~][!-~]*")
_USUAL_PRICE: Final = re.compile(r"(?:0|[1-9][0-9]{0,5})\.[0-9]{1,2}")
"""What nearly every row of most files has, which needs no closer look."""

_ADDRESS: Final = re.compile(r"https?://[^/\s]\S*", re.IGNORECASE)
_NEXT_ADDRESS: Final = re.compile(r"\s*[,;|\s]\s*(?=https?://)", re.IGNORECASE)
"""What separates several images in one cell, as WooCommerce and PrestaShop write them."""

_ESCAPED: Final = "&amp;"
"""How HTML and XML write `&`: what a feed has of a page's address that somebody copied."""

_MARKS: Final = frozenset("'\"")

_ADDRESS_KEYS: Final = ("url", "src", "href", "link", "originalSrc")


class Fault(NamedTuple):
    """Why a row is not shown."""

    reason: DropReason
    value: object = None
    """What is wrong; None where nothing is there."""


@dataclass(slots=True)
class FileFacts:
    """What only the whole file can tell, as far as it is known."""

    is_known: bool = False
    """Whether the whole file has been looked at; until then it is taken for the usual one."""

    prices: PriceVotes = field(default_factory=lambda: PriceVotes(Counter()))
    ids: int = 0
    float_ids: int = 0

    @property
    def ids_are_floats(self) -> bool:
        """Whether every id is a whole number that pandas wrote as `1.0`."""
        return self.ids == self.float_ids


class RowReader:
    """Makes items of rows.

    Args:
        columns: Where rows hold what.
        facts: What is known of the file; None where rows come by themselves.
    """

    def __init__(self, columns: Columns, facts: FileFacts | None = None) -> None:
        places = {name: number for number, name in enumerate(columns.names) if name}
        self._raw = _raw_values(columns, places)
        self._places = [places[name] for name in columns.further if name in places]
        self._lost = [None] * len(columns.lost)
        self._has_currency = columns.has_own_currency
        self.columns: Final = columns
        self.knows_file: Final = facts is None or facts.is_known
        self._style: Style = facts.prices.style if facts is not None and facts.is_known else "point"
        self._float_ids = facts is not None and facts.ids_are_floats
        self.currency = ""
        """Of the last item's price."""

    @property
    def is_usual(self) -> bool:
        """Whether a price with a decimal point is read as it stands."""
        return self._style != "comma"

    def item(self, record: Record) -> tuple[dict[str, object], Fault | None]:
        """The five values in the order of the answer, and the first thing that is wrong with them.

        Raises:
            Surprise: A value can only be read when the whole file has been looked at.
        """
        raw_id, raw_url, raw_name, raw_price, raw_image = self._raw(record)
        item_id = raw_id if type(raw_id) is str else as_text(raw_id)
        if item_id[:1] in _MARKS:
            item_id = without_mark(item_id)
        if item_id.endswith(".0"):
            item_id = self._without_point(item_id)
        url = raw_url if type(raw_url) is str and _is_address(raw_url) else _address(raw_url)
        name = raw_name if type(raw_name) is str else as_text(raw_name)
        if "&" in name and ";" in name:
            name = without_entities(name)
        is_one = type(raw_image) is str and "," not in raw_image and _is_address(raw_image)
        image = raw_image if is_one else _image(raw_image)
        price = self._amount(raw_price)
        item: dict[str, object] = {"id": item_id, "url": url, "name": name, "price": price, "image": image}
        if item_id and url and name and image and price is not None and len(item_id) <= MAX_ID_CHARACTERS:
            return item, None
        return item, self._fault(item, raw_url, raw_price, raw_image)

    def observe(self, record: Record, facts: FileFacts) -> None:
        """Let a row tell what it can of the file."""
        raw_id, _, _, raw_price, _ = self._raw(record)
        facts.prices.count(raw_price)
        item_id = as_text(raw_id)
        facts.ids += bool(item_id)
        facts.float_ids += FLOAT_ID.fullmatch(item_id) is not None

    def further(self, record: Record) -> list[object]:
        """The values of the further columns."""
        values = [record[place] for place in self._places]
        if self._has_currency:
            values.append(self.currency or None)
        return values + self._lost

    def mapping(self, item: Mapping[str, object], record: Record) -> dict[str, object]:
        """The row by column name; an item's columns are as they will be shown, under both names."""
        row = {**item, **dict(zip(self.columns.further, self.further(record), strict=True))}
        for ours, origin in self.columns.ours.items():
            if origin.column is not None:
                row[origin.column] = item[ours]
        return row

    def _without_point(self, item_id: str) -> str:
        match = FLOAT_ID.fullmatch(item_id)
        if match is not None and not self.knows_file:
            raise Surprise
        return match[1] if match is not None and self._float_ids else item_id

    def _amount(self, value: object) -> int | float | None:
        if type(value) is str:
            if self._style != "comma" and _USUAL_PRICE.fullmatch(value) is not None:
                self.currency = ""
                return float(value) or 0
            plain = plain_price(value, self._style)
            if plain is not None:
                self.currency = ""
                return amount_of(plain)
            if not self.knows_file and may_be_price(value):
                raise Surprise
        elif type(value) in (dict, list) and not self.knows_file:
            raise Surprise
        price = price_of(value, self._style)
        self.currency = price.currency
        return price.amount

    def _fault(self, item: Mapping[str, object], url: object, price: object, image: object) -> Fault:
        item_id = str(item["id"])
        if len(item_id) > MAX_ID_CHARACTERS:
            return Fault("long_id", item_id)
        if item_id and not item["url"] and url not in (None, ""):
            return Fault("bad_url", url)
        if item_id and item["url"] and item["name"] and item["price"] is None and price not in (None, ""):
            unclear = isinstance(price, str) and may_be_price(price)
            return Fault("unclear_price" if unclear else "bad_price", price)
        reason = next(reason for ours, reason in LACKING.items() if item[ours] in ("", None))
        return Fault("bad_image", image) if reason == "missing_image" and image not in (None, "") else Fault(reason)


def read_items(
    stream: IO[bytes],
    sink: Sink,
    *,
    label: str,
    column_mapping: Mapping[str, str],
    exclusion: Exclusion | None = None,
    known: Sequence[str] = (),
    max_rows: int | None = None,
    lines: LineTrace | None = None,
) -> tuple[Columns, RowTally, CatalogReport]:
    """Read a whole stream into a sink.

    Further columns are kept under the source's own name. In a CSV file a column is numbers when all its values are,
    else text, and an empty cell is null; JSON keeps its types. Rows that could not be shown complete are dropped and
    counted. Where rows have the same id, the first counts.

    No more than a row is held in memory. The stream may be read more than once.

    Args:
        stream: As it is stored, packed or not. It must be able to seek.
        sink: Takes the items in their order.
        label: Names the source in errors.
        column_mapping: Our name to the source's, for columns that are called otherwise.
        exclusion: The operator's; asked once for each row that is kept.
        known: Further columns that the catalogue had before; those that are gone are null.
        max_rows: Most rows that may be there; None for any number.
        lines: Notes which line became which item; one that knows some leaves them out.

    Raises:
        CatalogError: It cannot be read to its end, or lacks a column.
        Unlike: Lines were left out, and too little is as it was.
        TooLarge: There are more rows than `max_rows`, or the sink takes no more.
    """
    with readable_errors(label), open_rows(stream, label) as source:
        columns = Columns.matched(
            source.names,
            column_mapping,
            label,
            known=known,
            is_sparse=source.is_sparse,
            repeated=source.repeated,
        )
        facts = FileFacts()
        if lines is not None:
            lines.begin(source, columns.further)
        try:
            eligible = None if exclusion is None else _first_eligible(exclusion, columns)
            tally = _fill(source, sink, RowReader(columns, facts), eligible=eligible, max_rows=max_rows, lines=lines)
        except Surprise:
            if lines is not None:
                lines.give_up()
            sink.clear()
            facts = _learnt(source, columns, max_rows)
            columns = columns.with_currency() if facts.prices.all_have_currency else columns
            eligible = None if exclusion is None else exclusion(columns)
            tally = _fill(source, sink, RowReader(columns, facts), eligible=eligible, max_rows=max_rows)
        if max_rows is not None and tally.rows > max_rows:
            raise TooLarge
        if lines is not None:
            lines.end(source)
            tally.rows += lines.kept
        guessed = columns.mapping if columns.guessed else ""
        return columns, tally, tally.report(source.notes, columns.lost, guessed)


def _first_eligible(exclusion: Exclusion, columns: Columns) -> Eligible | None:
    """The operator's test, before the whole file was looked at.

    Raises:
        Surprise: It asks for a column that is not there; only the whole file can show whether there is a currency.
    """
    try:
        return exclusion(columns)
    except CatalogError:
        raise Surprise from None


def _learnt(source: RowSource, columns: Columns, max_rows: int | None) -> FileFacts:
    """Look at every row."""
    facts = FileFacts(is_known=True)
    reader = RowReader(columns)
    count = 0

    def observe(record: Record) -> None:
        nonlocal count
        count += 1
        if max_rows is not None and count > max_rows:
            raise TooLarge
        reader.observe(record, facts)

    source.learn(observe)
    return facts


def _fill(
    source: RowSource,
    sink: Sink,
    reader: RowReader,
    *,
    eligible: Eligible | None,
    max_rows: int | None,
    lines: LineTrace | None = None,
) -> RowTally:
    note = None if lines is None else lines.note
    tally = RowTally(source.unit)
    limit = inf if max_rows is None else max_rows
    quick = _quick_way(sink, reader, eligible, max_rows, lines)
    for record in source.records(texts=reader.columns.texts, quick=quick):
        tally.rows += 1
        if tally.rows > limit:
            raise TooLarge
        line = source.line
        if isinstance(record, Unreadable):
            tally.drop(record.reason, None, line, record.text, record.problem)
            continue
        item, fault = reader.item(record)
        item_id = str(item["id"])
        if fault is None and item_id in sink:
            fault = Fault("duplicate")
        if fault is None:
            try:
                kept = record_of(item, reader.further(record))
            except NotWritable:
                fault = Fault("malformed", "nested too deep, or holds what JSON cannot")
        if fault is not None:
            fault = _not_utf8(record, reader) or fault
            tally.drop(fault.reason, item_id, line, fault.value)
            tally.lacking.update(ours for ours, value in item.items() if value in ("", None))
            continue
        is_secure = str(item["image"]).startswith("https") or tally.image(str(item["image"]), item_id, line)
        is_as_ever = tally.is_whole(item_id, line) and is_secure
        sink.add(line, item_id, kept, eligible=eligible is None or eligible(reader.mapping(item, record)))
        if note is not None:
            note(source.raw if is_as_ever else "", line)
    tally.rows += 0 if quick is None else quick.count
    return tally


def _quick_way(
    sink: Sink, reader: RowReader, eligible: Eligible | None, max_rows: int | None, lines: LineTrace | None
) -> UsualLines | None:
    """What reads usual lines, unless more must be known of each row."""
    if eligible is not None or not reader.is_usual:
        return None
    return UsualLines.of(reader.columns, sink, lines, max_rows)


def _not_utf8(record: Record, reader: RowReader) -> Fault | None:
    """Whether a row that is not shown has bytes that are no UTF-8.

    Raises:
        Surprise: It has, and the whole file may be in another encoding.
    """
    broken = next((cell for cell in record if isinstance(cell, str) and is_broken(cell)), None)
    if broken is None:
        return None
    if not reader.knows_file:
        raise Surprise
    return Fault("not_utf8", broken.encode(errors="surrogateescape").decode(errors="backslashreplace"))


def _raw_values(columns: Columns, places: Mapping[str, int]) -> Callable[[Record], Sequence[Any]]:
    """What takes the values of `ITEM_COLUMNS` from a record."""
    origins = [columns.ours[ours] for ours in ITEM_COLUMNS]
    names = [origin.column for origin in origins if origin.column is not None]
    if len(names) == len(origins):
        return itemgetter(*(places[name] for name in names))  # it takes half the time
    getters = [origin.getter(places) for origin in origins]
    return lambda record: [get(record) for get in getters]


def _is_address(text: str) -> bool:
    """Whether a text is an address of the web as it stands, which it mostly is."""
    if _ESCAPED in text:
        return False
    if _USUAL_WEB.fullmatch(text) is not None:
        return True
    return " " not in text and text.isprintable() and _WEB.match(text) is not None


def _address(value: object) -> str:
    """An address that can be linked to, blanks in it escaped, `&amp;` read; empty for anything else."""
    if isinstance(value, dict):
        value = next((value[key] for key in _ADDRESS_KEYS if key in value), None)
    if not isinstance(value, str):
        return ""
    address = value.strip().replace(" ", "%20").replace(_ESCAPED, "&")
    return address if _ADDRESS.fullmatch(address) else ""


def _image(value: object) -> str:
    """The first of several images."""
    if isinstance(value, list) and value:
        value = value[0]
    return _address(_NEXT_ADDRESS.split(value.strip())[0] if isinstance(value, str) else value)
