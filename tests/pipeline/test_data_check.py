# ruff: noqa: E501  # one broken data set a line, as a table
"""What `data check` says of data, through the command."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.support.processes import RETAIL
from tests.support.shop_data import NOW, as_csv, catalogue, interactions, people, write_shop


def check(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["data", "check", *map(str, words)])


def found(*words: str | Path) -> dict[str, Any]:
    result = check(*words, "--json")
    assert result.exit_code in {0, 1}, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["ok"] == (result.exit_code == 0 if "fixed" not in report else report["ok"])
    return report


def faults(report: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    """What is said besides notes: code, file and line."""
    return [(one["code"], Path(one["file"]).name, one["line"]) for one in report["findings"] if one["level"] != "note"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    write_shop(folder)
    return folder


def test_data_as_personalize_wants_it_passes(shop: Path) -> None:
    result = check(shop)

    assert result.exit_code == 0, result.output
    assert "0 errors, 0 warnings" in result.output
    assert "40 users, 40 with two interactions or more; 30 items" in result.output
    assert "Purchase" in result.output


def rows_of(change: Callable[[list[list[str]]], None], rows: list[list[str]]) -> str:
    change(rows)
    return as_csv(rows)


def cell(line: int, column: int, value: str) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        rows[line - 1][column] = value

    return change


def each(cells: Sequence[tuple[int, int, str]]) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        for line, column, value in cells:
            cell(line, column, value)(rows)

    return change


def every(column: int, value: Callable[[str], str]) -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        for row in rows[1:]:
            row[column] = value(row[column])

    return change


def wide(columns: int, value: str = "x") -> Callable[[list[list[str]]], None]:
    def change(rows: list[list[str]]) -> None:
        rows[0] += [f"EXTRA_{at}" for at in range(columns)]
        for row in rows[1:]:
            row.extend([value] * columns)

    return change


def shorten(rows: list[list[str]]) -> None:
    rows[9].pop()


def valued(rows: list[list[str]]) -> None:
    wide(1, "1.5")(rows)
    cell(5, 4, "high")(rows)
    cell(1, 4, "EVENT_VALUE")(rows)


EVENTS, ITEMS, USERS = "interactions.csv", "items.csv", "users.csv"
LONG = "x" * 257

BROKEN: dict[str, tuple[str, str | bytes, list[tuple[str, str, int | None]]]] = {
    "milliseconds": (EVENTS, rows_of(every(3, lambda t: f"{t}000"), interactions()), [("timestamp-not-seconds", EVENTS, 2)]),
    "many cells": (EVENTS, rows_of(each([
        (9, 3, f"{NOW}000000"), (5, 3, "2025-02-19T21:20:00Z"), (7, 3, f"{NOW}.5"), (8, 3, ""), (3, 0, ""), (4, 1, " i3"),
        (6, 2, ""), (10, 2, "view"), (11, 2, " View")]), interactions()), [
        ("timestamp-not-seconds", EVENTS, 9), ("timestamp-not-number", EVENTS, 5), ("timestamp-not-whole", EVENTS, 7),
        ("timestamp-empty", EVENTS, 8), ("id-empty", EVENTS, 3), ("id-with-blanks", EVENTS, 4),
        ("event-type-empty", EVENTS, 6), ("event-type-spellings", EVENTS, None), ("event-type-with-blanks", EVENTS, 11)]),
    "the future and 1970": (EVENTS, rows_of(each([(7, 3, "9000000000"), (8, 3, "1740988")]), interactions()), [
        ("timestamp-in-the-future", EVENTS, 7), ("timestamp-implausible", EVENTS, 8)]),
    "a long id": (ITEMS, rows_of(cell(31, 0, LONG), [*catalogue()[:30], ["i29", "1", "tea", "true"], ["i30", "1", "tea", "true"]]), [
        ("id-too-long", ITEMS, 31), ("item-not-known", ITEMS, None)]),
    "eleven types": (EVENTS, rows_of(every(2, lambda t: t), [
        row if at == 0 else [*row[:2], f"T{at % 11}", row[3]] for at, row in enumerate(interactions())]), [("too-many-event-types", EVENTS, None)]),
    "999 rows": (EVENTS, as_csv(interactions(999)), [("too-few-interactions", EVENTS, None)]),
    "24 users": (EVENTS, as_csv(interactions(1_200, users=24)), [("too-few-returning-users", EVENTS, None)]),
    "a missing column": (EVENTS, as_csv([row[:3] for row in interactions()]), [("missing-column", EVENTS, 1)]),
    "a lower-case column and a quoted one": (EVENTS, as_csv(interactions()).replace("USER_ID", "user_id").replace("ITEM_ID", '"ITEM_ID"'), [
        ("column-name", EVENTS, 1), ("quoted-header", EVENTS, 1)]),
    "another name": (ITEMS, as_csv(catalogue()).replace("ITEM_ID", "sku"), [("column-name", ITEMS, 1)]),
    "no header": (EVENTS, as_csv(interactions()[1:]), [("no-header", EVENTS, 1)]),
    "semicolons": (EVENTS, as_csv(interactions(), ";"), [("wrong-delimiter", EVENTS, 1)]),
    "a mark": (EVENTS, "\ufeff" + as_csv(interactions()), [("byte-order-mark", EVENTS, 1)]),
    "Latin-1": (ITEMS, as_csv(catalogue()).replace("books", "b\u00fccher").encode("latin-1"), [("not-utf8", ITEMS, 3)]),
    "a short row and a time of 40 digits": (EVENTS, rows_of(shorten, [*interactions()[:5], ["u1", "i1", "View", "9" * 40], *interactions()[6:]]), [
        ("malformed-row", EVENTS, 10), ("timestamp-not-seconds", EVENTS, 6)]),
    "a row twice and an open quote": (EVENTS, as_csv([*interactions(), interactions()[4]]) + '"u1,i1,View,1740000000\n', [
        ("duplicate-rows", EVENTS, 1_202), ("malformed-row", EVENTS, 1_203)]),
    "six more columns": (EVENTS, rows_of(wide(6), interactions()), [("too-many-columns", EVENTS, None)]),
    "an empty column": (ITEMS, rows_of(wide(1, ""), catalogue()), [("empty-column", ITEMS, None)]),
    "a reserved name": (EVENTS, rows_of(wide(1), interactions()).replace("EXTRA_0", "SESSION_ID"), [("unsendable-column", EVENTS, 1)]),
    "an illegal name": (ITEMS, rows_of(wide(1), catalogue()).replace("EXTRA_0", "2nd price"), [("illegal-column-name", ITEMS, 1)]),
    "a name twice": (ITEMS, rows_of(wide(1), catalogue()).replace("EXTRA_0", "PRICE"), [("duplicate-column", ITEMS, 1)]),
    "a name in two cases": (ITEMS, rows_of(wide(1), catalogue()).replace("EXTRA_0", "price"), [("duplicate-column", ITEMS, 1)]),
    "a decimal comma": (ITEMS, rows_of(cell(8, 2, '"5,50"'), catalogue()), [("decimal-comma", ITEMS, 8)]),
    "ids of pandas": (USERS, as_csv([*people(), ["40.0", "33"]]), [("id-written-as-float", USERS, 42)]),
    "many values": (ITEMS, rows_of(each([(8, 1, "call us"), (9, 3, "TRUE"), (10, 2, "n/a"), (11, 2, "x" * 1_001)]), catalogue()), [
        ("value-not-number", ITEMS, 8), ("boolean-not-lower-case", ITEMS, 9), ("null-word", ITEMS, 10), ("category-too-long", ITEMS, 11)]),
    "infinity": (ITEMS, rows_of(cell(8, 1, "inf"), catalogue()), [("value-not-number", ITEMS, 8)]),
    "a value that is none": (EVENTS, rows_of(valued, interactions()), [
        ("event-value-not-number", EVENTS, 5)]),
    "an id twice": (ITEMS, as_csv([*catalogue(), catalogue()[4]]), [("duplicate-id", ITEMS, 32)]),
    "an item missing": (ITEMS, as_csv(catalogue(29)), [("item-not-known", ITEMS, None)]),
    "a user missing": (USERS, as_csv(people(39)), [("user-not-known", USERS, None)]),
    "other ids": (USERS, rows_of(every(0, lambda u: f"x{u}"), people()), [("no-user-known", USERS, None)]),
    "ids only": (USERS, as_csv([row[:1] for row in people()]), [("no-metadata", USERS, None)]),
    "no rows": (USERS, "USER_ID,AGE\n", [("no-rows", USERS, None)]),
    "an empty file": (USERS, "", [("no-rows", USERS, None)]),
    "a null word": (EVENTS, rows_of(cell(3, 0, "NULL"), interactions()), [("id-is-null-word", EVENTS, 3), ("user-not-known", USERS, None)]),
}  # fmt: skip


MENDED = {
    *("milliseconds", "many cells", "a lower-case column and a quoted one", "another name", "semicolons", "a mark", "Latin-1"),
    *("a name in two cases", "a short row and a time of 40 digits", "a row twice and an open quote"),
    *("six more columns", "an empty column", "an illegal name", "a name twice"),
    *("many values", "infinity", "a value that is none", "an id twice"),
}  # fmt: skip


def at_once() -> Iterator[tuple[str, ...]]:
    """Faults of different files, which a single check finds."""
    for can_be_mended in (True, False):
        of_file = [
            [name for name, (of, _, _) in BROKEN.items() if of == file and (name in MENDED) == can_be_mended]
            for file in (EVENTS, ITEMS, USERS)
        ]
        for names in zip_longest(*of_file):
            yield tuple(name for name in names if name is not None)


@pytest.mark.long
@pytest.mark.parametrize("names", list(at_once()), ids=" and ".join)
def test_each_fault_is_named_and_nothing_else_and_mended_if_it_can_be(
    shop: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    expected: list[tuple[str, str, int | None]] = []
    for name in names:
        file, content, findings = BROKEN[name]
        (shop / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        expected += findings
    can_be_mended = names[0] in MENDED

    report = found(shop, *(("--fix", tmp_path / "fixed") if can_be_mended else ()))

    assert sorted(faults(report), key=str) == sorted(expected, key=str)
    if can_be_mended:
        assert faults(report["fixed"]) == []
        # Rows that were wrong beyond mending.
        left_out = {"many cells": 3, "a short row and a time of 40 digits": 2}.get(names[0], 1)
        assert report["fixed"]["datasets"]["interactions"]["rows"] >= 1_200 - left_out


def test_a_line_is_the_files_whatever_stands_before_it(shop: Path) -> None:
    rows = [",".join(row) for row in interactions()]
    rows[3] = '"u3","i\n3",View,1740000120'
    rows[7] = "u7,i7,View"
    rows[12] = "u12,i12,View,soon"
    (shop / EVENTS).write_text("\n".join([*rows[:5], "", "", *rows[5:]]) + "\n", "utf-8")

    lines = {code: line for code, _, line in faults(found(shop))}

    # One more for the cell of two lines, two for the blank ones.
    assert (lines["malformed-row"], lines["timestamp-not-number"]) == (11, 16)


def test_a_row_is_found_in_the_file_of_several_that_holds_it(shop: Path) -> None:
    header, *rows = interactions()
    rows[900][3] = "soon"
    (shop / EVENTS).unlink()
    (shop / "interactions").mkdir()
    for at in range(3):
        (shop / f"interactions/part-{at}.csv").write_text(as_csv([header, *rows[at * 400 : at * 400 + 400]]), "utf-8")

    assert faults(found(shop)) == [("timestamp-not-number", "part-2.csv", 102)]


def test_json_lines_parquet_and_gzip_are_read_and_said_to_need_converting(shop: Path) -> None:
    header, *rows = interactions()
    (shop / EVENTS).unlink()
    lines = [json.dumps({**dict(zip(header, row, strict=True)), "TIMESTAMP": int(row[3])}) for row in rows]
    lines[4] = "{"
    with gzip.open(shop / "interactions.jsonl.gz", "wt") as stream:
        stream.write("\n".join(lines))
    duckdb.execute(f"COPY (FROM read_csv('{shop / ITEMS}')) TO '{shop / 'items.parquet'}' (FORMAT parquet)")
    (shop / ITEMS).unlink()

    report = found(shop)

    assert faults(report) == [
        ("malformed-row", "interactions.jsonl.gz", 5),
        ("not-plain-csv", "interactions.jsonl.gz", None),
        ("not-plain-csv", "items.parquet", None),
    ]
    assert {kind: one["rows"] for kind, one in report["datasets"].items()} == {
        "interactions": 1_199, "items": 30, "users": 40,
    }  # fmt: skip


def test_the_schema_follows_from_the_values(shop: Path) -> None:
    fields = {field["name"]: field for field in found(shop)["schemas"]["items"]["fields"]}

    assert fields["PRICE"]["type"] == ["null", "float"]
    assert fields["CATEGORY"] == {"name": "CATEGORY", "type": ["null", "string"], "categorical": True}
    assert fields["IN_STOCK"]["type"] == ["null", "boolean"]
    assert found(shop)["schemas"]["interactions"]["fields"][2] == {"name": "TIMESTAMP", "type": "long"}


def test_fix_keeps_every_value_that_was_right(shop: Path, tmp_path: Path) -> None:
    rows = interactions()
    rows[5][3] = f"{rows[5][3]}123"
    (shop / EVENTS).write_text(as_csv(rows), "utf-8")

    assert check(shop, "--fix", tmp_path / "fixed").exit_code == 0
    with (tmp_path / "fixed" / EVENTS).open() as stream:
        written = {tuple(sorted(row.items())) for row in csv.DictReader(stream)}

    assert written == {tuple(sorted(zip(rows[0], row, strict=True))) for row in interactions()[1:]}


def test_fix_never_writes_over_what_it_reads(shop: Path) -> None:
    before = (shop / EVENTS).read_bytes()

    result = check(shop, "--fix", shop)

    assert result.exit_code == 2
    assert "one of the files to mend" in result.output
    assert (shop / EVENTS).read_bytes() == before


def test_a_domain_wants_columns_of_its_own(shop: Path) -> None:
    codes = faults(found(shop, "--domain", "ECOMMERCE"))

    assert codes == [("missing-column", ITEMS, 1)]


def test_a_solution_that_trains_on_one_event_needs_enough_of_it(shop: Path) -> None:
    assert faults(found(shop, "--event-type", "Purchase")) == [("too-few-of-event-type", EVENTS, None)]


def test_a_file_whose_name_says_nothing_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text("A\n1\n", "utf-8")

    result = check(tmp_path)

    assert result.exit_code == 2
    assert "--interactions, --items or --users" in result.output


@pytest.mark.long
@pytest.mark.skipif(not RETAIL.exists(), reason="the retail data is not on this machine")
def test_the_retail_data_needs_a_renamed_column_and_nothing_else() -> None:
    report = found(RETAIL)

    assert [code for code, _, _ in faults(report)] == ["column-name", "not-plain-csv"]
    assert report["history"]["event_types"]["View"] == 86_208
    assert report["history"]["returning_users"] == 5_985
