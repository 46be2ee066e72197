"""Files of users as Braze, shops and shells hand them over: what they hold shows from their content."""

import gzip
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from service.cli.prewarm import named_files
from service.sends.users.files import UsersFiles
from service.sends.users.findings import Findings, UsersFileError
from tests.support.amazon import Amazon

BRAZE = [
    {"external_id": "u1", "email": "one@shop.example", "braze_id": "b1", "custom_attributes": {"user_id": "no"}},
    {"external_id": "u2", "email": "two@shop.example", "purchases": [{"name": "a, b", "count": 1}]},
    {"braze_id": "b3", "user_aliases": [{"alias_name": "x", "alias_label": "y"}]},
]
"""As `/users/export/segment` writes them; the last one has no external id."""


def json_lines(users: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in users).encode()


EXPORT = json_lines(BRAZE)  # type: ignore[arg-type]  # values of any kind


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name.replace("__", "/").replace("_txt", ".txt"), content)
    return buffer.getvalue()


def read(*names: str | Path, column: str = "") -> tuple[list[str], list[str]]:
    findings = Findings()
    with ExitStack() as stack:
        users = UsersFiles(named_files([str(name) for name in names], stack), column)
        first = list(users.users(findings))
        assert list(dict.fromkeys(users.users())) == first  # a prewarm reads them twice
    return first, findings.words()


@pytest.mark.parametrize("name", ["users.txt", "users", "users.csv", "users.zip", "users.json.gz"])
@pytest.mark.parametrize(
    "packed",
    [
        lambda content: content,
        gzip.compress,
        lambda content: archive(a_txt=content),
        lambda content: gzip.compress(gzip.compress(content)),
        lambda content: archive(a__b_txt=gzip.compress(content)),
    ],
    ids=["plain", "gzip", "zip", "gzip twice", "gzip in zip"],
)
def test_an_export_of_a_segment_is_read_however_it_is_packed_and_named(
    tmp_path: Path, name: str, packed: Callable[[bytes], bytes]
) -> None:
    """H1: whole lines with e-mail addresses became user ids."""
    path = tmp_path / name
    path.write_bytes(packed(EXPORT))
    users, words = read(path)
    assert users == ["u1", "u2"]
    assert len(words) == 1
    assert words[0].startswith("1 line left out, no user id: ")


def test_many_files_of_one_export_are_one_set_of_users_and_each_line_names_its_file(tmp_path: Path) -> None:
    """H1: Braze writes a file for every 5,000 users."""
    folder = tmp_path / "segment-export" / "2026-11-25"
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(archive(one_txt=EXPORT, two_txt=json_lines([{"external_id": "u3"}, {"x": 1}])))
    (folder / "b.txt").write_bytes(json_lines([{"external_id": "u2"}, {"external_id": "u4"}]))
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    for names in ([tmp_path / "segment-export"], [folder / "*"], [folder / "a.zip", folder / "b.txt"]):
        users, words = read(*names)
        assert users == ["u1", "u2", "u3", "u4"]
        assert words == [
            f"2 lines left out, no user id: {folder}/a.zip/one.txt:3, {folder}/a.zip/two.txt:2",
            f"1 line left out, a user named before: {folder}/b.txt:1",
        ]


def test_what_a_system_puts_beside_the_files_of_an_archive_is_no_user(tmp_path: Path) -> None:
    """H1."""
    path = tmp_path / "users.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.mkdir("export")
        packed.writestr("export/users.txt", EXPORT)
        packed.writestr("__MACOSX/export/._users.txt", b"\0\5\26\7")
    assert read(path)[0] == ["u1", "u2"]


