"""Catalogues as shops have them, through the front door: what is read, what is dropped, and what is said of it."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from structlog.testing import capture_logs

from service.errors import ConfigurationError
from tests.support.front_door import OpenDoor

PATH = "/recommendations"
HEADER = "id,url,name,price,image"


def row(item_id: str, name: str = "Name", price: str = "5") -> str:
    return f"{item_id},https://shop.example/{item_id},{name},{price},https://cdn.example/{item_id}.jpg\n"


def good(count: int) -> str:
    return "".join(row(f"g{number}") for number in range(count))


class Shown(NamedTuple):
    """What a feed becomes."""

    items: list[dict[str, Any]]
    logs: Sequence[Mapping[str, Any]]

    @property
    def ids(self) -> list[str]:
        return [item["id"] for item in self.items]

    def values(self, name: str) -> list[Any]:
        return [item[name] for item in self.items]

    def dropped(self, reason: str) -> list[str]:
        """The rows that the log names for a reason."""
        return [one for log in self.logs if log.get("reason") == reason for one in log["first"]]

    @property
    def notes(self) -> list[str]:
        return [log["note"] for log in self.logs if log["event"] == "catalog_read_as"]


Show = Callable[..., Awaitable[Shown]]


@pytest.fixture
def show(open_door: OpenDoor, tmp_path: Path) -> Show:
    async def shown(
        content: str | bytes, *, columns: str = "", fields: str = "", name: str = "feed.csv", **variables: str
    ) -> Shown:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with capture_logs() as logs:
            async with open_door(CATALOG_URL=f"file://{path}", CATALOG_COLUMNS=columns, **variables) as door:
                answer = await door.get(PATH, user_id="", num_results=100, fields=fields)
        assert answer.status_code == 200, answer.text
        return Shown(answer.json(), logs)

    return shown


async def refusal(show: Show, content: str | bytes, **options: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await show(content, **options)
    [problem] = caught.value.problems
    assert "\n" not in problem
    return problem


# B. One row decides over a whole file


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (row("bad", '"27" Monitor"'), "',' expected after '\"': 'bad,https://shop.example/bad,\"27\" Monitor\","),
        (row("bad", '"never closed'), "never closed"),
        (row("bad", "one, two"), "6 cells where the header has 5"),
        ('"bad\n', '"bad'),
        (row("bad", '"27\\" Monitor"'), "expected after"),
    ],
)
async def test_a_row_with_a_wrong_quote_or_comma_costs_itself_and_is_named(show: Show, bad: str, what: str) -> None:
    """B1."""
    shown = await show(f"{HEADER}\n{good(40)}{bad}{good(80).partition(row('g40'))[2]}")
    assert len(shown.items) == 79
    assert "bad" not in shown.ids
    [named] = shown.dropped("malformed")
    assert named.startswith("line 42: ")
    assert what in named


async def test_a_quote_that_is_never_closed_takes_no_other_row_along(show: Show) -> None:
    """B1."""
    rows = row("a"), row("b", '"cut'), row("c", '5" pipe'), row("d"), row("e", '"x'), row("f")
    shown = await show(f"{HEADER}\n{''.join(rows)}")
    assert shown.ids == ["a", "c", "d", "f"]
    assert [one.partition(":")[0] for one in shown.dropped("malformed")] == ["line 3", "line 6"]


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ('27" Monitor', '27" Monitor'),
        ('"27"" Monitor"', '27" Monitor'),
        ('"two\nlines, one ""cell"""', 'two\nlines, one "cell"'),
        (' "Blue, large" ', "Blue, large"),
        ("5' pole", "5' pole"),
    ],
)
async def test_quotes_are_read_as_excel_google_and_python_read_them(show: Show, cell: str, name: str) -> None:
    """B1, C2."""
    shown = await show(f"{HEADER}\n{row('a', cell)}{row('b')}")
    assert shown.values("name") == [name, "Name"]


