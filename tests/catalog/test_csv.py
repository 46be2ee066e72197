"""How a CSV file becomes rows: held to Python's csv where a file is right, and row by row where it is not."""

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalog.adapters.memory import MemorySink
from service.catalog.reading import csv_rows, header, lines, origins, rows
from service.catalog.reading.csv_rows import CsvRows
from service.catalog.reading.ports import TooLarge, Unreadable
from service.catalog.reading.rows import read_items
from tests.support.feeds import read, refusal, table

NAMES = ("id", "url", "name", "price", "image", "note")
PLAIN = ("https://u/", "N", "5", "https://i/")
HEADER = ",".join(NAMES)

CELLS = st.text(st.sampled_from("ab ,;|\t\"\n\rö='#x5."), max_size=6)


def usual(item_id: str, note: str = "", name: str = "N") -> str:
    return f"{item_id},https://u/,{name},5,https://i/,{note}\n"


@settings(deadline=None, max_examples=120)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\r\n", "\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_file_that_python_writes_is_read_as_python_reads_it(
    rows: list[tuple[str, str]], delimiter: str, end: str, quoting: int
) -> None:
    text = io.StringIO()
    # Python itself leaves a line feed bare where another character ends lines.
    quoting = quoting if end == "\r\n" else csv.QUOTE_ALL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(NAMES)
    for number, (name, note) in enumerate(rows):
        writer.writerow([f"i{number}", PLAIN[0], f"{name}.", *PLAIN[2:], f"{note}."])
    found = read(text.getvalue())
    again = csv.DictReader(io.StringIO(text.getvalue(), newline=""), delimiter=delimiter)
    assert found.dropped == {}
    assert [(item["id"], item["name"], str(item["note"])) for item in found.items] == [
        (row["id"], row["name"].strip(), row["note"].strip()) for row in again
    ]


