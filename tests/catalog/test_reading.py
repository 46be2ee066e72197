import asyncio
import gc
import gzip
import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import IO, cast

import orjson
import pytest
from structlog.testing import capture_logs

from service.aws.session import AwsSession
from service.catalog.adapters.file import FileSource, catalog_path
from service.catalog.adapters.memory import MemoryCatalog
from service.catalog.adapters.source import open_source
from service.catalog.ports import ItemCatalog
from service.catalog.reading.build import read_into_memory
from service.catalog.reading.digests import digest_patiently
from service.catalog.reading.recipe import Recipe
from service.errors import CatalogError
from tests.support.processes import RETAIL

RETAIL_ITEMS = RETAIL / "items.csv"
SAMPLE = Path(__file__).resolve().parents[2] / "sample" / "items.csv"
HEADER = "id,url,name,price,image"
GOOD = "a,http://shop/a,First,39.99,https://cdn/a.jpg"


def load(path: Path, content: str | bytes | None = None, *, mapping: Mapping[str, str] | None = None) -> MemoryCatalog:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    catalog = asyncio.run(FileSource(path.as_uri(), Recipe(mapping or {}, None, path.parent)).load(7))
    assert isinstance(catalog, MemoryCatalog)
    return catalog


def items(catalog: ItemCatalog, *item_ids: str) -> list[object]:
    return [None if row is None else orjson.loads(row.fragment) for row in catalog.rows(item_ids)]


def rendered(catalog: ItemCatalog, item_id: str) -> bytes:
    (row,) = catalog.rows([item_id])
    assert row is not None
    return row.fragment


def further(catalog: ItemCatalog, item_id: str) -> dict[str, object]:
    (row,) = catalog.rows([item_id])
    assert row is not None
    return dict(zip(catalog.columns, orjson.loads(row.extras), strict=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "items.csv"


def test_a_row_becomes_an_item_in_the_order_of_the_answer(path: Path) -> None:
    catalog = load(path, f"{HEADER}\n{GOOD}\n")
    (row,) = catalog.rows(["a"])
    assert row is not None
    assert row.fragment == (
        b'{"id":"a","url":"http://shop/a","name":"First","price":39.99,"image":"https://cdn/a.jpg"}'
    )
    assert (row.extras, row.eligible, catalog.version, len(catalog)) == (b"[]", True, 7, 1)


def test_rows_come_one_for_each_id_and_none_for_unknown_ones(path: Path) -> None:
    catalog = load(path, f"{HEADER}\n{GOOD}\n{GOOD.replace('a,', 'b,', 1)}\n")
    assert [row is None for row in catalog.rows(["b", "x", "a", "b"])] == [False, True, False, False]
    assert list(catalog.first_ids()) == ["a", "b"]


@pytest.mark.parametrize(
    "header",
    [
        "ID,URL,NAME,PRICE,IMAGE",
        "ITEM_ID,Url,Name,Price,Image",
        "item_id,url,name,price,image",
        f" {HEADER} ",
    ],
)
def test_columns_are_found_in_any_case_and_the_id_as_item_id(path: Path, header: str) -> None:
    catalog = load(path, f"{header}\n{GOOD}\n")
    assert len(catalog) == 1
    assert catalog.columns == ()


def test_our_name_is_preferred_and_the_other_kept(path: Path) -> None:
    catalog = load(path, f"ITEM_ID,{HEADER}\nother,{GOOD}\n")
    assert (list(catalog.first_ids()), further(catalog, "a")) == (["a"], {"ITEM_ID": "other"})


def test_columns_with_other_names_are_mapped(path: Path) -> None:
    mapping = {"name": "product_name", "price": "PRICE_USD"}
    catalog = load(path, f"id,url,product_name,PRICE_USD,image,name\n{GOOD},internal\n", mapping=mapping)
    assert items(catalog, "a")[0] == {
        "id": "a", "url": "http://shop/a", "name": "First", "price": 39.99, "image": "https://cdn/a.jpg",
    }  # fmt: skip
    assert further(catalog, "a") == {"name": "internal"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",http://u,N,1,http://i", "missing_id"),
        ("  ,http://u,N,1,http://i", "missing_id"),
        (f"{'x' * 257},http://u,N,1,http://i", "long_id"),
        ("b,,N,1,http://i", "missing_url"),
        ("b,http://u, ,1,http://i", "missing_name"),
        ("b,http://u,N,,http://i", "bad_price"),
        ("b,http://u,N,free,http://i", "bad_price"),
        ("b,http://u,N,-1,http://i", "bad_price"),
        ("b,http://u,N,nan,http://i", "bad_price"),
        ("b,http://u,N,inf,http://i", "bad_price"),
        ("b,http://u,N,1e999,http://i", "bad_price"),
        ("b,http://u,N,1_0,http://i", "bad_price"),
        ("b,http://u,N,1,", "missing_image"),
        ("b,http://u,N,1", "missing_image"),
        ("b,http://u,N,1,http://i,more", "malformed"),
        ("a,http://u,N,1,http://i", "duplicate"),
    ],
)
def test_an_incomplete_row_is_dropped_counted_and_named(path: Path, row: str, reason: str) -> None:
    with capture_logs() as logs:
        catalog = load(path, f"{HEADER}\n{GOOD}\n{row}\n")
    assert (catalog.report.rows, catalog.report.dropped) == (2, {reason: 1})
    assert list(catalog.first_ids()) == ["a"]
    assert b'"name":"First"' in rendered(catalog, "a")
    (log,) = logs
    assert (log["log_level"], log["reason"], log["count"]) == ("warning", reason, 1)
    assert "line 3" in log["first"][0]