async def test_a_column_that_stands_twice_and_is_not_needed_is_ignored_and_said(show: Show) -> None:
    """B2."""
    text = "id,note,url,name,price,image,note\na,first,https://u/,N,1,https://i/,second\n"
    shown = await show(text, fields="note")
    assert shown.values("note") == ["first"]
    assert shown.notes == ["names note more than once; only the first of them is read"]
    assert "the header names id more than once" in await refusal(show, f"{HEADER},id\n")


@pytest.mark.parametrize("broken", [b"cut \xe2\x82", b"\xff\xfe", b"caf\xc3"])
async def test_broken_utf8_in_one_cell_costs_its_row_which_is_named_with_its_line(show: Show, broken: bytes) -> None:
    """B3."""
    bad = row("bad", "BROKEN").encode().replace(b"BROKEN", broken)
    shown = await show(f"{HEADER}\n{good(20)}".encode() + bad + row("last", "Käse").encode())
    assert len(shown.items) == 21
    [named] = shown.dropped("not_utf8")
    assert named.startswith("bad (line 22): ")
    shown = await show(f"{HEADER}\n{good(20)}".encode() + bad + row("last").encode())
    assert len(shown.items) == 21
    assert len(shown.dropped("not_utf8")) == 1


async def test_broken_utf8_costs_one_row_of_json_lines_and_of_a_json_list(show: Show) -> None:
    """B3."""
    item = {"url": "https://u/", "price": 1, "image": "https://i/", "name": "Käse"}
    lines = [json.dumps({"id": one, **item}, ensure_ascii=False).encode() for one in "abc"]
    lines[1] = lines[1].replace("ä".encode(), b"\xff")
    shown = await show(b"\n".join(lines))
    assert (shown.ids, shown.dropped("not_utf8")[0][:7]) == (["a", "c"], "line 2:")
    shown = await show(b"[" + b",\n".join(lines) + b"]")
    assert (shown.ids, shown.dropped("not_utf8")[0][:6]) == (["a", "c"], "row 2:")


async def test_a_row_without_end_costs_itself(show: Show) -> None:
    """B1."""
    shown = await show(f"{HEADER}\n{row('a')}{row('long', 'x' * 2_000_000)}{row('b')}")
    assert shown.ids == ["a", "b"]
    assert shown.dropped("too_long")[0].startswith("line 3: ")
    item = {"url": "https://u/", "price": 1, "image": "https://i/"}
    lines = [
        json.dumps({"id": one, "name": one * size, **item}) for one, size in (("a", 1), ("b", 2_000_000), ("c", 1))
    ]
    shown = await show("\n".join(lines))
    assert shown.ids == ["a", "c"]
    assert shown.dropped("too_long")[0].startswith("line 2: ")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "it is empty"),
        (f"{HEADER}\n", "no rows at all"),
        (gzip.compress(f"{HEADER}\n{good(500)}".encode(), mtime=0)[:-30], "damaged or cut short"),
        (bz2.compress(f"{HEADER}\n{good(500)}".encode())[:-30], "damaged or cut short"),
        ('[{"id": 1,', "broken or cut short"),
        ("Products of 25 November\n\n" + f"{HEADER}\n{row('a')}", "'Products of 25 November', has only one column"),
        (f"{HEADER}\n{row('a')}".replace(",", "^"), "separated by a comma, a semicolon, a tab or a |"),
        ("- id: a\n  name: N\n", "'- id: a', has only one column"),
    ],
)
async def test_a_file_without_structure_is_still_refused(show: Show, content: str | bytes, line: str) -> None:
    """B."""
    assert line in await refusal(show, content)


async def test_a_column_whose_name_is_broken_is_left_out_and_one_in_western_text_is_read(show: Show) -> None:
    """B3."""
    text = "id,url,name,price,image,Gr\xf6\xdfe\na,https://u/,N,5,https://i/,XL\n"
    assert (await show(text.encode("latin-1"), fields="Größe")).values("Größe") == ["XL"]
    broken = text.encode("latin-1").replace(b"Gr\xf6\xdfe", b"\xff\xfe") + row("Käse").encode()
    assert (await show(broken)).ids == ["a", "Käse"]


