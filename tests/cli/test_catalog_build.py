"""`catalog build`."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.support.processes import SAMPLE

pytestmark = pytest.mark.processes


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    path.write_bytes((SAMPLE / "items.csv").read_bytes())
    return path


def build(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["catalog", "build", *map(str, arguments)])


def test_a_file_appears_whole_for_everybody_and_stays_while_it_is_up_to_date(items: Path, tmp_path: Path) -> None:
    out = tmp_path / "for" / "image" / "items.sqlite"
    assert build(f"file:{items}", "--out", out).stdout == f"{out}: 60 items; start replicas with CATALOG_FILE={out}\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert os.listdir(out.parent) == ["items.sqlite"]
    first = out.stat().st_ino

    assert build(f"file:{items}", "--out", out).exit_code == 0
    assert out.stat().st_ino == first
    assert build(f"file:{items}", "--out", out, "--columns", "name=id").exit_code == 0
    assert out.stat().st_ino != first
    assert os.listdir(out.parent) == ["items.sqlite"]


def test_what_cannot_be_built_is_one_line_and_leaves_nothing(items: Path, tmp_path: Path) -> None:
    items.write_text("id,nothing\n1,2\n")
    out = tmp_path / "image" / "items.sqlite"
    for url, word in (
        (f"file:{items}", "no column"),
        ("dynamodb://table", "nothing of a table"),
        ("file:no", "No such"),
    ):
        result = build(url, "--out", out)
        assert (result.exit_code, result.stdout) == (1, "")
        assert word in result.stderr.splitlines()[-1]
    assert not out.parent.is_dir() or os.listdir(out.parent) == []