def test_the_log_names_only_the_first_few(path: Path) -> None:
    rows = "\n".join(f"bad{n},,N,1,http://i" for n in range(1000))
    with capture_logs() as logs:
        load(path, f"{HEADER}\n{GOOD}\n{rows}\n")
    assert [(log["count"], log["first"]) for log in logs] == [(1000, [f"bad{n} (line {n + 3})" for n in range(5)])]


@pytest.mark.parametrize(
    ("written", "expected"), [("0", 0), ("12", 12), ("12.50", 12.5), (" 7 ", 7), ("1e2", 100.0), ("-0.0", 0)]
)
def test_a_price_is_a_json_number(path: Path, written: str, expected: float) -> None:
    catalog = load(path, f"{HEADER}\na,http://u,N,{written},http://i\n")
    (row,) = catalog.rows(["a"])
    assert row is not None
    assert orjson.loads(row.fragment)["price"] == expected
    assert b"-0" not in row.fragment


def test_ids_and_names_that_look_like_numbers_stay_text(path: Path) -> None:
    catalog = load(path, f"{HEADER}\n1.50,http://u,3,4,http://i\n007,http://u,3,4,http://i\n")
    assert items(catalog, "1.50", "007") == [
        {"id": "1.50", "url": "http://u", "name": "3", "price": 4, "image": "http://i"},
        {"id": "007", "url": "http://u", "name": "3", "price": 4, "image": "http://i"},
    ]


def test_a_bom_crlf_blank_lines_and_quoted_newlines_are_fine(path: Path) -> None:
    content = f'\ufeff{HEADER},note\r\n\r\na,http://u,"First, ""the"" best",1,http://i,"two\nlines"\r\n\r\n'
    catalog = load(path, content)
    assert items(catalog, "a")[0] == {
        "id": "a", "url": "http://u", "name": 'First, "the" best', "price": 1, "image": "http://i",
    }  # fmt: skip
    assert further(catalog, "a") == {"note": "two\nlines"}


def test_further_columns_are_numbers_only_when_all_their_values_are(path: Path) -> None:
    header = f"{HEADER},stock,weight,code,size,big,empty,brand"
    rows = (
        f"{GOOD},5,1.5,007,12,1234567890123456,,x",
        f"{GOOD.replace('a,', 'b,', 1)},,-2,12,XL,1,,",
    )
    catalog = load(path, "\n".join((header, *rows)))
    assert further(catalog, "a") == {
        "stock": 5, "weight": 1.5, "code": "007", "size": "12", "big": "1234567890123456", "empty": None,
        "brand": "x",
    }  # fmt: skip
    assert further(catalog, "b") == {
        "stock": None, "weight": -2, "code": "12", "size": "XL", "big": "1", "empty": None, "brand": None,
    }  # fmt: skip


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    lines = [
        {"ITEM_ID": 12, "url": "http://u", "name": "Ü", "price": 5, "image": "http://i", "tags": ["x", None]},
        {"ITEM_ID": "b", "url": "http://u", "name": "B", "price": "7.5", "image": "http://i", "stock": "007"},
        {"ITEM_ID": True, "url": "http://u", "name": "B", "price": 1, "image": "http://i"},
        {"ITEM_ID": "c", "url": "http://u", "name": "B", "price": True, "image": "http://i"},
        {"ITEM_ID": "d", "url": "http://u", "name": "B", "image": "http://i"},
        ["no object"],
    ]
    text = "\ufeff" + "\r\n".join(json.dumps(line) for line in lines) + "\r\n\r\n{broken"
    catalog = load(tmp_path / "items.jsonl", text)
    assert list(catalog.first_ids()) == ["12", "b"]
    assert catalog.columns == ("tags", "stock")
    assert further(catalog, "12") == {"tags": ["x", None], "stock": None}
    assert further(catalog, "b") == {"tags": None, "stock": "007"}
    assert items(catalog, "b")[0] == {
        "id": "b",
        "url": "http://u",
        "name": "B",
        "price": 7.5,
        "image": "http://i",
    }
    assert catalog.report.dropped == {"missing_id": 1, "bad_price": 2, "malformed": 2}


