"""The quick way and the ordinary way to read a CSV file, held to the same answers over files that chance writes."""

import csv
import io
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any

import pytest

from service.catalog.adapters.memory import MemorySink
from service.catalog.reading import csv_rows, rows, usual_lines
from service.catalog.reading.ports import RowSource, TooLarge
from service.catalog.reading.usual_lines import UsualLines
from service.errors import CatalogError
from tests.support import feeds

FILES = 60
TEXTS = (
    "", " ", "Oak table", "Blé d'hiver", "日本の皿", "\U0001f600", " inner", "outer ", "\u00a0nbsp", "a,b", "a;b",
    "a\tb", "a|b", 'say "hi"', "back\\slash", "tab\there", "two\nlines", "\r", "null", "NaN", "nan", "<NA>", "#N/A",
    "\\N", "nul", "nullable", "NaN,", "None", "{}", "%s", "\x7f", "\x01", "\u2028", "\x85", "l'été", "'", "5", "1.0",
    "A &amp; B", "a & b; c", "&nbsp;", "&lt;b&gt;", "&#39;x&#39;", "&eacute;t&eacute;",
)  # fmt: skip
NUMBERS = (
    "0", "1", "-1", "-0", "007", "1.50", "1.5", "0.00", "0.0", "-0.5", "1e3", "1.000000", "1.50000000000000000", "",
    " 3", "999999999999999", "9999999999999999", "123456.125", "0.001", "0.0001", "12.", ".5", "+1", "nan", "1_000",
)  # fmt: skip
PRICES = (
    "9.99",
    "10",
    "0",
    "0.00",
    "0.0",
    "0.01",
    "1.234",
    "12.50",
    "100.0",
    "1e2",
    "9,99",
    "-1",
    "",
    "9.99 EUR",
    "07.5",
    "1000000.5",
)
ADDRESSES = (
    "https://shop.example/p/{}", "http://shop.example/p/{}", "HTTPS://shop.example/{}", "//shop.example/{}", "https://",
    "https:///{}", "https://é.example/{}", "https://shop.example/a b/{}", "https://shop.example/{}?a=1,2;b|c",
    'https://shop.example/{}"', "https://shop.example/{}\\x", "", "javascript:{}", "https://a/1.jpg,https://b/{}.jpg",
    "https://shop.example/?a=1&amp;b={}",
)  # fmt: skip
IDS = (
    "{}",
    "a{}",
    "a {}",
    "é{}",
    "{}.0",
    "00{}",
    " {} ",
    "",
    "same",
    "x" * 256 + "{}",
    "x" * 250 + "{}",
    "1e{}",
    '"{}',
    "a,{}",
    "nan",
    "'00{}",
    "'b{}",
)