@pytest.mark.parametrize(
    ("content", "users"),
    [
        (b"\xef\xbb\xbfuser_id;email\r\nu1;a@x.example\r\n", ["u1"]),
        (b'"Braze ID","country","user_id"\n"b1","DE"," u1 "\n', ["u1"]),
        (b"country\tUser ID\nDE\tu1\n", ["u1"]),
        (b"sep=;\r\nuser_id;country\r\nu1;DE\r\n", ["u1"]),
        (b"user_id, country\n u1, DE\n", ["u1"]),
        (b"external-id\nu1\n", ["u1"]),
        (b"auth0|12\nu 2\n7\n", ["auth0|12", "u 2", "7"]),
        (b'"u1"\n"a,b"\n', ["u1", "a,b"]),
        (b'\n\n{"userId": "u1"}\n', ["u1"]),
        (b'{"USER_ID": 12.0}\n{"user_id": 9007199254740993}\n', ["12", "9007199254740993"]),
        (b"12\n013\n", ["12", "013"]),
        (b"# made today\n#twice\nuser_id,country\nu1,DE\n", ["u1"]),
        (b"#1\n#2\n", ["#1", "#2"]),
        (b"country|user_id\nDE|u1\n", ["u1"]),
        (b"user_id,country\n12.0,DE\nNaN,FR\n7.0,\n", ["12", "7"]),
        (b"user_id,country\n12.0,DE\n1.5,FR\n", ["12.0", "1.5"]),
        (b'{"user_id": " 12 "}\n{"user_id": "NaN"}\n', ["12"]),
    ],
)
def test_the_content_of_a_text_says_what_it_is(tmp_path: Path, content: bytes, users: list[str]) -> None:
    """C2, C7, H1: and not the end of its name."""
    path = tmp_path / "users.txt"
    path.write_bytes(content)
    assert read(path)[0] == users


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"email,city\na@x.example,Berlin\n", r"no column user_id or external_id; its columns: email, city; name one"),
        (b'{\n  "external_id": "u1",\n  "tags": [\n    "vip"\n  ]\n}\n', "one JSON document .* jq -c . an object"),
        (b'[{"external_id": "u1"}, {"external_id": "u2"}]', r"one JSON document .* jq -c '\.\[\]'"),
        (b'[\n  "u1",\n  "u2"\n]\n', "one JSON document"),
        (b"PAR1\x15\x04", "is Parquet; save it as CSV or JSON Lines"),
        (b"Obj\x01\x04", "is Avro"),
        (b"BZh91AY&SY", "bzip2"),
        (b"u\0s\0e\0r\0", "is not text"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>\n', "a link that has expired; fetch"),
        (b"\n<!DOCTYPE html>\n<html>\n<body>Sign in</body>\n</html>\n", "is a page of HTML or XML"),
        ("user_id\nu1".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (gzip.compress("user_id\nu1".encode("utf-16"), mtime=0), "is UTF-16; save it as UTF-8"),
        (archive(xl__workbook_txt=b"x", **{"[Content_Types].xml": b"<x/>"}), "Excel workbook; save it as CSV"),
        (archive(a_txt=EXPORT * 50)[:-40], "damaged or cut short"),
        (archive(), "an archive without a file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_way_out(tmp_path: Path, content: bytes, problem: str) -> None:
    """H1: none of it becomes a user id."""
    path = tmp_path / "users.txt"
    path.write_bytes(content)
    with pytest.raises(UsersFileError, match=problem):
        read(path)


def test_an_encrypted_archive_is_said_in_words(tmp_path: Path) -> None:
    """H1."""
    content = bytearray(archive(a_txt=EXPORT))
    # The flag stands in the member's own header and in the archive's list.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "users.zip"
    path.write_bytes(content)
    with pytest.raises(UsersFileError, match=r"users\.zip/a\.txt: is encrypted"):
        read(path)


@pytest.mark.parametrize(
    "content",
    ["u1\n{{${user_id}}}\n", 'id,user_id\n1,u1\n2,"{""a"": 1}"\n', '"u1"\n"{x}"\n', 'u1\n{"external_id": "u2"}\n'],
)
def test_an_id_that_begins_with_a_brace_is_no_user(tmp_path: Path, content: str) -> None:
    """H1: it is JSON, or a template that nobody filled in."""
    path = tmp_path / "users.txt"
    path.write_text(content)
    users, words = read(path)
    assert users == ["u1"]
    assert words[0].startswith("1 line left out, an id that begins with {")


def test_a_damaged_line_of_an_export_costs_one_line(tmp_path: Path) -> None:
    """H1."""
    path = tmp_path / "users.txt"
    path.write_bytes(b'{"external_id": "u0"\n' + EXPORT + b'{"external_id": "\xff"}\n')
    assert read(path) == (
        ["u1", "u2"],
        ["1 line left out, not JSON: 1", "1 line left out, no user id: 4", "1 line left out, not UTF-8: 5"],
    )


def test_a_line_with_all_that_braze_knows_of_a_user_may_be_long(tmp_path: Path) -> None:
    """H1."""
    path = tmp_path / "users.txt"
    path.write_text(json.dumps({"purchases": ["x" * 600_000], "external_id": "u1"}))
    assert read(path)[0] == ["u1"]


@pytest.mark.parametrize("column", ["", "customer"])
def test_the_keys_of_objects_without_an_id_are_named(tmp_path: Path, column: str) -> None:
    """H1."""
    path = tmp_path / "users.txt"
    path.write_bytes(json_lines([{"braze_id": "b1", "email": "one@shop.example"}]))
    findings = Findings()
    assert list(UsersFiles(named_files([str(path)], ExitStack()), column).users(findings)) == []
    problem = str(findings.nobody("users.txt"))
    assert problem == "users.txt: names no user; keys of its objects: braze_id, email; name one with --column"


def test_a_column_named_for_plain_ids_is_not_passed_over(tmp_path: Path) -> None:
    """H1."""
    path = tmp_path / "users.txt"
    path.write_text("customer\nc1\n")
    assert read(path, column="Customer")[0] == ["c1"]
    with pytest.raises(UsersFileError, match="no column shopper"):
        read(path, column="shopper")


def test_standard_input_and_pipes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H1."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(archive(a_txt=EXPORT))))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_bytes, args=(b"u3\nu1\n",))
    writing.start()
    assert read("-", pipe)[0] == ["u1", "u2", "u3"]
    writing.join()


def test_objects_and_prefixes_in_s3_are_read(amazon: Amazon) -> None:
    """H1: where Braze puts its exports."""
    client = amazon.client("s3")
    client.create_bucket(Bucket="exports")
    prefix = "segment-export/abc/2026-11-25/"
    for key, content in (
        ("1.zip", archive(a_txt=EXPORT)),
        ("2.txt.gz", gzip.compress(json_lines([{"external_id": "u3"}]))),
        ("2.txt.gz.bak", b"u9\n"),
    ):
        client.put_object(Bucket="exports", Key=prefix + key, Body=content)
    client.close()

    assert read(f"s3://exports/{prefix}")[0] == ["u1", "u2", "u3", "u9"]
    assert read(f"s3://exports/{prefix}2.txt.gz")[0] == ["u3"]
    assert read(f"s3://exports/{prefix}*.zip", f"s3://exports/{prefix}?.txt.gz")[0] == ["u1", "u2", "u3"]
    with pytest.raises(UsersFileError, match="s3://exports/nothing: no file there"):
        read("s3://exports/nothing")
    with pytest.raises(UsersFileError, match="s3://missing/: NoSuchBucket"):
        read("s3://missing/")