# C. The feeds that shops have


def zipped(*members: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            # Without a time of its own, so that every worker names a test's parameters alike.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return target.getvalue()


PLAIN = f"{HEADER}\n{row('a', 'Käse')}".encode()
WRAPPED = json.dumps({"data": {"products": {"edges": [{"node": {"sku": "a"}, "cursor": "x"}]}}})


NAMES: Final = ("feed.csv", "feed.txt", "feed.jsonl", "feed", "feed.csv.gz", "feed.zip")
CONTENTS: Final = [
    PLAIN,
    PLAIN.replace(b",", b"\t"),
    PLAIN.replace(b",", b";"),
    PLAIN.replace(b",", b"|"),
    b"sep=;\r\n" + PLAIN.replace(b",", b";"),
    b"# a comment, with commas\n\n#another\n" + PLAIN,
    b'"# a comment, with ""quotes"" and\na line break",,\n' + PLAIN,
    PLAIN.replace(b"\n", b"\r"),
    b"\xef\xbb\xbf" + PLAIN,
    PLAIN.decode().encode("utf-16"),
    PLAIN.decode().encode("utf-16-le"),
    PLAIN.decode().encode("cp1252"),
    gzip.compress(PLAIN, mtime=0),
    gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0),
    bz2.compress(PLAIN),
    lzma.compress(PLAIN),
    zipped(("folder/", b""), ("folder/items.csv", PLAIN), ("__MACOSX/._items.csv", b"x"), ("a/.DS_Store", b"x")),
    zipped(("items.csv.gz", gzip.compress(PLAIN, mtime=0))),
    b'{"id":"a","url":"https://u/","name":"K\xc3\xa4se","price":5,"image":"https://i/"}',
    '{"id":"a","url":"https://u/","name":"Käse","price":5,"image":"https://i/"}\n'.encode("utf-16"),
    '{"id":"a","url":"https://u/","name":"Käse","price":5,"image":"https://i/"}\n'.encode("cp1252"),
    '\n{\n  "id": "a",\n"url": "https://u/","name":"Käse","price":5,"image":"https://i/"\n}\n'.encode(),
    '{"products":[{"id":"a","url":"https://u/","name":"Käse","price":5,"image":"https://i/"}]}'.encode(),
    '{"page":1,"data":{"items":\n[{"id":"a","url":"https://u/","name":"Käse","price":5,"image":"https://i/"}]}}'.encode(),
    '[\n{"id":"a","url":"https://u/","name":"Käse","price":5,"image":"https://i/"}]'.encode(),
    '{"a":{"url":"https://u/","name":"Käse","price":5,"image":"https://i/"},"b":null,"c":{"price":NaN}}'.encode(),
    '{"page":1,"catalog":{\n"x":{"sku":"a","url":"https://u/","name":"Käse","price":5,"image":"https://i/"}}}'.encode(),
    '{"page":{"of":1},"stock":[{"id":"a","url":"https://u/","name":"Käse","price":5,"image":"https://i/"}]}'.encode(),
    '{"id":"a","url":"https://u/","name":"Käse","price":5,\n"image":"https://i/","variants":[{"id":"v"}]}'.encode(),
    '\x1e{"id":"a","url":"https://u/",\n"name":"Käse","price":5,"image":"https://i/"}\n\x1e{"id":"cut'.encode(),
    PLAIN.decode().encode("utf-32-le"),
    PLAIN.decode().encode("utf-32-be"),
    b'"sep=,"\r\n' + PLAIN,
]
ANY_NAME: Final = [
    (content, NAMES[(at + step) % len(NAMES)])
    for at, content in enumerate(CONTENTS)
    for step in (range(len(NAMES)) if at == 0 else (0, 2))
]
"""A plain feed has every name, any other two of them, since each costs a start of the service."""