@pytest.mark.parametrize(
    ("text", "ids", "dropped"),
    [
        # A short row has no values at its end; a long one only blanks.
        (f"{HEADER}\n{usual('a')}b,https://u/,N,5,https://i/\nc,https://u/\n", ["a", "b"], ["c (line 4)"]),
        (f"{HEADER}\n{usual('a')}b,https://u/,N,5,https://i/,x, ,\n", ["a", "b"], []),
        (
            f"{HEADER}\nb,https://u/,N,5,https://i/,x,,y\n{usual('a')}",
            ["a"],
            ["line 2: 8 cells where the header has 6: 'b,https://u/,N,5,https://i/,x,,y'"],
        ),
        # Blank lines are none.
        (f"{HEADER}\n\n\r\n{usual('a')}\n{usual('b')}c\n", ["a", "b"], ["c (line 7)"]),
        (f"{HEADER}\n{usual('a')}  \n,,,,,\nd\n", ["a"], ["line 3", "line 4", "d (line 5)"]),
        # A quote within a cell is a character; one that begins a cell quotes it.
        (f'{HEADER}\n{usual("a", "", chr(34) + "x" + chr(34) + "y")}{usual("b")}', ["b"],
         ["line 2: ',' expected after '\"': 'a,https://u/,\"x\"y,5,https://i/,'"]),
        (f'{HEADER}\n{usual("a", name=chr(34) + "x" + chr(34) + " ")}{usual("b")}', ["a", "b"], []),
        (f'{HEADER}\n{usual("a", chr(34) + "x" + chr(34) + "  ")}{usual("b")}', ["a", "b"], []),
        (f'{HEADER}\n{usual("a", name=chr(34) + "x" + chr(34) + " y")}{usual("b")}', ["b"],
         ["line 2: ',' expected after '\"': 'a,https://u/,\"x\" y,5,https://i/,'"]),
        (f'{HEADER}\na, "https://u/", "x, y",5,https://i/,\n', ["a"], []),
        (f'{HEADER}\na,https://u/,"x" ,5\n{usual("b")}', ["b"], ["a (line 2)"]),
        (f'{HEADER}\na,https://u/,"x" ,5,i,n,m\n{usual("b")}', ["b"],
         ["line 2: ',' expected after '\"': 'a,https://u/,\"x\" ,5,i,n,m'"]),
        # One that is never closed costs its first line, and no other.
        (f'{HEADER}\na,https://u/,"x,5,https://i/,\n{usual("b")}{usual("c")}', ["b", "c"],
         ["line 2: unexpected end of data: 'a,https://u/,\"x,5,https://i/,'"]),
        (f'{HEADER}\na,https://u/,"x,5\n{usual("b", name=chr(34) + "y" + chr(34))}{usual("c")}', ["b", "c"],
         ["line 2: ',' expected after '\"': 'a,https://u/,\"x,5'"]),
        (f'{HEADER}\na,"x\n{usual("b", chr(34))}{usual("c")}', ["c"],
         ["line 2: a quote is not closed: 'a,\"x'", "line 3: unexpected end of data: 'b,https://u/,N,5,https://i/,\"'"]),
        (f'{HEADER}\n{usual("a", name=chr(34) + "two" + chr(10) + "lines" + chr(34))}c\n', ["a"], ["c (line 4)"]),
        (f'{HEADER}\n"a\nb\n{usual("c")}"d\n{usual("e")}f\n', ["c", "e"],
         ["line 2: ',' expected after '\"': '\"a'", "b (line 3)", "line 5: unexpected end of data: '\"d'",
          "f (line 7)"]),
        (f'{HEADER}\n"a\n' + usual("b") * 3 + '"', ["b"],
         ["line 2: a quote is not closed: '\"a'", "b (line 4)", "b (line 5)", "line 6: unexpected end of data: '\"'"]),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_costs_itself_and_is_named_by_its_line(
    text: str, ids: list[str], dropped: list[str]
) -> None:
    """B1."""
    for end in ("\n", "\r\n"):
        found = read(text.replace("\r\n", "\n").replace("\n", end))
        assert found.ids == ids
        named = [line for lines in found.dropped.values() for line in lines]
        assert sorted(named) == sorted(dropped)
        assert found.rows == len(ids) + len(dropped)


def test_a_line_that_is_too_long_costs_itself_also_within_a_quote(monkeypatch: pytest.MonkeyPatch) -> None:
    """B1."""
    for module in (csv_rows, lines):
        monkeypatch.setattr(module, "MAX_LINE_CHARACTERS", 60)
    for size, kept in ((60, True), (61, False), (120, False), (121, False), (122, False), (400, False)):
        long = usual("long", "x" * (size - len(usual("long")) - 1) + ".")
        assert len(long) == size
        found = read(f"{HEADER}\n{usual('a')}{long}{usual('b')}c\n")
        assert found.ids == (["a", "long", "b"] if kept else ["a", "b"])
        assert ("too_long" in found.dropped) != kept
        if not kept:
            [named] = found.dropped["too_long"]
            assert named == f"line 3: longer than 60 characters: {long[:60]!r}"[:-1] + "...'"
        assert found.dropped["missing_url"] == ["c (line 5)"]
    found = read(f'{HEADER}\n{usual("a")}b,https://u/,"{"x" * 80}\n{usual("c")}d\n')
    assert found.ids == ["a", "c"]
    assert found.dropped["missing_url"] == ["d (line 5)"]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("# made today\n{h}\n{r}", ["a"]),
        ("\n \n;;;\n{h}\n{r}", ["a"]),
        ('"# one,\ntwo",,\n{h}\n{r}', ["a"]),
        ("sep=,\n{h}\n{r}", ["a"]),
        ('"SEP=,"\n{h}\n{r}', ["a"]),
        ("sep=;\n{s}", ["a"]),
        ('id,url,"na\nme",price,image,title\na,https://u/,x,5,https://i/,N\n', ["a"]),
        ('\ufeff"id" , url ,"name",price, image\na,https://u/,N,5,https://i/\n', ["a"]),
        ("{h}\n# a row,,,,\n{r}", ["a"]),
        ('id, "url", "say, now",name,price,image\na,https://u/,x,N,5,https://i/\n', ["a"]),
        ("id|url|name;or,not|price|image\na|https://u/|N|5|https://i/\n", None),
        ("id;url;name,a,b;price;image\na;https://u/;N;5;https://i/\n", None),
    ],
)
def test_a_header_may_have_comments_above_and_says_what_delimits(text: str, ids: list[str] | None) -> None:
    """C1, C3."""
    semicolons = table({"id": "a"})
    text = text.format(h=HEADER, r=usual("a"), s=semicolons)
    if ids is None:
        assert read(text, columns="name=" + ("name;or,not" if "|" in text else '"name,a,b"').replace(
            "name;or,not", '"name;or,not"')).ids == ["a"]  # fmt: skip
    else:
        assert read(text).ids == ids
        assert read(text.replace("\n", "\r\n")).ids == ids


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('id,"url\n' + usual("a"), "line 1: the header 'id,\"url' cannot be read: unexpected end of data"),
        ('# x\n\nid,"u"rl\n' + usual("a"), "line 3: the header 'id,\"u\"rl' cannot be read: ',' expected after '\"'"),
        ("id\0,url\n", "line 1: the header is no text: 'id\\x00'; save the file as CSV UTF-8"),
        ("#\n" * 100 + HEADER, "no usable row (it is empty, or nothing in it is a row)"),
        ("id,url,name,price,pics\n", "no column image; it has id, url, name, price, pics"),
    ],
)
def test_a_header_that_cannot_be_read_is_named_with_its_line(text: str, line: str) -> None:
    """B."""
    assert refusal(text).startswith(line)


