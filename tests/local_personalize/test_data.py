import gzip
from pathlib import Path

import pytest

from service.local_personalize import LocalPersonalizeError
from service.local_personalize.data import Interaction, read_dataset

HEADER = "USER_ID,ITEM_ID,TIMESTAMP\n"


def write(directory: Path, text: str, name: str = "interactions.csv") -> None:
    (directory / name).write_text(text, encoding="utf-8")


def test_a_history_is_in_time_order_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "ITEM_ID,DISCOUNT,USER_ID,EVENT_TYPE,TIMESTAMP\nlate,No,ann,View,30\nearly,Yes,ann,Purchase,10\n",
    )

    assert read_dataset(tmp_path).histories == {
        "ann": [Interaction("early", 10, "Purchase"), Interaction("late", 30, "View")]
    }


def test_rows_of_one_second_keep_the_order_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "ann,b,5\nann,a,5\n")

    assert [row.item_id for row in read_dataset(tmp_path).histories["ann"]] == ["b", "a"]


def test_gzip_reads_as_plain_does_and_the_plain_file_wins(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv.gz").write_bytes(gzip.compress((HEADER + "ann,zipped,5\n").encode()))
    assert read_dataset(tmp_path).histories["ann"][0].item_id == "zipped"

    write(tmp_path, HEADER + "ann,plain,5\n")
    assert read_dataset(tmp_path).histories["ann"][0].item_id == "plain"


def test_a_byte_order_mark_quotes_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path, "\ufeff" + HEADER + '\n"ann, the ü",🎁,5\n\n')

    assert read_dataset(tmp_path).histories == {"ann, the ü": [Interaction("🎁", 5, "")]}


def test_columns_of_items_and_users_are_kept_under_upper_case_names(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "ann,tent,5\n")
    write(tmp_path, "id,category\ntent,outdoor|camping\n", "items.csv")
    write(tmp_path, "USER_ID,AGE\nann,31\n", "users.csv")

    dataset = read_dataset(tmp_path)

    assert dataset.items == {"tent": {"ID": "tent", "CATEGORY": "outdoor|camping"}}
    assert dataset.users == {"ann": {"USER_ID": "ann", "AGE": "31"}}


def test_blanks_nothings_comments_and_delimiters_are_read_as_the_service_reads_them(tmp_path: Path) -> None:
    """C1, C2, C7: else ` 4` would be recommended, which no catalogue has."""
    text = "# made today\nUSER_ID; ITEM_ID; TIMESTAMP; EVENT_TYPE\n 12 ; 4 ; 5 ; View \n"
    (tmp_path / "interactions.csv").write_bytes(gzip.compress(text.encode()))
    write(tmp_path, "ITEM_ID|PRICE|SIZE\n4|NaN| \n", "items.csv")

    dataset = read_dataset(tmp_path)

    assert dataset.histories == {"12": [Interaction("4", 5, "View")]}
    assert dataset.items == {"4": {"ITEM_ID": "4", "PRICE": "", "SIZE": ""}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no USER_ID column"),
        ("USER_ID,ITEM_ID\nann,tent\n", "has no TIMESTAMP column"),
        (HEADER, "has no interactions"),
        (HEADER + "ann,tent,5\nann,tent,yesterday\n", "line 3: TIMESTAMP 'yesterday' is not in Unix seconds"),
        (HEADER + "ann,tent,1e9\n", "line 2: TIMESTAMP '1e9' is not in Unix seconds"),
        (HEADER + f"ann,tent,{2**63}\n", "is not in Unix seconds"),
        (HEADER + "ann,tent\n", "line 2 has 2 fields, the header 3"),
        (HEADER + ",tent,5\n", "line 2 has no USER_ID or no ITEM_ID"),
        (HEADER + "ann,,5\n", "line 2 has no USER_ID or no ITEM_ID"),
        (HEADER + f'ann,"{"x" * 140_000}",5\n', "cannot be read: field larger than field limit"),
    ],
)
def test_a_malformed_file_is_named_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    write(tmp_path, text)

    with pytest.raises(LocalPersonalizeError) as error:
        read_dataset(tmp_path)

    assert complaint in str(error.value)
    assert "interactions.csv" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"not gzip at all", gzip.compress((HEADER + "ann,tent,5\n" * 500).encode(), mtime=0)[:60], b"\x1f\x8b"],
    ids=["plain", "cut", "two bytes"],
)
def test_a_broken_gzip_file_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "interactions.csv.gz").write_bytes(content)

    with pytest.raises(LocalPersonalizeError, match=r"interactions\.csv\.gz cannot be read"):
        read_dataset(tmp_path)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_bytes(HEADER.encode() + b"ann,\xff\xfe,5\n")

    with pytest.raises(LocalPersonalizeError, match="cannot be read"):
        read_dataset(tmp_path)


def test_an_items_file_without_ids_is_named(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "ann,tent,5\n")
    write(tmp_path, "name,price\ntent,3\n", "items.csv")

    with pytest.raises(LocalPersonalizeError, match=r"items\.csv has no ITEM_ID or ID column"):
        read_dataset(tmp_path)


def test_a_missing_directory_and_an_empty_one_are_different_mistakes(tmp_path: Path) -> None:
    with pytest.raises(LocalPersonalizeError, match="is not a directory"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(LocalPersonalizeError, match=r"neither interactions\.csv nor interactions\.csv\.gz"):
        read_dataset(tmp_path)