@pytest.mark.parametrize(("content", "name"), ANY_NAME, ids=lambda value: str(value[:24]))
async def test_format_delimiter_packing_and_encoding_come_from_the_content(
    show: Show, content: bytes, name: str
) -> None:
    """C1, C3, C8."""
    shown = await show(content, name=name)
    assert [(item["id"], item["name"], item["price"]) for item in shown.items] == [("a", "Käse", 5)]


async def test_another_encoding_than_utf8_has_a_word_in_the_log(show: Show) -> None:
    """C1."""
    assert (await show(PLAIN.decode().encode("cp1252"))).notes == [
        "is Windows-1252 or Latin-1, not UTF-8; read as that: 'Käse'; if that looks wrong, save the file as UTF-8"
    ]
    assert (await show(PLAIN.decode().encode("utf-16"))).notes == ["is UTF-16, not UTF-8; read as that"]


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp1250", ["Świeca", "Łóżko", "wełna", "Przędza"]),
        ("cp1250", ["Dětské tričko", "dřevěná", "Pánské", "Kávovar"]),
        ("cp1251", ["Стол", "Чайник"]),
        ("cp1253", ["Τραπέζι", "Καρέκλα"]),
        ("cp1254", ["ahşap", "ışık"]),  # noqa: RUF001  # Turkish letters
        ("shift-jis", ["テーブル", "椅子"]),
        ("gbk", ["桌子", "椅子"]),
        ("euc-kr", ["책상", "의자"]),
        ("mac-roman", ["Käse", "Müsli"]),
    ],
)
async def test_an_encoding_that_nobody_can_know_shows_no_broken_names(
    show: Show, encoding: str, names: list[str]
) -> None:
    """B3, C1."""
    odd = "".join(row(f"odd{number}", name) for number, name in enumerate(names))
    shown = await show(f"{HEADER}\n{good(1)}{odd}".encode(encoding))
    assert shown.ids == ["g0"]
    assert len(shown.dropped("not_utf8")) == len(names)
    assert [log["mend"] for log in shown.logs if log.get("reason") == "not_utf8"] == ["save the file as UTF-8"]


async def test_western_text_with_signs_and_accents_side_by_side_is_read(show: Show) -> None:
    """C1."""
    names = ["Crème brûlée", "Œuvre créée", "1º ¿Qué?", "5 m³", "Größe — 5 €", "così"]
    content = HEADER + "\n" + "".join(row(str(number), name) for number, name in enumerate(names))
    assert (await show(content.encode("cp1252"))).values("name") == names


@pytest.mark.parametrize(
    "content",
    [
        '{"id":{"0":"a"},"url":{"0":"https://u/"},"name":{"0":"A"},"price":{"0":5},"image":{"0":"https://i/"}}',
        '{"id":["a"],\n"url":["https://u/"],"name":["A"],"price":[5],"image":["https://i/"]}',
        '{"columns":["id","url"],"index":[0],"data":[["a","https://u/"]]}',
    ],
)
async def test_json_by_columns_is_one_line_with_the_way_out(show: Show, content: str) -> None:
    """C7."""
    assert "df.to_json(path, orient='records', lines=True)" in await refusal(show, content)


async def test_ids_that_excel_or_a_program_marked_as_text_are_read_without_the_mark(show: Show) -> None:
    """C7."""
    marked = row("'0012") + row('"""0013"""') + row("\"'0014'\"") + row("'n")
    assert (await show(f"{HEADER}\n{marked}{good(90)}")).ids[:4] == ["0012", "0013", "0014", "'n"]
    assert (await show(f"{HEADER}\n{marked}")).ids == ["0012", "0013", "0014", "'n"]