def test_a_delimiter_that_leaves_a_quote_open_counts_only_where_it_stands_most_often() -> None:
    assert read('id;say,"x" y;url;name;price;image\na;1;https://u/;N;5;https://i/\n').ids == ["a"]


def test_of_a_feed_without_a_row_the_most_frequent_mistake_is_explained() -> None:
    assert refusal(table({"price": "x"}, {"id": ""}, {"price": "y"})) == (
        "no usable row (2 bad_price, 1 missing_id); no price, or not a number from 0: 1 (line 2): 'x'"
    )


def test_a_header_is_looked_for_in_a_hundred_lines() -> None:
    assert read("#\n" * 99 + f"{HEADER}\n{usual('a')}b\n").dropped == {"missing_url": ["b (line 102)"]}
    assert header.MAX_HEADER_LINES == 100


def test_a_line_in_the_place_of_a_header_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lines, csv_rows):
        monkeypatch.setattr(module, "MAX_LINE_CHARACTERS", 80)
    assert refusal("#\n" + "x" * 90) == "line 2: longer than a header can be; is it text?"
    found = read(f"{'#' * 79}\n{HEADER}\n{usual('a')}")
    assert (found.ids, found.rows) == (["a"], 1)


def test_a_file_is_read_in_its_encoding_from_its_beginning_so_much_at_a_time() -> None:
    """B3."""
    text = f"{HEADER}\n{usual('a', name='Käse')}"
    for encoding in ("utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "utf-32", "cp1252"):
        assert read(text.encode(encoding)).values("name") == ["Käse"]
    stream = Sized((text + usual("b") * 3_000).encode("utf-16-le"))
    stream.seek(7)
    found = CsvRows(stream, "feed")
    assert [record[0] for record in found.records() if isinstance(record, list)] == ["a", *["b"] * 3_000]
    assert max(stream.asked) == 64 << 10
    assert len(stream.asked) < 20


class Sized(io.BytesIO):
    """Notes how much is asked for."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.asked: list[int] = []

    def read1(self, size: int | None = -1, /) -> bytes:
        self.asked.append(size or 0)
        return super().read1(size)


@pytest.mark.parametrize(
    ("header", "names"),
    [(f"{HEADER},Größe".encode("cp1252"), ("note", "Größe")), (f"{HEADER},Gr".encode() + b"\xc3", ("note",))],
)
def test_a_name_in_the_header_shows_the_encoding_or_is_none(header: bytes, names: tuple[str, ...]) -> None:
    """B3."""
    found = read(header + b"\na,https://u/,N,5,https://i/,x,5\n")
    assert (found.ids, found.columns) == (["a"], names)


def test_rows_are_as_wide_as_the_header_and_what_is_none_is_shown_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_LINE_CHARACTERS", 300)
    bad = ["x,y,z" + "z" * size for size in (194, 195, 196)] + ["z" * 301]
    rows = CsvRows(io.BytesIO("\n".join(["a,b", "1", "1,2,,", "1,2", *bad, "3", ""]).encode()), "feed")
    found = list(rows.records())
    assert found[:3] + found[-1:] == [[1, None], [1, 2], [1, 2], [3, None]]
    assert [one.text for one in found[3:-1] if isinstance(one, Unreadable)] == [line[:200] for line in bad]


class Never:
    """A quick way that takes no line, and counts those that it was shown."""

    shown = 0

    def __init__(self, count: int) -> None:
        self.count = count

    def reader(self, delimiter: str, kinds: object) -> "Never":
        del delimiter, kinds
        return self

    def read(self, line: str, number: int, readline: object) -> tuple[str, int]:
        del readline
        self.shown += 1
        return line, number


@pytest.mark.parametrize(("count", "shown"), [(1_999, 1_800), (2_000, 2_000)])
def test_the_quick_way_is_tried_from_200_rows_on_and_for_2000_unless_it_takes_as_many(count: int, shown: int) -> None:
    way = Never(count)
    rows = CsvRows(io.BytesIO(b"a\n" + b"5\n" * 2_200), "feed")
    assert sum(1 for _ in rows.records(quick=way)) == 2_200
    assert way.shown == shown


def test_the_first_of_a_repeated_column_counts_and_the_others_are_named() -> None:
    """B2."""
    found = read("id,x,url,x,name,y,price,image,y,x\na,1,https://u/,2,N,3,5,https://i/,4,5\n")
    assert found.columns == ("x", "y")
    assert (found.values("x"), found.values("y")) == ([1], [3])
    assert found.notes == ["names x, y more than once; only the first of them is read"]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.5", "", "-3"], [1, 2.5, None, -3]),
        (["1", "x"], ["1", "x"]),
        (["", "x", "1"], [None, "x", "1"]),
        (["", "", "1"], [None, None, 1]),
        (["1", "NaN", "2"], [1, None, 2]),
        (["1", "007"], ["1", "007"]),
        (["0", "0.10"], [0, 0.1]),
        (["123456789012345", "1"], [123456789012345, 1]),
        (["1234567890123456", "1"], ["1234567890123456", "1"]),
        (["1.123456789012345", "1"], [1.123456789012345, 1]),
        (["1.1234567890123456", "1"], ["1.1234567890123456", "1"]),
        (["+1", "1"], ["+1", "1"]),
        (["1e3", "1"], ["1e3", "1"]),
        (["x", "1", "1"], ["x", "1", "1"]),
        (['="007"', "1"], ["007", "1"]),
        ([' ="5" ', "1"], [5, 1]),
        (["Null", "null"], ["Null", None]),
    ],
    ids=str,
)
def test_a_column_is_numbers_when_every_value_is(cells: list[str], values: list[object]) -> None:
    found = read(table(*({"size": cell} for cell in cells)))
    assert list(map(repr, found.values("size"))) == list(map(repr, values))
    # Also where a doubtful price has all of the file looked at first.
    again = read(table(*({"size": cell} for cell in cells), {"price": "1.299"}))
    assert again.values("size") == values


def test_so_many_rows_are_taken_and_one_more_is_not() -> None:
    for text in (table({}, {}, {"price": ""}), table({}, {}, {"price": "1.299"}), table({"id": "1.0"}, {}, {})):
        assert read(text, max_rows=3).rows == 3
        with pytest.raises(TooLarge):
            read(text, max_rows=2)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://u/x", "https://u/x"),
        ("HTTPS://u/x", "HTTPS://u/x"),
        ("http://u", "http://u"),
        ("https://u/a b", "https://u/a%20b"),
        ("https://u/ä", "https://u/ä"),
        ("https://u/?a=1&amp;b=2&amp;c", "https://u/?a=1&b=2&c"),
        ("https://u/\x7f", "https://u/\x7f"),
        ("https:///u", None),
        ("https://", None),
        ("ftp://u/", None),
        ("//u/", None),
        ("xhttps://u/", None),
    ],
)
@pytest.mark.parametrize("name", ["url", "image"])
def test_an_address_of_the_web_is_shown_as_it_leads(name: str, address: str, shown: str | None) -> None:
    """C6."""
    found = read(table({name: address}, {}, delimiter="\t"))
    if shown is None:
        assert found.dropped == {f"bad_{name}": [f"1 (line 2): {address!r}"]}
    else:
        assert found.values(name)[0] == shown


def test_values_as_most_are_need_no_closer_look(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_address", "_image", "as_text", "without_mark", "price_of", "without_entities", "plain_price"):
        monkeypatch.setattr(rows, name, None)
    monkeypatch.setattr(origins.Origin, "getter", None)
    monkeypatch.setattr(csv_rows, "without_formula", None)
    monkeypatch.setattr(csv_rows, "_fitting", None)
    found = read(
        table(
            {"url": "https://u/ä", "image": "http://i/?a=1&b=2;c", "price": "9.99"},
            {"price": "0.50", "name": "A & B"},
            delimiter=",",
        )
    )
    assert (found.values("url")[0], found.values("image")[0]) == ("https://u/ä", "http://i/?a=1&b=2;c")
    assert found.values("price") == [9.99, 0.5]


def test_reading_ends_with_the_row_that_is_one_too_many() -> None:
    damaged = gzip.compress(table(*[{}] * 5_000).encode())[:-30]
    with pytest.raises(TooLarge):
        read(damaged, max_rows=2)


def test_a_doubtful_price_has_no_more_rows_looked_at_than_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a thread of the service would go through millions, for a child that does it anyway."""
    looked_at: list[object] = []
    monkeypatch.setattr(rows.RowReader, "observe", lambda *seen: looked_at.append(seen))
    with pytest.raises(TooLarge):
        read(table({"price": "1.299"}, *[{}] * 8), max_rows=3)
    assert len(looked_at) == 3


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        (["https://i/1", "https://i/2"], "https://i/1"),
        ({"src": "https://i/1", "alt": "x"}, "https://i/1"),
        ([{"url": "https://i/1"}, {"url": "https://i/2"}], "https://i/1"),
        ({"href": "https://i/1", "link": "https://i/2"}, "https://i/1"),
        ({"link": "https://i/2", "width": 5}, "https://i/2"),
        ({"originalSrc": " https://i/1 "}, "https://i/1"),
        ({"width": 5}, None),
        ([], None),
        (5, None),
    ],
    ids=str,
)
def test_an_image_in_json_may_be_an_object_or_the_first_of_a_list(image: object, shown: str | None) -> None:
    """C4."""
    line = json.dumps({"id": "a", "url": {"url": "https://u/"}, "name": "N", "price": 5, "image": image})
    if shown is None:
        assert "1 bad_image" in refusal(line)
    else:
        assert (read(line).values("image"), read(line).values("url")) == ([shown], ["https://u/"])


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("https://i/1.jpg,https://i/2.jpg", "https://i/1.jpg"),
        ("https://i/1.jpg | https://i/2.jpg", "https://i/1.jpg"),
        ("https://i/1.jpg HTTPS://i/2.jpg", "https://i/1.jpg"),
        ("https://i/1 a.jpg, https://i/2.jpg", "https://i/1%20a.jpg"),
        ("https://i/w_1,h_2/1.jpg", "https://i/w_1,h_2/1.jpg"),
    ],
)
def test_the_first_of_several_images_is_shown(cell: str, shown: str) -> None:
    """C6."""
    assert read(table({"image": cell}, delimiter="\t")).values("image") == [shown]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("A &amp; B", "A & B"),
        ("&eacute;t&eacute; &#39;23 &quot;x&quot; &#x20AC;&euro;", 'été \'23 "x" €€'),
        ("A&nbsp;B&nbsp;", "A B"),
        ("&lt;b&gt; &#60; &#62;", "&lt;b&gt; &#60; &#62;"),
        ("A & B; C&D", "A & B; C&D"),
        ("&unknown; &; &amp", "&unknown; &; &amp"),
        ("&#7; &#0;", "&#7; \ufffd"),
        ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
    ],
)
def test_a_name_is_as_a_person_reads_it_on_a_page(cell: str, shown: str) -> None:
    """C6."""
    assert read(table({"name": cell}, delimiter="\t")).values("name") == [shown]
    assert read(table({"name": "&nbsp;"}, {}, delimiter="\t")).dropped == {"missing_name": ["1 (line 2)"]}


