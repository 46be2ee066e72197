"""Where JSON has its rows, whatever is around them; and which rows of it cannot be read."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from service.catalog.reading import json_document, json_place, json_sequence
from service.catalog.reading.json_rows import JsonLines, JsonRows
from service.catalog.reading.lines import MAX_LINE_CHARACTERS
from service.catalog.reading.ports import Unit, Unreadable
from tests.support.feeds import read, refusal


def row(item_id: str, **more: object) -> dict[str, object]:
    return {"id": item_id, "url": "https://u/", "name": "Käse", "price": 5, "image": "https://i/", **more}


def foreign(item_id: str) -> dict[str, object]:
    """A row whose columns have names that nobody knows."""
    return {"k": item_id, "u": "https://u/", "t": "Käse", "p": 5, "i": "https://i/"}


A, B, C = row("a"), row("b"), row("c")
BARE = {name: value for name, value in A.items() if name != "id"}
MAPPED = "id=k,url=u,name=t,price=p,image=i"
TEMPLATES = "url=https://u/{id},image=https://i/{id}"


def in_type(value: object) -> object:
    return {"N": str(value)} if isinstance(value, int) else {"S": value}


@pytest.mark.parametrize(
    ("document", "ids", "columns"),
    [
        # One object, or several one behind the other.
        (A, ["a"], ""),
        ([A, B], ["a", "b"], ""),
        ([], [], ""),
        # A list under a name that interfaces give to their rows is taken, whatever its objects hold.
        ({"products": [foreign("a"), foreign("b")]}, ["a", "b"], MAPPED),
        ({"page": 1, "Items": [foreign("a")], "products": [foreign("b")]}, ["a"], MAPPED),
        ({"a": {"b": {"c": {"products": [foreign("a")]}}}}, ["a"], MAPPED),
        ({"a": {"b": {"c": {"d": {"products": [foreign("a")]}}}}}, [], MAPPED),
        ({"others": [foreign("a")]}, [], MAPPED),
        ({"values": [1, foreign("b")], "products": [foreign("a")]}, ["a"], MAPPED),
        ({"products": [], "items": [foreign("a")]}, ["a"], MAPPED),
        ({"products": {"x": foreign("b")}, "items": [foreign("a")]}, ["a"], MAPPED),
        ({"data": {"products": {"edges": [{"node": A}, {"node": B, "cursor": "x"}]}}}, ["a", "b"], ""),
        # Else the outermost list, or object, whose first object has well-known columns.
        ({"stock": [A, B]}, ["a", "b"], ""),
        ({"a": {"b": {"c": {"stock": [A]}}}}, ["a"], ""),
        ({"a": {"b": {"c": {"d": {"stock": [A]}}}}}, [], ""),
        ({"stock": [A, {"x": 1}]}, ["a"], ""),
        ({"stock": [{"x": 1}, A]}, [], ""),
        ({"deep": {"stock": [B]}, "stock": [A]}, ["a"], ""),
        ({"stock": [{"id": "a", "name": "N", "price": 5, "slug": "x"}]}, ["a"], TEMPLATES),
        ({"stock": [{"id": "a", "name": "N", "cost": 5}]}, [], TEMPLATES + ",price=cost"),
        ({"stock": [{"variants": [row("v")], **A}]}, ["a"], ""),
        ({"stock": [{**A, "variants": [row("v")]}]}, ["a"], ""),
        ({**A, "variants": [row("v")]}, ["a"], ""),
        ({**A, "more": {"variants": [row("v")]}}, ["a"], ""),
        ({"shop": {"id": "s", "url": "https://s/", "products": [A]}}, ["a"], ""),
        ({"shop": {"id": "s", "url": "https://s/", "name": "S", "products": [A]}}, [], ""),
        # The values of an object, whose names become ids where they have none.
        ({"a": BARE, "b": BARE}, ["a", "b"], ""),
        ({"x": A, "y": B}, ["a", "b"], ""),
        ({"a": BARE, "n": None}, [], ""),
        ({"a": BARE, "b": BARE, "n": None}, ["a", "b"], ""),
        ({"a": {"name": "N", "price": 5}}, ["a"], TEMPLATES),
        ({"a": {"name": "N", "cost": 5}}, [], TEMPLATES + ",price=cost"),
        ({"x": {"id": "a", "name": "N", "cost": 5}}, [], TEMPLATES + ",price=cost"),
        ({"page": {"of": 1}, "catalogue": {"a": BARE, "b": BARE}}, ["a", "b"], ""),
        ({"columns": 3, "data": {"a": BARE, "b": BARE}}, ["a", "b"], ""),
        ({"name": {"title": "T", "price": 1}, "price": {"title": "T", "price": 1}}, [], TEMPLATES),
        # An item of DynamoDB.
        ({name: in_type(value) for name, value in A.items()}, ["a"], ""),
        ({"Item": {name: in_type(value) for name, value in A.items()}}, ["a"], ""),
        ({"Items": [{name: in_type(value) for name, value in A.items()}], "Count": 1}, ["a"], ""),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict | list) else "",
)
def test_the_rows_of_a_document_are_found(document: object, ids: list[str], columns: str) -> None:
    """C4."""
    for indent in (None, 1):
        text = json.dumps(document, indent=indent, ensure_ascii=False)
        for content in (
            text.encode(),
            f"\ufeff\n {text}\n".encode(),
            f"\ufeff{text}".encode(),
            text.encode("utf-16"),
            text.encode("cp1252"),
        ):
            if ids:
                found = read(content, columns=columns)
                assert found.ids == ids, content
                assert {"Käse", "N"} >= set(found.values("name"))
            else:
                line = refusal(content, columns=columns)
                assert line.startswith(("no column", "no usable row"))


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("{0}{1}", ["a", "b"]),
        ("{0} {1}", ["a", "b"]),
        ("{0}\n\n{1}", ["a", "b"]),
        ("{0},\n{1},", ["a", "b"]),
        ("[{0}\n,{1}]", ["a", "b"]),
        ("[\n\n{0},\n\n{1}\n]\n", ["a", "b"]),
        ("[\n]", []),
        ("\n\n[ {0}, null, 5, {1}]", ["a", "b"]),
        ("{0}\n[1]\n{1}\n", ["a", "b"]),
        ("{0}\n5\n", ["a"]),
        ("{0}\nnothing\n{1}", ["a", "b"]),
        ("[{0}, NaN, {1}]", ["a", "b"]),
        ('{{"stock": [{0}, {{"x": -Infinity}}, {1}]}}', ["a", "b"]),
        ('{{"x": {0}, "y": {1}, "z": {{"name": NaN}}}}', ["a", "b"]),
        ("\x1e{0}\n\x1e\n\x1e {1}", ["a", "b"]),
        ('\x1e{0}\x1e{{"id": \x1e{1}', ["a", "b"]),
    ],
)
def test_rows_stand_one_behind_the_other_in_many_ways(written: str, ids: list[str]) -> None:
    """B, C4."""
    content = written.format(json.dumps(A), json.dumps(B))
    if ids:
        assert read(content).ids == ids
        assert read(written.format(json.dumps(A), json.dumps(B, indent=1))).ids[0] == "a"
    else:
        assert refusal(content).startswith("no usable row")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"columns":["id"],"index":[0],"data":[["a"]]}', "is JSON by columns, as pandas writes by default"),
        ('{"columns":["id"],"data":[]}', "is JSON by columns"),
        ('{"id":["a"],"name":["N"],"price":[5]}', "is JSON by columns"),
        ('{"id":{"0":"a"},"name":{"0":"N"},"price":{"0":5}}', "is JSON by columns"),
        ('{"id":["a"],"name":["N"]}', "no column url, price, image; it has id, name; CATALOG_COLUMNS says which"),
        ('{"id":["a"],"name":["N"],"price":[5],"page":1}', "no column url, image; it has id, name, price, page;"),
        ('{"columns":["id"],"data":"none"}', "no column id, url, name, price, image; it has columns, data"),
        ('{"columns":["id"]}', "no column id, url, name, price, image; it has columns"),
        ('{\n // ours\n "products": []}', "the JSON has a comment in line 2; take it out"),
        ('[{"id": 1} /* ours */]', "the JSON has a comment in line 1; take it out"),
        ("[", "the JSON is broken or cut short: Expecting value"),
        ("[\n5,\n{}]", "no usable row (line 1: not JSON: "),
        ('{"id": "a"}', "no column url, name, price, image; it has id;"),
        (
            '{"id": 5, "url": "https://u/", "name": "N", "price": "", "image": ""}',
            "no usable row (1 bad_price); no price, or not a number from 0: 5 (line 1)",
        ),
        (
            '{"id": 5, "url": "https://u/", "name": "N", "price": "",\n "image": ""}',
            "no usable row (1 bad_price); no price, or not a number from 0: 5 (row 1)",
        ),
        ('{"Metadata": {}, "Keys": {}}\n', "a change of an incremental export; export the whole table"),
        ('[{"id": 1,', "the JSON is broken or cut short: Expecting property name"),
        ('{"products": [{"id": 1}', "the JSON is broken or cut short: "),
        ("[1, 2]\n", 'no usable row (line 1: not a JSON object, such as {"id": "sku1", "name": "Mug"}: \'[1, 2]\')'),
        ("[{}, 5]\n", 'no usable row (row 2: not a JSON object, such as {"id": "sku1", "name": "Mug"}: \'5\')'),
        ('{"id"\n', "the JSON is broken or cut short: Expecting ':' delimiter: line 2 column 1"),
        ("{}\n", "no usable row (it is empty, or nothing in it is a row)"),
        ('{"a":1}\n{"a', "no column id, url, name, price, image; it has a; CATALOG_COLUMNS says which column is which"),
        ("\x1e5", 'no usable row (row 1: not a JSON object, such as {"id": "sku1", "name": "Mug"}: \'5\')'),
        ('{"Metadata": {}, "Keys": {}, "NewImage": {}}\n', "a change of an incremental export; export the whole table"),
    ],
)
def test_json_without_rows_is_one_line_with_the_way_out(content: str, line: str) -> None:
    """C7."""
    assert line in refusal(content)


@pytest.mark.parametrize(
    ("bad", "reason", "named"),
    [
        ("5", "malformed", 'not a JSON object, such as {"id": "sku1", "name": "Mug"}: \'5\''),
        (
            '{"id": 1,, }',
            "malformed",
            "not JSON: unexpected character, expected a string key at character 10: '{\"id\": 1,, }'",
        ),
        ("[" * 5_000, "malformed", f"not JSON: {{}}: '{'[' * 60}...'"),
        ('{"id": "\\ud800"}', "missing_url", ""),
        ("x" * MAX_LINE_CHARACTERS, "too_long", f"longer than 1,048,576 characters: '{'x' * 60}...'"),
    ],
)
def test_a_row_of_json_lines_that_cannot_be_read_costs_itself_and_is_named(bad: str, reason: str, named: str) -> None:
    """B, C9."""
    found = read(f"{json.dumps(A)}\n{bad}\n\n{json.dumps(B)}\n")
    assert found.ids == ["a", "b"]
    assert list(found.dropped) == [reason]
    [line] = found.dropped[reason]
    assert "line 2" in line
    assert named.partition("{}")[0] in line


def test_json_keeps_types_and_trims_texts() -> None:
    """C2, C7."""
    more = {"size": " XL ", "none": "NaN", "tags": [" x "], "stock": 5, "rate": 0.5, "sold": True, "inner": {"a": " b"}}
    found = read(json.dumps(row("a", **more)) + "\n" + json.dumps({"more": 1, **B}))
    assert found.columns == (*more, "more")
    assert found.items[0] == {**A, **more, "size": "XL", "none": None, "more": None}
    assert found.items[1] == {**B, **dict.fromkeys(more), "more": 1}


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ({"S": " x "}, "x"),
        ({"N": "5"}, 5),
        ({"N": "-5"}, -5),
        ({"N": "5.50"}, 5.5),
        ({"N": "123456789012345"}, 123456789012345),
        ({"N": "1234567890123456"}, 1234567890123456.0),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"B": "eA=="}, None),
        ({"BS": ["eA=="]}, None),
        ({"SS": ["b", "a"]}, "a|b"),
        ({"NS": ["2", "1"]}, "1|2"),
        ({"L": [{"S": "x"}, {"N": "1"}]}, ["x", 1]),
        ({"L": ["untyped", {}, 5]}, [None, None, None]),
        ({"M": {"a": {"L": []}, "b": {"NULL": True}}}, {"a": [], "b": None}),
    ],
    ids=str,
)
def test_values_of_dynamodb_come_without_their_types(typed: dict[str, object], value: object) -> None:
    item = {**{name: in_type(one) for name, one in A.items()}, "more": typed}
    found = read("\n".join([json.dumps({"Item": item}), json.dumps({"Item": {"id": {"S": "b"}, "more": {}}})]))
    assert found.values("more") == [value]
    assert type(found.items[0]["more"]) is type(value)


def test_an_object_with_one_odd_value_is_no_item_of_dynamodb() -> None:
    item = row("a", size={"S": "x"}, sizes={"S": 1, "M": 2})
    assert read(json.dumps(item)).items == [item]


@pytest.mark.parametrize("content", [b'[\n{"id":"a"}]', b'{"id":"a"}\n', b'\x1e{"id":"a"}'])
def test_bytes_that_are_no_utf8_cost_their_row(content: bytes) -> None:
    """B3."""
    between = b",\n" if content[:1] == b"[" else b"\n\x1e" if content[:1] == b"\x1e" else b"\n"
    good = json.dumps(A, ensure_ascii=False).encode()
    rows = between.join([good, json.dumps(B, ensure_ascii=False).encode().replace("ä".encode(), b"\xff"), good])
    found = read(b"[" + rows + b"]" if between == b",\n" else b"\x1e" * (b"\x1e" in between) + rows)
    assert found.ids == ["a"]
    assert found.rows == 3
    [line] = found.dropped["not_utf8"]
    assert line.startswith(("row 2: not UTF-8: ", "line 2: not UTF-8: "))
    assert found.dropped["duplicate"] == [line.partition(":")[0].replace("2", "3").join(["a (", ")"])]


def test_numbers_with_a_point_are_as_they_are_written() -> None:
    for document in ([row("a", price=5.5, size=0.1)], {"a": {**BARE, "price": 5.5, "size": 0.1}}):
        found = read(json.dumps(document))
        assert (found.values("price"), found.values("size")) == ([5.5], [0.1])


def test_of_a_row_that_cannot_be_read_two_hundred_bytes_are_kept() -> None:
    bad = ["x" * size for size in (199, 200, 201)]
    found = list(JsonLines(io.BytesIO("\n".join(bad).encode()), "utf-8"))
    assert [one.text for one in found if isinstance(one, Unreadable)] == [line[:200] for line in bad]


class Said:
    """Objects that were read already."""

    unit: Unit = "row"
    line = 1
    note = None

    def __init__(self, *found: dict[str, object] | Unreadable) -> None:
        self._found = found
        self.looks = 0
        self.learnt_after = 0

    def __iter__(self) -> Iterator[dict[str, object] | Unreadable]:
        self.looks += 1
        return iter(self._found)

    def learn(self) -> None:
        self.learnt_after = self.looks


@pytest.mark.parametrize(("reason", "learnt_after"), [("malformed", 0), ("not_utf8", 1)])
def test_only_what_is_no_utf_8_is_read_once_more(reason: Literal["malformed", "not_utf8"], learnt_after: int) -> None:
    objects = Said(A, Unreadable(reason, "odd", "x"), {"more": 1})
    assert JsonRows(objects, "feed").names == [*A, "more"]
    assert (objects.learnt_after, objects.looks) == (learnt_after, learnt_after + 1)


def test_json_is_known_by_its_first_512_bytes() -> None:
    assert read(" " * 511 + json.dumps(A)).ids == ["a"]
    assert refusal(" " * 512 + json.dumps(A)).startswith("line 1: the header")


def test_files_that_were_joined_may_each_begin_with_a_mark() -> None:
    """C1."""
    assert read("".join(f"\ufeff{json.dumps(one)}\n" for one in (A, B))).ids == ["a", "b"]


class Counted(io.BytesIO):
    """Counts the lines that are asked for."""

    lines = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.lines += 1
        return super().readline(size)


def test_two_lines_tell_json_lines_from_a_document() -> None:
    stream = Counted(b'\n{"id": 1}\n' * 50)
    assert json_document.document_place(stream, "utf-8", "feed") is None
    assert stream.lines == 4


def test_western_json_is_read_in_a_list_and_by_lines() -> None:
    """C1."""
    for content in (json.dumps([A, B], ensure_ascii=False), "\n".join(map(json.dumps, (A, B)))):
        found = read(content.replace("\\u00e4", "ä").encode("cp1252"))
        assert found.values("name") == ["Käse", "Käse"]
        assert found.notes[0].startswith("is Windows-1252 or Latin-1, not UTF-8; read as that: ")


def test_json_that_is_not_strict_is_read_as_a_whole_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps([A, {"price": float("nan")}, B])
    monkeypatch.setattr(json_document, "MAX_TOLERANT_BYTES", len(text))
    assert read(text).ids == ["a", "b"]
    line = "the JSON is broken or cut short, or holds NaN; write one object a line"
    assert refusal(f"{text} ") == line


@pytest.mark.parametrize(
    ("bound", "most", "page"),
    [
        # The document, what stands before, and the list itself.
        ("_MAX_PARTS", 3, lambda more: {f"p{number}": [] for number in range(1 + more)}),
        ("_MAX_EVENTS", 20, lambda more: {"numbers": list(range(4 + more))}),
    ],
)
def test_a_long_beginning_is_searched_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch, bound: str, most: int, page: Callable[[int], dict[str, object]]
) -> None:
    monkeypatch.setattr(json_place, bound, most)
    assert read(json.dumps({**page(0), "stock": [A, B]})).ids == ["a", "b"]
    assert refusal(json.dumps({**page(1), "stock": [A, B]})).startswith("no column")


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_a_sequence_is_read_whatever_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(json_sequence, "BUFFER_BYTES", size)
    monkeypatch.setattr(json_sequence, "MAX_LINE_CHARACTERS", 300)
    long = row("long", more="x" * 400)
    limit = row("limit", more="")
    limit["more"] = "x" * (300 - len(json.dumps(limit)))
    found = read("\x1e" + "\x1e\n".join(map(json.dumps, (A, long, limit, B))) + "\n")
    assert found.ids == ["a", "limit", "b"]
    [line] = found.dropped["too_long"]
    assert line.startswith("row 2: longer than 300 characters: ")