async def test_addresses_copied_from_a_page_lead_where_the_page_did(show: Show) -> None:
    """C6."""
    content = "".join(f"{one},https://u/?a=1&amp;{one}=2,A &amp; B,5,https://i/?a=1&amp;b=2\n" for one in "abc")
    for text in (f"{HEADER}\n{content}", f"{HEADER}\n{good(97)}{content}"):
        shown = await show(text)
        assert shown.items[-1]["url"] == "https://u/?a=1&c=2"
        assert shown.items[-1]["image"] == "https://i/?a=1&b=2"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (zipped(("a.csv", PLAIN), ("b.csv", PLAIN)), "the zip archive holds 2 files (a.csv, b.csv); it must hold one"),
        (zipped(), "the zip archive holds no file"),
        ('<?xml version="1.0"?><rss/>'.encode("utf-16"), "is XML; have the shop export the feed as CSV"),
        ("<rss/>".encode("utf-16-be"), "is XML"),
        (gzip.compress("<!doctype HTML><html>".encode("utf-32"), mtime=0), "is a web page"),
        (b"<!DOCTYPE html><html>", "is a web page, perhaps an error or a login"),
        (b"\x28\xb5\x2f\xfdxxxx", "is packed with Zstandard; pack it with gzip instead"),
        (b"\xd0\xcf\x11\xe0xxxx", "is an old Excel workbook; save it as CSV UTF-8 instead"),
        (b"Obj\x01xxxx", "is Avro; export CSV or JSON Lines instead"),
    ],
    ids=lambda value: str(value[:20]),
)
async def test_what_is_no_table_is_named_with_the_way_out(show: Show, content: bytes, line: str) -> None:
    """C1."""
    assert line in await refusal(show, content)


async def test_blanks_around_a_value_are_taken_away_as_around_a_name(show: Show) -> None:
    """C2."""
    rows = (" a , https://u/ , N , 5 , https://i/ , Kitchen ", "b, https://u/, N, 5, https://i/, Bath")
    text = "\n".join(["id, url, name, price, image, room", *rows])
    shown = await show(text, fields="room", EXCLUSION_FILTER='EXCLUDE ItemID WHERE Items.ROOM IN ("Kitchen")')
    assert shown.items == [
        {"id": "b", "url": "https://u/", "name": "N", "price": 5, "image": "https://i/", "room": "Bath"}
    ]
    line = {"id": " a ", "url": " https://u/", "name": " N ", "price": " 5 ", "image": "https://i/ ", "room": " Bath "}
    shown = await show(json.dumps(line), fields="room")
    assert shown.items == [
        {"id": "a", "url": "https://u/", "name": "N", "price": 5, "image": "https://i/", "room": "Bath"}
    ]


@pytest.mark.parametrize(
    ("written", "prices", "currencies"),
    [
        (["9.99 USD", "10 USD"], [9.99, 10], ["USD", "USD"]),
        (["$9.99", "$1,299.00"], [9.99, 1299], ["$", "$"]),
        (["EUR 1.299,00", "39,99 EUR"], [1299, 39.99], ["EUR", "EUR"]),
        (["€ 39,99", "1.299 €"], [39.99, 1299], ["EUR", "EUR"]),
        (["39,99", "1.299"], [39.99, 1299], None),
        (["1.299.000", "5"], [1299000, 5], None),
        (["1 299,00", "1\xa0299"], [1299, 1299], None),
        (["CHF 1'299.50", "CHF 9.\u2013"], [1299.5, 9], ["CHF", "CHF"]),
        (["1 299:-", "49:50", "39:\u2013 kr"], [1299, 39], None),
        (["39,- €", "5 €"], [39, 5], ["EUR", "EUR"]),
        (["1,299", "39.99"], [1299, 39.99], None),
        (["9.99 USD", "10"], [9.99, 10], None),
        (["KWD 1.250", "KWD 9.500"], [1.25, 9.5], ["KWD", "KWD"]),
        (["US$ 5", "R$ 5,50"], [5, 5.5], ["USD", "BRL"]),
        (["12,50 zł", "9 kr"], [12.5, 9], ["PLN", "kr"]),
        (["1,29,900.00", "5.5"], [129900, 5.5], None),
        (["₩12,000", "9,000원"], [12000, 9000], ["KRW", "KRW"]),
        (["1,500円", "JP¥900"], [1500, 900], ["JPY", "JPY"]),
        (["ZŁ 3,50", "3,50 Pln"], [3.5, 3.5], ["PLN", "PLN"]),
        (["Rs 499/-", "USD$9.99"], [499, 9.99], ["INR", "USD"]),
        (["1 234,50 ₽", "99 руб."], [1234.5, 99], ["RUB", "RUB"]),  # noqa: RUF001  # Cyrillic letters
        (["1'299'000.5", "1 299 000.5"], [1299000.5, 1299000.5], None),
    ],
)
@pytest.mark.parametrize("delimiter", [";", "\t"])
async def test_a_price_is_read_as_the_whole_file_writes_it(
    show: Show, written: list[str], prices: list[float], currencies: list[str] | None, delimiter: str
) -> None:
    """C1, C3."""
    rows = [[str(n), "https://u/", "N", price, "https://i/"] for n, price in enumerate(written)]
    text = "\n".join(delimiter.join(cells) for cells in (HEADER.split(","), *rows))
    shown = await show(text, fields="currency" if currencies else "")
    assert shown.values("price") == prices
    if currencies:
        assert shown.values("currency") == currencies
    else:
        assert "currency" not in shown.items[0]