def test_a_row_that_nests_too_deep_is_dropped_and_no_other(tmp_path: Path) -> None:
    row = '{"id":"%s","url":"http://u","name":"n","price":1,"image":"http://i","tags":%s}\n'
    deep = "[" * 300 + "]" * 300
    catalog = load(tmp_path / "items.jsonl", row % ("a", "[1]") + row % ("b", deep) + row % ("c", "[]"))
    assert list(catalog.first_ids()) == ["a", "c"]
    assert catalog.report.dropped == {"malformed": 1}


@pytest.mark.parametrize("name", ["items.csv.gz", "items.jsonl.gz"])
def test_gzip_is_read(tmp_path: Path, name: str) -> None:
    row = {"id": "a", "url": "http://u", "name": "n", "price": 1, "image": "http://i"}
    plain = f"{HEADER}\n{GOOD}\n" if ".csv" in name else json.dumps(row)
    assert len(load(tmp_path / name, gzip.compress(plain.encode()))) == 1


GZIPPED = gzip.compress("\n".join([HEADER, *(f"{n}{GOOD}" for n in range(500))]).encode())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("items.csv", "", "empty"),
        ("items.csv", f"{HEADER}\n", "no usable row .no rows"),
        ("items.csv", f"{HEADER}\n,,,,\n", "no usable row .1 missing_id"),
        ("items.csv", f"id,url,name,price\n{GOOD}\n", "no column image; it has id, url, name, price"),
        ("items.csv", f"{GOOD}\n{GOOD}\n", "no column id, url, name, price, image: the first line is no header"),
        ("items.csv", f"{HEADER},id\n{GOOD},b\n", "names id more than once"),
        ("items.csv", f'id,"u"rl,name\n{GOOD}\n', "line 1: the header .* cannot be read: ',' expected after '\"'"),
        ("items.csv.gz", GZIPPED[: len(GZIPPED) // 2], "cut short"),
        ("items.csv.gz", GZIPPED[:40] + b"\0" * 40 + GZIPPED[80:], "gzip"),
        ("items.csv", f"{HEADER},{','.join(f'c{n}' for n in range(996))}\n{GOOD}\n", "more than 1,000 columns"),
        (
            "items.csv.gz",
            gzip.compress(b"\0" * 2_000_000),
            "line 1: the header .* cannot be read",
        ),
        ("items.jsonl", "", "empty"),
        ("items.jsonl", "".join(f'{{"key{n}": 1}}\n' for n in range(1001)), "more than 1,000 columns"),
        ("items.jsonl.gz", gzip.compress(b"{}\n" + b"[" * 2_000_000), "no usable row .line 2: longer than"),
        ("items.jsonl", "no json\n", "'no json', has only one column"),
        ("items.jsonl", '{"id": "a"}\n', "no column url, name, price, image"),
        ("items.jsonl.gz", GZIPPED[: len(GZIPPED) // 2], "cut short"),
    ],
)
def test_a_file_that_cannot_work_is_one_line(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    with pytest.raises(CatalogError, match=words) as caught:
        load(tmp_path / name, content)
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="cannot be read: No such file"):
        load(tmp_path / "items.csv")


def test_a_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "items.csv").mkdir()
    with pytest.raises(CatalogError, match="cannot be read: Is a directory"):
        load(tmp_path / "items.csv")


async def test_what_is_no_file_is_left_closed(tmp_path: Path) -> None:
    source = FileSource(tmp_path.as_uri(), Recipe({}, None, tmp_path))
    before = os.listdir("/proc/self/fd")
    for look in (source.version, lambda: source.load(1)):
        with pytest.raises(CatalogError, match="cannot be read: Is a directory"):
            await look()
    assert len(os.listdir("/proc/self/fd")) <= len(before)


def test_a_filter_that_is_none_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="EXCLUSION_FILTER: line 1, column 8"):
        open_source(
            "file:none.csv",
            aws=cast(AwsSession, None),
            column_mapping={},
            exclusion_filter="EXCLUDE",
            data_dir=tmp_path,
        )