def test_every_fault_of_a_row_is_counted_and_the_first_is_named() -> None:
    """C9."""
    rows = [
        {"id": ""},
        {"id": "x" * 257},
        {"url": ""},
        {"url": "x", "name": ""},
        {"name": ""},
        {"price": ""},
        {"price": "free", "image": ""},
        {"price": "1.299"},
        {"image": ""},
        {"image": "x"},
        {"id": "x" * 256},
        {"id": "x" * 256},
        {"id": "y" * 256, "name": ""},
    ]
    found = read(table(*rows))
    assert found.dropped == {
        "missing_id": ["line 2"],
        "long_id": [f"{'x' * 256} (line 3): '{'x' * 60}...'"],
        "missing_url": ["3 (line 4)"],
        "bad_url": ["4 (line 5): 'x'"],
        "missing_name": ["5 (line 6)", f"{'y' * 256} (line 14)"],
        "bad_price": ["6 (line 7)", "7 (line 8): 'free'"],
        "unclear_price": ["8 (line 9): '1.299'"],
        "missing_image": ["9 (line 10)"],
        "bad_image": ["10 (line 11): 'x'"],
        "duplicate": [f"{'x' * 256} (line 13)"],
    }
    _, tally, _ = read_items(io.BytesIO(table(*rows).encode()), MemorySink(), label="feed", column_mapping={})
    assert tally.lacking == {"id": 1, "url": 2, "name": 3, "price": 3, "image": 3}
    assert (tally.rows, tally.items) == (13, 1)


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("1.0", "1"), ("1.00", "1.00"), ("01.0", "01"), ("'12", "12"), ("'x'", "x"), ("'x", "'x"), ("'12.0", "'12.0")],
)
def test_an_id_is_as_its_shop_means_it(cell: str, shown: str) -> None:
    """C7."""
    assert read(table({"id": cell})).ids == [shown]
    mixed = read(table({"id": cell}, {"id": "b"})).ids
    assert mixed == [cell if cell.endswith(".0") else shown, "b"]