@pytest.mark.parametrize(
    ("written", "shown_prices", "unclear"),
    [
        (["1.299", "2.499", "5"], [5], ["'1.299'", "'2.499'"]),
        (["1,299", "5"], [5], ["'1,299'"]),
        (["1.299 EUR", "899 EUR"], [899], ["'1.299 EUR'"]),
        (["39,99", "12.50", "7"], [12.5, 7], ["'39,99'"]),
    ],
)
async def test_a_price_that_may_be_two_things_is_not_shown_and_said(
    show: Show, written: list[str], shown_prices: list[float], unclear: list[str]
) -> None:
    """C3."""
    rows = [f"{n};https://u/;N;{price};https://i/" for n, price in enumerate(written)]
    shown = await show("\n".join([HEADER.replace(",", ";"), *rows]))
    assert shown.values("price") == shown_prices
    assert [one.partition(": ")[2] for one in shown.dropped("unclear_price")] == unclear


async def test_one_price_of_the_other_style_does_not_decide_over_the_file(show: Show) -> None:
    """B, C3."""
    rows = [f"{n};https://u/;N;{n},50;https://i/" for n in range(60)]
    shown = await show("\n".join([HEADER.replace(",", ";"), *rows, "odd;https://u/;N;12.50;https://i/"]))
    assert len(shown.items) == 60
    assert shown.dropped("unclear_price") == ["odd (line 62): '12.50'"]


async def test_a_column_currency_of_the_source_is_kept_as_it_is(show: Show) -> None:
    """C1."""
    shown = await show(f"{HEADER},Currency\n{row('a', price='9 USD').strip()},GBP\n", fields="Currency")
    assert shown.values("Currency") == ["GBP"]


async def test_templates_paths_and_columns_with_blanks_make_an_item(show: Show) -> None:
    """C4."""
    line = {
        "Handle": "a b/ü",
        "Title, long": 'The "best"',
        "pricing": {"current": "9.99 USD", "was": 12},
        "media": [{"url": "https://i/1.jpg"}, {"url": "https://i/2.jpg"}],
        "Compare At": 12,
    }
    columns = (
        'url=https://shop.example/products/{Handle}?from={pricing.was},name="Title, long",'
        "price=pricing.current,image=media[0].url"
    )
    shown = await show(json.dumps(line), columns=columns, fields="Compare At,currency,pricing")
    assert shown.items == [
        {
            "id": "a b/ü",
            "url": "https://shop.example/products/a%20b%2F%C3%BC?from=12",
            "name": 'The "best"',
            "price": 9.99,
            "image": "https://i/1.jpg",
            "Compare At": 12,
            "currency": "USD",
            "pricing": {"current": "9.99 USD", "was": 12},
        }
    ]