def test_a_mapped_column_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(CatalogError, match="no column title"):
        load(path, f"{HEADER}\n{GOOD}\n", mapping={"name": "title"})
    with pytest.raises(CatalogError, match="title: only id, url"):
        load(path, mapping={"title": "name"})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("file:///srv/items.csv", "/srv/items.csv"),
        ("file://localhost/srv/items.csv", "/srv/items.csv"),
        ("file:sample/items.csv", "sample/items.csv"),
        ("file:localhost.csv", "localhost.csv"),
        ("file://./sample/items.csv.gz", "sample/items.csv.gz"),
        ("file://../items.jsonl", "../items.jsonl"),
        ("file:/srv/a%20b.jsonl.gz", "/srv/a b.jsonl.gz"),
        ("file:///srv/a#b?.csv", "/srv/a#b?.csv"),
    ],
)
def test_absolute_and_relative_urls_name_a_file(url: str, expected: str) -> None:
    assert catalog_path(url) == Path(expected)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://bucket/items.csv", "not a file: URL"),
        ("/srv/items.csv", "not a file: URL"),
        ("file://[x/items.csv", "IPv6"),
        ("file://sample/items.csv", "write file:///sample/items.csv .* or file:sample/items.csv"),
    ],
)
def test_other_urls_are_refused_with_a_hint(url: str, words: str) -> None:
    with pytest.raises(CatalogError, match=words):
        catalog_path(url)


def test_the_exclusion_sees_typed_rows_under_both_names(path: Path) -> None:
    seen: list[Mapping[str, object]] = []

    def eligible(row: Mapping[str, object]) -> bool:
        seen.append(row)
        return row["STOCK"] != 0

    second = GOOD.replace("a,", "b,", 1)
    content = f"ITEM_ID,url,name,PRICE,image,STOCK\n{GOOD},3\n{second},0\n{GOOD},1\n"
    path.write_text(content)
    with path.open("rb") as stream:
        catalog = read_into_memory(stream, label="items", column_mapping={}, version=1, exclusion=lambda _: eligible)
    assert [row and row.eligible for row in catalog.rows(["a", "b"])] == [True, False]
    assert len(seen) == 2
    assert [seen[0][name] for name in ("ITEM_ID", "id", "PRICE", "price", "STOCK")] == [
        "a",
        "a",
        39.99,
        39.99,
        3,
    ]


def test_the_garbage_collector_does_not_walk_the_items(path: Path) -> None:
    rows = "\n".join(f"{n}{GOOD}" for n in range(1000))
    catalog = load(path, f"{HEADER}\n{rows}\n")
    gc.collect()
    assert not gc.is_tracked(catalog._records)


async def test_other_content_of_the_same_size_and_time_is_another_version(path: Path) -> None:
    path.write_text(f"{HEADER}\n{GOOD}\n")
    source = FileSource(path.as_uri(), Recipe({}, None, path.parent))
    await source.load(1)
    assert await source.version() == source.loaded_version
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the file system's clock ticks every few milliseconds
        path.write_text(f"{HEADER}\n{GOOD.replace('39.99', '29.99')}\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await source.version() != source.loaded_version
    catalog = await source.load(2)
    assert b"29.99" in rendered(catalog, "a")
    assert await source.version() == source.loaded_version


async def test_a_file_that_is_as_it_was_is_looked_at_without_being_opened_or_hashed_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    opened: list[FileSource] = []
    opening = FileSource._open

    def noted(source: FileSource) -> int:
        opened.append(source)
        return opening(source)

    async def counted(stream: IO[bytes], label: str) -> str:
        hashed.append(label)
        return await digest_patiently(stream, label)

    monkeypatch.setattr("service.catalog.adapters.file.digest_patiently", counted)
    monkeypatch.setattr(FileSource, "_open", noted)
    path.write_text(f"{HEADER}\n{GOOD}\n")
    source = FileSource(path.as_uri(), Recipe({}, None, path.parent))
    for version in (1, 2):
        await source.load(version)
        await source.version()
    assert hashed == [str(path)]
    assert source.loaded_version == sha256(path.read_bytes()).hexdigest()
    assert opened == [source] * 2
    async with source.opened() as content:
        assert os.get_blocking(content.stream.fileno())


def test_the_sample_loads_whole() -> None:
    if not SAMPLE.exists():
        pytest.skip("the sample data is not there")
    catalog = load(SAMPLE)
    assert len(catalog) == catalog.report.rows >= 50


def test_the_retail_catalogue_loads_whole() -> None:
    if not RETAIL_ITEMS.exists():
        pytest.skip("the retail data set is not beside the checkout")
    catalog = load(RETAIL_ITEMS)
    assert (len(catalog), catalog.report.dropped) == (2465, {})
    first = next(iter(catalog.first_ids()))
    assert further(catalog, first)["stock"] == 15
    assert isinstance(further(catalog, first)["description"], str)