def written(rng: Random) -> bytes:
    """A file of one of many dialects, its rows mostly usual."""
    names = ["id", "url", "name", "price", "image", "stock", "size", "brand", "sale"]
    rng.shuffle(names)
    names = [name for name in names if name in ("id", "url", "name", "price", "image") or rng.random() < 0.8]
    names += rng.choice(([], [], [""], ["brand"], [" note "]))
    oddness = rng.choice((0.0, 0.005, 0.02, 0.1))
    odd_prices = rng.choice((PRICES[:7], PRICES))
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=rng.choice(",,;\t|"),
        lineterminator=rng.choice(("\n", "\r\n")),
        quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)),
    )
    writer.writerow(names)
    for number in range(rng.randrange(20, 90)):
        usual = {
            "id": f"i{number}",
            "url": f"https://shop.example/p/{number}",
            "name": rng.choice(("Oak table", "Blé d'hiver", "Linen, soft")),
            "price": f"{rng.randrange(1, 10000) / 100:.2f}",
            "image": f"https://cdn.example/{number}.jpg",
            "stock": str(rng.randrange(100)),
            "size": f"{rng.randrange(1000) / 100:.2f}",
            "brand": rng.choice(("", "Nord", "5")),
            "sale": rng.choice(("", "", "4.50")),
        }
        odd = {
            "id": rng.choice((*IDS, "i{}", "i{}", "1.23457E+1{}")).format(rng.randrange(number + 1)),
            "price": rng.choice(odd_prices),
            "url": rng.choice(ADDRESSES).format(number),
            "image": rng.choice(ADDRESSES).format(number),
            "stock": rng.choice(NUMBERS if rng.random() < 0.9 else TEXTS),
            "sale": rng.choice(NUMBERS),
        }
        row = [odd.get(name, rng.choice(TEXTS)) if rng.random() < oddness else usual.get(name, "") for name in names]
        if rng.random() < oddness:
            row = row[: rng.randrange(len(row) + 1)] + rng.choice(([], ["", "more"]))
        if rng.random() < oddness:
            row.insert(names.index("url") + 1, "x")
        writer.writerow(row)
        if rng.random() < oddness:
            text.write(rng.choice(("\n", '"open,\n', "a,b\n", '5" x,', "\r\n", "x" * 50 + "\n")))
    content = text.getvalue()
    content = content.rstrip("\r\n") if rng.random() < 0.3 else content
    encoded = content.encode(rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16")))
    if rng.random() < oddness * 5:
        place = rng.randrange(len(encoded))
        encoded = encoded[:place] + b"\xe9" + encoded[place:]
    return encoded


class LateSink(MemorySink):
    """Takes the same id again, as one does that looks for duplicates later; knows which line became which item."""

    kept = 0

    def __init__(self) -> None:
        super().__init__(None)
        self.items: list[tuple[int, str, bytes]] = []
        self.noted: list[tuple[str, int]] = []
        self.together: list[int] = []

    def __contains__(self, item_id: object) -> bool:
        return False

    def add(self, line: int, item_id: str, record: bytes, *, eligible: bool) -> None:
        assert eligible
        self.items.append((line, item_id, record))

    def add_lines(self, line: int, lines: Sequence[str], item_ids: Sequence[str], records: Sequence[bytes]) -> None:
        self.together.append(len(lines))
        self.items += zip(count(line), item_ids, records, strict=False)
        self.noted += zip(lines, count(line), strict=False)

    def clear(self) -> None:
        self.items.clear()

    def begin(self, source: RowSource, columns: Sequence[str]) -> None:
        pass

    def note(self, raw: str, line: int) -> None:
        self.noted.append((raw, line))

    def give_up(self) -> None:
        self.noted.append(("given up", 0))

    def end(self, source: RowSource) -> None:
        self.noted.append((source.unit, 0))


def read(content: bytes, sink: MemorySink, max_rows: int | None) -> tuple[object, ...]:
    """All that reading a file says."""
    trace = sink if isinstance(sink, LateSink) else None
    try:
        columns, tally, report = rows.read_items(
            io.BytesIO(content), sink, label="feed", column_mapping={}, max_rows=max_rows, lines=trace
        )
    except (CatalogError, TooLarge) as error:
        return type(error), str(error)
    items = [list(sink.records.items()), sink.ineligible] if trace is None else [trace.items, trace.noted]
    return items, columns, tally.rows, tally.lacking, report


@pytest.mark.long
def test_the_quick_way_reads_every_dialect_as_the_ordinary_way_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_ROWS_BEFORE_USUAL", 4)
    monkeypatch.setattr(usual_lines, "_MAX_TOGETHER", 7)
    taken: list[UsualLines] = []

    def quick(*args: object) -> UsualLines | None:
        found = whole(*args)  # type: ignore[arg-type]  # handed on
        taken.extend(filter(None, [found]))
        return found

    whole = UsualLines.of
    for seed in range(FILES):
        rng = Random(seed)
        content = written(rng)
        max_rows = rng.choice((None, None, 30))
        sink_of = rng.choice((MemorySink, LateSink, LateSink))
        with monkeypatch.context() as patch:
            patch.setattr(UsualLines, "of", lambda *_: None)
            ordinary = read(content, sink_of(), max_rows)
        with monkeypatch.context() as patch:
            patch.setattr(UsualLines, "of", quick)
            assert read(content, sink_of(), max_rows) == ordinary, f"seed {seed}"
    # Else it would hold because nothing took the quick way.
    assert sum(lines.count for lines in taken) > FILES * 10


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Reads a file whose rows show at once what its columns hold; how many lines took the quick way."""
    monkeypatch.setattr(csv_rows, "_ROWS_BEFORE_USUAL", 2)

    def lines_read(text: str, **options: Any) -> int:  # noqa: ANN401  # as `read` takes them
        taken: list[UsualLines] = []
        whole = UsualLines.of

        def quick(*args: object) -> UsualLines | None:
            found = whole(*args)  # type: ignore[arg-type]  # handed on
            taken.extend(filter(None, [found]))
            return found

        with monkeypatch.context() as patch:
            patch.setattr(UsualLines, "of", quick)
            found = feeds.read(text, **options)
            patch.setattr(UsualLines, "of", lambda *_: None)
            assert found == feeds.read(text, **options)
        return taken[-1].count if taken else 0

    return lines_read


USUAL = {"price": "1.50", "note": "x", "stock": "5", "rate": "0.5", "sale": ""}


@pytest.mark.parametrize(
    ("odd", "options", "count"),
    [
        ({}, {}, 8),
        ({"price": "9.99"}, {}, 8),
        ({"price": "100000.5"}, {}, 8),
        ({"price": "0.5"}, {}, 8),
        ({"note": ""}, {}, 8),
        ({"note": "Blé"}, {}, 8),
        ({"note": '"quoted; cell"'}, {}, 8),
        ({"stock": "-5"}, {}, 8),
        ({"stock": ""}, {}, 8),
        ({"stock": "5.00"}, {}, 8),
        ({"rate": "12"}, {}, 8),
        ({"id": "x" * 256}, {}, 8),
        ({"image": "https://i/?a=1&b=2"}, {}, 8),
        ({"url": "http://u/?a=1,2"}, {}, 8),
        # A row that needs a closer look takes the ordinary way, and those around it do not.
        ({"price": "10"}, {}, 7),
        ({"price": "0.00"}, {}, 7),
        ({"price": ""}, {}, 7),
        ({"note": "NaN"}, {}, 7),
        ({"note": 'a "b"'}, {}, 7),
        ({"name": "A &amp; B"}, {}, 7),
        ({"name": "A & B"}, {}, 8),
        ({"stock": "0.0000001"}, {}, 7),
        ({"id": "x" * 257}, {}, 7),
        ({"id": "5.0x"}, {}, 8),
        ({"id": "'5"}, {}, 7),
        ({"id": "1E+10"}, {}, 7),
        ({"image": "http://i/"}, {}, 7),
        ({"url": "https://u/ä"}, {}, 7),
        ({"image": "https://i/1,https://i/2"}, {}, 7),
        ({"id": "1"}, {}, 7),
        # Files of which more must be known of each row.
        ({}, {"exclusion": 'EXCLUDE ItemID WHERE Items.NOTE IN ("y")'}, 0),
        ({}, {"known": ["gone"]}, 0),
        ({}, {"columns": "image=https://i/{id}"}, 0),
        ({}, {"columns": "url=image"}, 0),
        ({"price": "1,50"}, {}, 7),
        ({**{f"c{number}": "" for number in range(32)}}, {}, 0),
        ({**{f"c{number}": "" for number in range(31)}}, {}, 8),
    ],
    ids=lambda value: str(value)[:40],
)
def test_usual_lines_take_the_quick_way_and_others_do_not(
    ways: Callable[..., int], odd: dict[str, str], options: dict[str, Any], count: int
) -> None:
    rows = [USUAL] * 5 + [{**USUAL, **odd}] + [USUAL] * 4
    assert ways(feeds.table(*rows), **options) == count


def test_a_file_of_decimal_commas_takes_the_ordinary_way(ways: Callable[..., int]) -> None:
    rows = [{"price": f"{number},50"} for number in range(40)] + [{"price": "5.00"}] * 2
    assert ways(feeds.table(*rows)) == 0


def test_the_quick_way_ends_where_there_are_too_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_ROWS_BEFORE_USUAL", 2)
    for odd in ([], [{"price": "10"}]):
        for size, most in ((20, 20), (21, 20), (100, 20)):
            text = feeds.table(*[USUAL] * 7, *odd, *[USUAL] * (size - 7 - len(odd)))
            sink = MemorySink()
            try:
                _, tally, _ = rows.read_items(
                    io.BytesIO(text.encode()), sink, label="feed", column_mapping={}, max_rows=most
                )
            except TooLarge:
                assert size > most
                # Those that were read before are known not to be too many by themselves.
                assert most < len(sink.records) <= most + 4
            else:
                assert (tally.rows, size) == (20, 20)


@pytest.mark.parametrize(("more", "count"), [(0, 8), (1, 7)])
def test_a_line_up_to_a_bound_is_usual(
    ways: Callable[..., int], monkeypatch: pytest.MonkeyPatch, more: int, count: int
) -> None:
    monkeypatch.setattr(usual_lines, "_MAX_CHARACTERS", 200)
    odd = {**USUAL, "note": "x"}
    length = len(feeds.table(*[USUAL] * 5, odd).splitlines()[6]) + 1
    odd["note"] = "x" * (201 - length + more)
    assert ways(feeds.table(*[USUAL] * 5, odd, *[USUAL] * 4)) == count


def test_a_line_as_long_as_one_can_be_is_read_as_one(ways: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    text = feeds.table(*[USUAL] * 12, {**USUAL, "name": ""})
    for module in (csv_rows, usual_lines):
        monkeypatch.setattr(module, "MAX_LINE_CHARACTERS", max(map(len, text.splitlines(keepends=True))))
    assert ways(text) == 10


def test_usual_lines_are_handed_over_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_ROWS_BEFORE_USUAL", 2)
    monkeypatch.setattr(usual_lines, "_MAX_TOGETHER", 3)
    sink = LateSink()
    text = feeds.table(*[USUAL] * 9, *[{**USUAL, "price": "10"}] * 2, *[USUAL] * 4)
    rows.read_items(io.BytesIO(text.encode()), sink, label="feed", column_mapping={}, lines=sink)
    assert sink.together == [3, 3, 1, 3, 1]


def test_the_quick_way_begins_when_some_rows_have_shown_what_columns_hold(
    ways: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "_ROWS_BEFORE_USUAL", 3)
    assert ways(feeds.table(*[USUAL] * 10)) == 7
    monkeypatch.setattr(csv_rows, "_ROWS_BEFORE_USUAL", 1)
    assert ways(feeds.table(*[USUAL] * 10), max_rows=10) == 8
    # Without further columns, the first row has shown all.
    assert ways(feeds.table(*[{"price": "1.50"}] * 10), max_rows=10) == 9
    with pytest.raises(TooLarge):
        ways(feeds.table(*[USUAL] * 11), max_rows=10)