async def test_a_template_keeps_slashes_where_it_is_to_and_leading_zeros(show: Show) -> None:
    """C4."""
    text = "sku,path,name,price\n007,a b/1.jpg,N,5\n008,,N,5\n"
    shown = await show(text, columns="url=https://u/{sku},image=https://i/{+path}")
    assert (shown.values("url"), shown.values("image")) == (["https://u/007"], ["https://i/a%20b/1.jpg"])
    assert shown.dropped("missing_image") == ["008 (line 3)"]


async def test_a_path_into_json_in_a_cell_of_csv(show: Show) -> None:
    """C4: BigQuery and Snowflake write nested values so."""
    text = 'id,url,name,pricing,image\na,https://u/,N,"{""now"": 7.5}",https://i/\n'
    assert (await show(text, columns="price=pricing.now")).values("price") == [7.5]


async def test_an_exclusion_names_a_column_with_blanks_in_quotes(show: Show) -> None:
    """C4."""
    text = f'{HEADER},In stock?,"Say ""x"""\n{row("a").strip()},1,3\n{row("b").strip()},0,3\n{row("c").strip()},1,9\n'
    rule = r'EXCLUDE ItemID WHERE Items."In stock?" = 0 OR Items."Say \"x\"" > 5'
    assert (await show(text, EXCLUSION_FILTER=rule)).ids == ["a"]


async def test_columns_are_guessed_from_well_known_names_and_said(show: Show) -> None:
    """C5."""
    shown = await show("g:id,g:title,g:link,g:price,g:image_link\na,N,https://u/,5 EUR,https://i/\n")
    assert shown.ids == ["a"]
    [guessed] = [log["columns"] for log in shown.logs if log["event"] == "catalog_columns_guessed"]
    assert guessed == "id=g:id,url=g:link,name=g:title,price=g:price,image=g:image_link"
    again = await show("g:id,g:title,g:link,g:price,g:image_link\na,N,https://u/,5 EUR,https://i/\n", columns=guessed)
    assert again.items == shown.items
    assert [log for log in again.logs if log["event"] == "catalog_columns_guessed"] == []


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("id,url,title,product_name,price,image", "name may be title or product_name; name one: CATALOG_COLUMNS=name="),
        ("sku,product_id,url,name,price,image", "id may be sku or product_id; name one: CATALOG_COLUMNS=id=sku"),
    ],
)
async def test_two_columns_that_may_be_meant_are_both_named(show: Show, header: str, line: str) -> None:
    """C5."""
    assert line in await refusal(show, f"{header}\na,https://u/,N,N,5,https://i/\n")


@pytest.mark.parametrize(
    "address",
    ["/p/1", "//cdn.example/1.jpg", "javascript:alert(1)", "data:image/png;base64,x", "shop.example/1", "http://"],
)
@pytest.mark.parametrize(("place", "reason"), [(1, "bad_url"), (4, "bad_image")])
async def test_only_addresses_of_the_web_are_shown_and_the_first_other_is_named(
    show: Show, address: str, place: int, reason: str
) -> None:
    """C6, C9."""
    cells = row("bad").strip().split(",")
    cells[place] = f'"{address}"'
    shown = await show(f"{HEADER}\n{row('a')}{','.join(cells)}\n")
    assert shown.ids == ["a"]
    assert shown.dropped(reason) == [f"bad (line 3): {address!r}"]


async def test_images_without_tls_are_shown_and_counted(show: Show) -> None:
    """C6."""
    text = f"{HEADER}\n{row('a')}{row('b').replace('https://cdn', 'http://cdn')}"
    shown = await show(text)
    assert shown.ids == ["a", "b"]
    assert shown.notes == [
        "1 image comes over http://, which mail programs may not show; first: b (line 3): 'http://cdn.example/b.jpg'"
    ]


async def test_the_first_of_several_images_is_shown_and_blanks_are_escaped(show: Show) -> None:
    """C6."""
    shown = await show(
        "id;url;name;price;image\na;https://u/a b;N;5;https://i/1 a.jpg, https://i/2.jpg\n"
        "b;https://u/;N;5;https://i/w_30,h_20/1.jpg\n"
    )
    assert shown.values("image") == ["https://i/1%20a.jpg", "https://i/w_30,h_20/1.jpg"]
    assert shown.items[0]["url"] == "https://u/a%20b"