def test_images_without_tls_and_rounded_ids_are_counted() -> None:
    """C6, C7."""
    look = "look like a number that Excel rounded"
    assert read(table({}, {"id": "1E+10"}, {"image": "http://i/"})).notes == [
        "1 image comes over http://, which mail programs may not show; first: 3 (line 4): 'http://i/'",
        f"1 id {look.replace('look', 'looks')}; format the column as text before saving; first: '1E+10' (line 3)",
    ]
    assert read(table(*({"id": f"{n}.5E+10", "image": f"http://i/{n}"} for n in range(1, 3)))).notes == [
        "2 images come over http://, which mail programs may not show; first: 1.5E+10 (line 2): 'http://i/1'",
        f"2 ids {look}; format the column as text before saving; first: '1.5E+10' (line 2)",
    ]


def test_a_row_with_broken_bytes_is_named_only_where_it_is_not_shown() -> None:
    """B3."""
    good = table({"name": "Käse"}, {"name": "Käse"}).encode()
    for broken, dropped in ((b"K\xe4\xff", {"not_utf8": ["2 (line 3): 'K\\\\xe4\\\\xff'"]}),):
        found = read(good.replace("2;https://u/2;Käse".encode(), b"2;https://u/2;" + broken))
        assert found.ids == ["1"]
        assert found.dropped == dropped


def test_further_columns_with_values_that_json_cannot_hold_cost_their_row() -> None:
    deep = "[" * 300 + "]" * 300
    line = '{"id":"%s","url":"https://u/","name":"n","price":1,"image":"https://i/","more":%s}'
    found = read("\n".join([line % ("a", "1"), line % ("b", deep), line % ("c", "2")]))
    assert found.ids == ["a", "c"]
    assert found.dropped == {"malformed": ["b (line 2): 'nested too deep, or holds what JSON cannot'"]}


@pytest.mark.parametrize(("size", "named"), [(60, "x" * 60), (61, "x" * 60 + "...")])
def test_a_wrong_value_is_named_up_to_sixty_characters(size: int, named: str) -> None:
    """C9."""
    assert read(table({"url": "x" * size}, {})).dropped == {"bad_url": [f"1 (line 2): {named!r}"]}
