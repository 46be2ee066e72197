"""The quick way for lines of a CSV file that say all by themselves: one pattern reads, checks and cleans such a line.

Most lines of most files are usual: as many cells as the header, no quote within a cell, a plain price, addresses as
they will be shown. Their texts stand in JSON as they stand in the file. Every other line takes the ordinary way, which
decides what a row is; a test holds both to the same answers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import count
from operator import itemgetter
from typing import Any, Final, NamedTuple

from service.catalog.item import ITEM_COLUMNS
from service.catalog.reading.cells import ENTITY, NOTHING
from service.catalog.reading.columns import Columns
from service.catalog.reading.lines import MAX_LINE_CHARACTERS
from service.catalog.reading.ports import Kind, LineTrace, Sink, TooLarge
from service.constants import MAX_ID_CHARACTERS

_MAX_COLUMNS: Final = 40
"""Columns of a file whose lines are read by one pattern."""

_NEITHER: Final = r"\"\\\x00-\x1f\ud800-\udfff"
"""What JSON writes otherwise than it stands in the file: no cell of a usual line holds it."""

_ASCII: Final = "".join(chr(code) for code in range(0x20, 0x80) if chr(code) not in '"\\')
"""What is left of ASCII."""

_MAX_CHARACTERS: Final = 1 << 16
"""Of a usual line."""

_MAX_TOGETHER: Final = 250
"""Lines that are handed over at once, where duplicates are looked for later."""

_PRICE: Final = r"(?!0\.00?(?![0-9]))(?:0|[1-9][0-9]{0,5})\.[0-9][1-9]?"
_DECIMAL: Final = r"(?:0|-?[1-9][0-9]{0,5})\.(?:[0-9]{0,2}[1-9]|0)(?=0{0,6}(?![0-9]))"
_WHOLE: Final = r"(?:0|-?[1-9][0-9]{0,14})(?![0-9.])"
"""Numbers as JSON writes them, less the zeros behind a decimal one."""

_FORMATS: Final[Mapping[Kind, str]] = {"text": '"%s"', "number": "%s", "empty": '"%s"'}


class UsualLines:
    """Reads the usual lines of a file into a sink.

    Args:
        columns: Where rows hold what.
        sink: Takes the items.
        trace: Notes which line became which item; it takes the items then, and leaves duplicates to be found later.
        max_rows: Most rows that may be there.
    """

    def __init__(self, columns: Columns, sink: Sink, trace: LineTrace | None, max_rows: int | None) -> None:
        self.columns: Final = columns
        self.sink: Final = sink
        self.trace: Final = trace
        self.max_rows: Final = max_rows
        self.count = 0
        """Lines read so far."""

    @classmethod
    def of(cls, columns: Columns, sink: Sink, trace: LineTrace | None, max_rows: int | None) -> "UsualLines | None":
        """What reads usual lines; None where the columns leave none that is usual."""
        origins = [columns.ours[name].column for name in ITEM_COLUMNS]
        if columns.has_own_currency or columns.lost or len(columns.names) > _MAX_COLUMNS:
            return None
        if None in origins or len(set(origins)) < len(origins):
            return None
        return cls(columns, sink, trace, max_rows)

    def reader(self, delimiter: str, kinds: Sequence[Kind]) -> "UsualLineReader":
        """What reads lines.

        Args:
            delimiter: Between cells.
            kinds: What each column holds, by its place.
        """
        names, ours = self.columns.names, self.columns.ours
        places = {name: place for place, name in enumerate(names) if name}
        of_item = [places[ours[name].column or ""] for name in ITEM_COLUMNS]
        further = [places[name] for name in self.columns.further]
        item = ",".join(f'"{name}":{_FORMATS["number" if name == "price" else "text"]}' for name in ITEM_COLUMNS)
        values = ",".join(_FORMATS[kinds[place]] for place in further)
        what = dict(zip(of_item, ITEM_COLUMNS, strict=True))
        cells = [(what.get(place), kind) for place, kind in enumerate(kinds)]
        # A set of ASCII characters takes half the time of one of all the others.
        ascii_only = [_held(None, *cell, delimiter, only_ascii=True) for cell in cells]
        bare = [_held(None, *cell, delimiter) for cell in cells]
        # Whether a cell is quoted takes a group more, and twice the time.
        quoted = [
            f'(")?{_held(group, *cell, delimiter)}(?({group})")'
            for group, cell in zip(count(1, 2), cells, strict=False)
        ]
        wanted = of_item + further
        return UsualLineReader(
            self,
            _Way(_matcher(ascii_only, delimiter), itemgetter(*wanted)),
            lambda: _Way(_matcher(bare, delimiter), itemgetter(*wanted)),
            lambda: _Way(_matcher(quoted, delimiter), itemgetter(*(2 * place + 1 for place in wanted))),
            f"{{{item}}}\n[{values}]",
        )


class _Way(NamedTuple):
    match: Callable[[str], re.Match[str] | None]
    values: Callable[[Sequence[Any]], tuple[str, ...]]
    """Those of the item, then those of the further columns."""


class UsualLineReader:
    """Reads usual lines; see `UsualLines.reader`."""

    def __init__(
        self, lines: UsualLines, ascii_only: _Way, bare: Callable[[], _Way], quoted: Callable[[], _Way], record: str
    ) -> None:
        self._lines = lines
        self._ascii_only = ascii_only
        # Compiling a pattern takes as long as a thousand lines, and many files have no quotes.
        self._bare = cache(bare)
        self._quoted = cache(quoted)
        self._record = record

    def read(self, line: str, number: int, readline: Callable[[int], str]) -> tuple[str, int]:
        """See `LineReader.read`."""
        lines, form, sink, trace = self._lines, self._record, self._lines.sink, self._lines.trace
        ascii_only = self._ascii_only
        first = number
        end = None if lines.max_rows is None else number + lines.max_rows + 1 - lines.count
        read: list[str] = []
        item_ids: list[str] = []
        records: list[bytes] = []
        while len(line) <= _MAX_CHARACTERS and number != end:
            way = ascii_only if '"' not in line and line.isascii() else self._way_of(line)
            if (found := way.match(line)) is None:
                break
            values = way.values(found.groups("null"))
            item_id = values[0]
            if trace is None and item_id in sink:
                break
            record = form % values
            if "&" in record and ";" in record and ENTITY.search(record) is not None:
                break
            if "" in values:
                record = record.replace('""', "null")
            if trace is None:
                sink.add(number, item_id, record.encode(), eligible=True)
            else:
                read.append(line)
                item_ids.append(item_id)
                records.append(record.encode())
                if len(read) == _MAX_TOGETHER:
                    self._hand_over(number, read, item_ids, records)
            number += 1
            line = readline(MAX_LINE_CHARACTERS + 1)
        self._hand_over(number - 1, read, item_ids, records)
        lines.count += number - first
        if number == end:
            raise TooLarge
        return line, number

    def _way_of(self, line: str) -> _Way:
        return self._quoted() if '"' in line else self._bare()

    def _hand_over(self, last: int, lines: list[str], item_ids: list[str], records: list[bytes]) -> None:
        """Give lines to the trace, of which the last has this number, and empty the lists."""
        if lines and self._lines.trace is not None:
            self._lines.trace.add_lines(last - len(lines) + 1, lines, item_ids, records)
        lines.clear()
        item_ids.clear()
        records.clear()


def _matcher(cells: Sequence[str], delimiter: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(re.escape(delimiter).join(cells) + r"(?:\r?\n)?").fullmatch


def _held(group: int | None, ours: str | None, kind: Kind, delimiter: str, *, only_ascii: bool = False) -> str:
    """The pattern of what a cell holds, in a group.

    Args:
        group: The one that says whether it is quoted; None for a cell without quotes.
        ours: Which column of an item it is, if any.
        kind: What the column holds.
        delimiter: Between cells; a quoted cell may hold it.
        only_ascii: Whether the line holds nothing else.
    """
    if ours == "price":
        return f"({_PRICE})0?"
    if ours in ("url", "image"):
        return _address(group, delimiter, is_image=ours == "image")
    if ours is None and kind == "number":
        return f"(?:({_WHOLE}|{_DECIMAL})0{{0,6}})?"
    if ours is None and kind == "empty":
        return "()"
    text = _ascii_text(delimiter, ours) if only_ascii else _text(group, delimiter, ours)
    if ours == "id":
        return rf"((?!'|[0-9](?:\.[0-9]+)?E\+){text}(?<!\.0))"
    return f"({text})" if ours is not None else f"((?:{text})?)"


def _address(group: int | None, delimiter: str, *, is_image: bool) -> str:
    """As `rows` takes an address without a closer look; of several images, it looks for the first."""
    quoted = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\' + "," * is_image)
    ways = [
        f"{_any_of(characters, '/')}{_any_of(characters)}*" for characters in (quoted, quoted.replace(delimiter, ""))
    ]
    return f"(http{'s' if is_image else 's?'}://{_either(group, *ways)})"


def _text(group: int | None, delimiter: str, ours: str | None) -> str:
    between = re.escape(delimiter)
    times = f"{{1,{MAX_ID_CHARACTERS}}}" if ours == "id" else "+"
    characters = _either(group, f"[^{_NEITHER}]{times}", f"[^{between}{_NEITHER}]{times}")
    return rf"(?!\s|{_nothing(delimiter)}){characters}(?<!\s)"


def _ascii_text(delimiter: str, ours: str | None) -> str:
    """As `_text`, for a cell without quotes: most begin with what no sign for nothing begins with."""
    characters = _any_of(_ASCII, delimiter)
    times = f"{{0,{MAX_ID_CHARACTERS - 1}}}" if ours == "id" else "*"
    doubtful = "".join({one[0] for one in NOTHING if one})
    usual = _any_of(_ASCII, f"{delimiter}{doubtful} ")
    return rf"(?:{usual}|(?!\s|{_nothing(delimiter)}){characters}){characters}{times}(?<!\s)"


def _nothing(delimiter: str) -> str:
    """A cell that says that it holds nothing."""
    signs = "|".join(re.escape(one) for one in sorted(NOTHING) if one)
    return rf"(?:{signs})\"?(?:{re.escape(delimiter)}|[\r\n]|\Z)"


def _any_of(characters: str, without: str = "") -> str:
    return f"[{re.escape(''.join(sorted(set(characters) - set(without))))}]"


def _either(group: int | None, quoted: str, bare: str) -> str:
    return bare if group is None else f"(?({group}){quoted}|{bare})"