async def test_popular_items_that_the_catalogue_lacks_are_said(show: Show) -> None:
    """C6."""
    shown = await show(f"{HEADER}\n{good(3)}", POPULAR_ITEMS="g2,gone,sold")
    assert shown.ids == ["g2", "g0", "g1"]
    [log] = [log for log in shown.logs if log["event"] == "popular_items_unknown"]
    assert (log["count"], log["first"], log["log_level"]) == (2, ["gone", "sold"], "warning")


@pytest.mark.parametrize("rounded", ["1.23457E+12", "9E+15", "4.00E+07"])
async def test_an_id_that_excel_rounded_is_said_with_its_line(show: Show, rounded: str) -> None:
    """C7, C9."""
    shown = await show(f"{HEADER}\n{row('a')}{row(rounded)}{row('1E5')}{row('E+10')}")
    assert shown.ids == ["a", rounded, "1E5", "E+10"]
    word = "1 id looks like a number that Excel rounded; format the column as text before saving"
    assert shown.notes == [f"{word}; first: '{rounded}' (line 3)"]


@pytest.mark.parametrize("cell", ['="007"', ' ="007" ', '"=""007"""'])
@pytest.mark.parametrize("name", ["N", '"two\nlines"'])
async def test_a_text_that_is_written_as_a_formula_for_excel_is_that_text(show: Show, cell: str, name: str) -> None:
    """C7: so programs keep Excel from taking zeros away."""
    shown = await show(f'{HEADER},size\n{cell},https://u/,{name},="5.50",https://i/,="08"\n', fields="size")
    assert shown.ids == ["007"]
    assert shown.values("price") == [5.5]
    assert shown.values("size") == ["08"]


@pytest.mark.parametrize("between", [",\n", " , \r\n\r\n"])
async def test_commas_between_lines_of_json_cost_no_row(show: Show, between: str) -> None:
    """B: an array that was taken apart."""
    items = [{"id": one, "url": "https://u/", "name": "N", "price": 5, "image": "https://i/"} for one in "abc"]
    shown = await show(between.join(map(json.dumps, items)))
    assert shown.ids == ["a", "b", "c"]


async def test_ids_and_blanks_as_pandas_writes_them(show: Show) -> None:
    """C7."""
    text = f"{HEADER},stock,note\n" + "".join(
        f"{row(f'{n}.0').strip()},{stock},NaN\n" for n, stock in ((1, "3.0"), (2, "NaN"))
    )
    shown = await show(text, fields="stock,note")
    assert shown.ids == ["1", "2"]
    assert (shown.values("stock"), shown.values("note")) == ([3.0, None], [None, None])
    mixed = await show(f"{HEADER}\n{row('1.0')}{row('1.1')}")
    assert mixed.ids == ["1.0", "1.1"]
    item = '{"id": 1.0, "url": "https://u/", "name": "N", "price": 5, "image": "https://i/", "x": NaN, "y": -Infinity}'
    assert (await show(f"{item}\n", fields="x,y")).items[0] | {"id": "1"} == {
        "id": "1", "url": "https://u/", "name": "N", "price": 5, "image": "https://i/", "x": None, "y": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "reason", "named"),
    [
        (row("x", price="free"), "bad_price", "x (line 2): 'free'"),
        (row("x", price="-1"), "bad_price", "x (line 2): '-1'"),
        (row("x" * 300), "long_id", f"{'x' * 256} (line 2): '{'x' * 60}...'"),
        (row("", "N"), "missing_id", "line 2"),
    ],
)
async def test_every_finding_names_the_value_that_is_wrong_shortened(
    show: Show, bad: str, reason: str, named: str
) -> None:
    """C9."""
    assert (await show(f"{HEADER}\n{bad}{row('a')}")).dropped(reason) == [named]
