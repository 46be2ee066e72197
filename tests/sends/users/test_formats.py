"""What comes out of a file of users, and what is said of the lines of which nobody came."""

import gzip
import json
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.catalog.reading.cells import NOTHING
from service.cli.prewarm import named_files
from service.sends.users.files import UsersFiles
from service.sends.users.findings import Findings, UsersFileError


def read(path: Path, column: str = "") -> tuple[list[str], list[str]]:
    findings = Findings()
    return list(UsersFiles(named_files([str(path)], ExitStack()), column).users(findings)), findings.words()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_segment_export_with_windows_line_ends_and_a_byte_order_mark_is_read_by_its_usual_column(
    tmp_path: Path,
) -> None:
    export = '\ufeffemail,user_id,city\r\na@x.test,u1,Berlin\r\nb@x.test,u2,"K\u00f6ln, ""Mitte"""\r\n'
    assert read(written(tmp_path / "a.csv", export.encode())) == (["u1", "u2"], [])


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("x,external_id", ""),
        ("external_id,user_id", ""),
        ("x,USER_ID", ""),
        ("x,userId", ""),
        ("user_id,mine", "mine"),
        ("user_id,Mine", "mine"),
        ("x;user_id", ""),
        ("x\tuser_id", ""),
    ],
)
def test_the_column_is_the_one_named_or_the_usual_one_whatever_its_case_and_the_delimiter(
    tmp_path: Path, header: str, column: str
) -> None:
    delimiter = next(one for one in ",;\t" if one in header)
    path = written(tmp_path / "a.csv", f"{header}\nno{delimiter}yes\n".encode())
    assert read(path, column) == (["yes"], [])


@pytest.mark.parametrize("column", ["", "mine"])
def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path, column: str) -> None:
    path = written(tmp_path / "a.csv", b"email,city\na,b\n")
    with pytest.raises(UsersFileError, match="no column .*; its columns: email, city; name one with --column"):
        read(path, column)


def test_lines_without_a_user_are_named_by_kind_and_number_and_the_good_ones_are_done(tmp_path: Path) -> None:
    lines = ["n,user_id", "1,u1", "", "2,", "3", f"4,{'x' * 300}", "5,u1", "6,u2", f"7,{'y' * 256}"]
    path = written(tmp_path / "a.csv", "\r\n".join(lines).encode() + b"\r\n8,\xff\xfe\r\n9,u3")
    assert read(path) == (
        ["u1", "u2", "y" * 256, "u3"],
        [
            "1 line left out, blank: 3",
            "2 lines left out, no user id: 4, 5",
            "1 line left out, an id of more than 256 characters: 6",
            "1 line left out, a user named before: 7",
            "1 line left out, not UTF-8: 10",
        ],
    )


def test_only_the_first_numbers_of_many_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"user_id,n\n" + b",1\n" * 1200 + b"u,1\n")
    assert read(path) == (["u"], ["1,200 lines left out, no user id: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1,190 more"])


def test_blank_lines_and_repetitions_are_no_faults(tmp_path: Path) -> None:
    findings = Findings()
    assert list(UsersFiles(named_files([str(written(tmp_path / "a", b"u\n\nu\n"))], ExitStack())).users(findings)) == [
        "u"
    ]
    assert findings.counts.total() == 2
    assert findings.faults == 0


def test_a_quote_that_is_not_closed_makes_no_user_of_the_lines_that_it_swallows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b'user_id\nu1\n"u2\nu3\nu4\n')
    users, words = read(path)
    assert users == ["u1"]
    assert words == ["1 line left out, an id with a line break, perhaps a quote that is not closed: 3"]


def test_reading_goes_on_behind_a_field_without_end(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b'user_id\nu1\n"' + b"x\n" * 100_000 + b"u2\n")
    users, words = read(path)
    assert users[0] == "u1"
    assert users[-1] == "u2"
    assert any("a quote that is not closed or a field without end: 3" in one for one in words)


def test_json_lines_may_be_objects_or_ids(tmp_path: Path) -> None:
    lines = ['{"user_id": "u1"}', '"u2"', '{"external_id": 3}', "4", "", "{", '{"name": "x"}', "null", "true", "[]"]
    path = written(tmp_path / "a.jsonl", "\n".join(lines).encode())
    assert read(path) == (
        ["u1", "u2", "3", "4"],
        [
            "1 line left out, blank: 5",
            "1 line left out, not JSON: 6",
            "4 lines left out, no user id: 7, 8, 9, 10",
        ],
    )


def test_commas_between_lines_of_json_cost_no_user(tmp_path: Path) -> None:
    lines = ['{"user_id": "u1"},', '{"user_id": "u2"} , ', '"u3",', '{"user_id": "u4"},,']
    path = written(tmp_path / "a.jsonl", "\r\n".join(lines).encode())
    assert read(path) == (["u1", "u2", "u3"], ["1 line left out, not JSON: 4"])


@pytest.mark.parametrize("header", ["user_id,size\n", ""])
def test_ids_that_excel_rounded_are_left_out_and_formulas_read_as_their_text(tmp_path: Path, header: str) -> None:
    further = ",1" if header else ""
    ids = ["u1", '="007"', "1.23457E+12", "9E+15", "1E5"]
    path = written(
        tmp_path / ("a.csv" if header else "a.txt"), (header + "".join(f"{one}{further}\n" for one in ids)).encode()
    )
    users, words = read(path)
    assert users == ["u1", "007", "1E5"]
    places = "4, 5" if header else "3, 4"
    assert words == [f"2 lines left out, a number that Excel rounded; format its column as text: {places}"]


def test_plain_lines_of_gzip_are_ids(tmp_path: Path) -> None:
    path = written(tmp_path / "users.txt.gz", gzip.compress("u1\r\n u2 \r\nü3".encode()))
    assert read(path) == (["u1", "u2", "ü3"], [])


def test_a_damaged_gzip_file_is_said_in_words(tmp_path: Path) -> None:
    whole = gzip.compress(b"user\n" * 10_000)
    with pytest.raises(UsersFileError, match="damaged or cut short"):
        read(written(tmp_path / "a.gz", whole[:-20]))


def test_utf_16_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(UsersFileError, match="is UTF-16; save it as UTF-8"):
        read(written(tmp_path / "a.csv", "user_id\nu1".encode("utf-16")))


def test_an_empty_csv_lacks_the_column(tmp_path: Path) -> None:
    with pytest.raises(UsersFileError, match="its columns: none"):
        read(written(tmp_path / "a.csv", b""))


def test_a_line_without_end_is_left_out_and_not_held_in_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "a", b"u1\n" + b"x" * 30_000_000 + b"\nu2\n")
    tracemalloc.start()
    try:
        assert read(path) == (["u1", "u2"], ["1 line left out, a line without end: 2"])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=20)))
def test_every_user_of_a_json_lines_file_comes_out_once_and_in_order(users: list[str]) -> None:
    import tempfile  # noqa: PLC0415  # hypothesis and tmp_path do not go together

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.jsonl"
        path.write_text("\n".join(json.dumps({"user_id": one}) for one in users), "utf-8")
        trimmed = dict.fromkeys(one.strip() for one in users)
        wanted = [one for one in trimmed if one not in NOTHING and not one.startswith("{")]
        assert read(path)[0] == wanted
