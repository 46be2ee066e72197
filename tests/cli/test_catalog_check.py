"""What `catalog check` prints for the people who keep a feed."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main

FEED = """# made today
id\ttitle\tlink\tprice\timage_link\tnote\tnote
a\tOne\thttps://u/a\t9.99 USD\thttps://i/a.jpg\tx\ty
b\tTwo\t/b\t5 USD\thttps://i/b.jpg\t\t
c\tThree\thttps://u/c\tfree\thttps://i/c.jpg\t\t
d\tFour\thttps://u/d\t7 USD\thttp://i/d.jpg\t\t
d\tFive\thttps://u/d\t7 USD\thttps://i/d.jpg\t\t
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POPULAR_ITEMS", "d,gone")
    monkeypatch.delenv("CATALOG_COLUMNS", raising=False)
    (tmp_path / "feed.csv").write_text(FEED)
    return CliRunner().invoke(main, ["catalog", "check", "file:feed.csv"])


@pytest.mark.parametrize("written", ["feed.csv", "./feed.csv", "{folder}/feed.csv"])
def test_a_file_is_written_as_at_any_other_command(check: Result, tmp_path: Path, written: str) -> None:
    result = CliRunner().invoke(main, ["catalog", "check", written.format(folder=tmp_path)])
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (0, check.stdout.splitlines()[1:])


def test_a_check_counts_each_finding_and_names_the_first_with_line_and_value(check: Result) -> None:
    """C6, C9."""
    assert check.exit_code == 0
    lines = [" ".join(line.split()) for line in check.stdout.splitlines()]
    assert "items that can be shown 2 40.0%" in lines
    assert "url does not begin with http(s):// 1 first: b (line 4): '/b'" in lines
    assert "a template makes an address: CATALOG_COLUMNS=url=https://YOUR-SHOP/{+COLUMN}" in lines
    assert "no price, or not a number from 0 1 first: c (line 5): 'free'" in lines
    assert "id of an earlier row 1 first: d (line 7)" in lines
    assert "of POPULAR_ITEMS not there 1 first: gone" in lines


def test_a_check_names_values_that_an_exclusion_only_nearly_means(check: Result) -> None:
    """C9: an exclusion that tells capitals apart lets sold-out items through."""
    assert check.exit_code == 0
    rows = ["out of stock", "Out_of_stock", "OUT OF STOCK", "in stock"]
    lines = (f"{number},https://u/,N,5,https://i/,{value}" for number, value in enumerate(rows))
    Path("stock.csv").write_text("\n".join(["id,url,name,price,image,availability", *lines]))
    wanted = 'EXCLUDE ItemID WHERE Items.AVAILABILITY = "out of stock"'
    found = CliRunner().invoke(main, ["catalog", "check", "stock.csv", "--exclusion-filter", wanted]).stdout
    assert "does not mean 'Out_of_stock', 'OUT OF STOCK', which the column has too; name every spelling" in found
    named = 'EXCLUDE ItemID WHERE Items.AVAILABILITY IN ("out of stock", "Out_of_stock", "OUT OF STOCK")'
    assert (
        "does not mean"
        not in CliRunner().invoke(main, ["catalog", "check", "stock.csv", "--exclusion-filter", named]).stdout
    )


def test_a_check_says_how_the_file_was_read(check: Result) -> None:
    """B2, C5, C6."""
    assert "further columns: note, currency" in check.stdout.splitlines()
    assert (
        "columns guessed; to have them so for good: CATALOG_COLUMNS=url=link,name=title,image=image_link"
        in check.stdout.splitlines()
    )
    assert "the file names note more than once; only the first of them is read" in check.stdout.splitlines()
    assert "1 image comes over http://, which mail programs may not show; first: d (line 6): 'http://i/d.jpg'" in (
        check.stdout
    )


def test_what_a_check_guessed_is_what_it_reads_by_when_it_is_given(check: Result) -> None:
    """C5."""
    [guessed] = [line for line in check.stdout.splitlines() if "CATALOG_COLUMNS=url=link" in line]
    columns = guessed.partition("CATALOG_COLUMNS=")[2]
    again = CliRunner().invoke(main, ["catalog", "check", "file:feed.csv", "--columns", columns])
    assert [line for line in check.stdout.splitlines() if line != guessed] == again.stdout.splitlines()


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ("url=https://u/{id", "'url=https://u/{id' has a brace that is not closed"),
        ('name="a', "has a quote that is not closed"),
    ],
)
def test_columns_that_cannot_be_read_are_one_line(columns: str, line: str) -> None:
    """C4."""
    result = CliRunner().invoke(main, ["catalog", "check", "file:feed.csv", "--columns", columns])
    assert result.exit_code == 2
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_check_of_a_pipe_is_one_line(tmp_path: Path) -> None:
    """J6."""
    os.mkfifo(tmp_path / "items.csv")
    result = CliRunner().invoke(main, ["catalog", "check", f"file://{tmp_path}/items.csv"])
    assert result.exit_code == 1
    assert "is a pipe or a device" in result.stderr
