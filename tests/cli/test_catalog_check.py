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


WHOLE = """id;url;name;price;image;size;stock
a;https://u/;A;10;https://i/;S;in stock
b;https://u/;B;0;https://i/;M;In_Stock
c;https://u/;C;20;http://i/;L;IN STOCK|sold
d;https://u/;;30;https://i/;XL;Instock
e;x;;;https://i/;S;gone
e;https://u/;E;1234.5;https://i/;S;instock
e;https://u/;E;5;https://i/;S;out
f;https://u/;F;7;https://i/;L;in-stock
g;https://u/;G;8;https://i/;S;In-Stock
h;https://u/;H;9;https://i/;S;IN-STOCK
i;https://u/;I;12,50;https://i/;S;out
"""

EXCLUSIONS = (
    'EXCLUDE ItemID WHERE Items.STOCK IN ("in stock") | EXCLUDE ItemID WHERE Items.SIZE = "S"',
    "EXCLUDE ItemID WHERE Items.SIZE IN ($SIZE)",
)

PRINTED = """\
feed.csv
  rows                                        11
  items that can be shown                      7  63.6%
  rows that cannot                             4  36.4%
further columns: size, stock
1 image comes over http://, which mail programs may not show; first: c (line 4): 'http://i/'

Rows that cannot be shown, by the first thing that is wrong
  no name                                      1  first: d (line 5)
  url does not begin with http(s)://           1  first: e (line 6): 'x'
    a template makes an address: CATALOG_COLUMNS=url=https://YOUR-SHOP/{+COLUMN}
  id of an earlier row                         1  first: e (line 8)
  price that can be read in two ways           1  first: i (line 12): '12,50'
    write prices with two decimals, or without separators of thousands

Rows that lack something, each counted for everything it lacks
  no url                                       1
  no name                                      2
  no price, or not a number from 0             2

Prices of the items that can be shown
  lowest                                    0.00
  median                                    9.00
  highest                               1,234.50
  for nothing                                  1

Items that exclusions remove
  EXCLUDE ItemID WHERE Items.STOCK IN ("in stock")
    removes                                    1  14.3%
    does not mean 'In_Stock', 'IN STOCK', 'instock', 'in-stock', 'In-Stock', {more}
  EXCLUDE ItemID WHERE Items.SIZE IN ("S")
    removes                                    4  57.1%
  EXCLUDE ItemID WHERE Items.SIZE IN ($SIZE)
    depends on the request
  left by all together                         3  42.9%

  of POPULAR_ITEMS not there                   6  first: d, x1, x2, x3, x4
""".replace("{more}", "which the column has too; name every spelling")


def test_a_check_is_printed_whole(check: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    """C6, C9."""
    assert check.exit_code == 0
    Path("feed.csv").write_text(WHOLE)
    monkeypatch.setenv("POPULAR_ITEMS", "a,d,x1,x2,x3,x4,x5")
    arguments = [one for expression in EXCLUSIONS[:2] for one in ("--exclusion-filter", expression)]
    found = CliRunner().invoke(main, ["catalog", "check", "feed.csv", *arguments])
    assert found.stdout.partition("\n")[2] == PRINTED.partition("\n")[2]
    assert found.exit_code == 0
    # Without anything to say, nothing is said.
    Path("feed.csv").write_text("id,url,name,price,image\na,https://u/,A,10,https://i/\n")
    monkeypatch.setenv("POPULAR_ITEMS", "a")
    assert CliRunner().invoke(main, ["catalog", "check", "feed.csv"]).stdout.splitlines()[1:] == [
        "  rows                                         1",
        "  items that can be shown                      1  100.0%",
        "  rows that cannot                             0  0.0%",
        "further columns: none",
        "",
        "Prices of the items that can be shown",
        "  lowest                                   10.00",
        "  median                                   10.00",
        "  highest                                  10.00",
        "  for nothing                                  0",
    ]


def test_a_check_of_a_feed_without_items_says_so_in_its_exit_status(check: Result) -> None:
    assert check.exit_code == 0
    Path("feed.csv").write_text("id,url,name,price,image\na,https://u/,A,free,https://i/\n")
    found = CliRunner().invoke(
        main,
        [
            "catalog",
            "check",
            "feed.csv",
            "--exclusion-filter",
            EXCLUSIONS[0].replace("STOCK", "NAME").partition(" | ")[0],
        ],
    )
    assert found.exit_code == 1
    assert [" ".join(line.split()) for line in found.stdout.splitlines()[2:4]] == [
        "items that can be shown 0 0.0%",
        "rows that cannot 1 100.0%",
    ]
    assert "Prices" not in found.stdout
    assert "    removes                                    0\n" in found.stdout
    Path("feed.csv").write_text("id,url,name,price,image\n")
    empty = CliRunner().invoke(main, ["catalog", "check", "feed.csv"])
    assert "  items that can be shown                      0\n" in empty.stdout
