"""H6: what `make run` says and does where Python is too old, or another than that of `.venv`."""

import os
import subprocess
import tomllib
from pathlib import Path
from shutil import copy

import pytest

ROOT = Path(__file__).parents[2]

PYTHON = """#!/bin/sh
# A Python as tools/venv.sh sees one; what it makes is another of its version.
case "$*" in
    *%d.%d.%d*) echo {version} ;;
    *"(3, 11)"*) [ {minor} -ge 11 ] ;;
    *venv*) rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python; touch .venv/pyvenv.cfg ;;
esac
"""

pytestmark = pytest.mark.processes


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make .venv/.python` needs, and two Pythons."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    copy(ROOT / "Makefile", tmp_path)
    copy(ROOT / "tools/venv.sh", tmp_path / "tools")
    for name, version in {"python3": "3.10.13", "python3.11": "3.11.7", "python3.12": "3.12.1"}.items():
        path = tmp_path / "bin" / name
        path.write_text(PYTHON.format(version=version, minor=version.split(".")[1]))
        path.chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """The exit status, and the lines that make did not write itself."""
    run = subprocess.run(
        ["make", "--no-print-directory", ".venv/.python", *arguments],
        cwd=checkout,
        env={"PATH": f"{checkout / 'bin'}:{os.environ['PATH']}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return run.returncode, [line for line in run.stdout.splitlines() if not line.startswith("make: ")]


def version_of(checkout: Path) -> str:
    command = [str(checkout / ".venv/bin/python"), "-c", "%d.%d.%d"]
    return str(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


def test_a_python_that_is_too_old_is_one_line_with_the_way_out(checkout: Path) -> None:
    status, [line] = make(checkout)

    assert status != 0
    assert line.startswith("python3 is Python 3.10.13, and 3.11 or newer is needed; name a newer one: make ")
    assert line.endswith("PYTHON=python3.12")
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_not_there_is_one_line(checkout: Path) -> None:
    status, [line] = make(checkout, "PYTHON=python3.99")

    assert status != 0
    assert line.startswith("python3.99 does not start")


def test_an_environment_of_another_version_is_made_anew(checkout: Path) -> None:
    assert make(checkout, "PYTHON=python3.12") == (0, [])
    assert make(checkout, "PYTHON=python3.11") == (0, ["making .venv anew with Python 3.11.7; it had 3.12.1"])
    assert version_of(checkout) == "3.11.7"
    assert make(checkout, PYTHON="python3.12")[0] == 0
    assert version_of(checkout) == "3.12.1"


def test_an_environment_that_is_too_old_or_whose_python_is_gone_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    copy(checkout / "bin/python3", checkout / ".venv/bin/python")

    status, lines = make(checkout)
    assert (status != 0, len(lines)) == (True, 1)
    (checkout / "bin/python3").unlink()
    copy(checkout / "bin/python3.12", checkout / "bin/python3")
    assert make(checkout) == (0, ["making .venv anew with Python 3.12.1; it had 3.10.13"])

    (checkout / ".venv/bin/python").unlink()
    assert make(checkout) == (0, ["making .venv anew with Python 3.12.1; it had a Python that is gone"])


def test_an_environment_that_fits_is_kept_whatever_python3_is(checkout: Path) -> None:
    make(checkout, "PYTHON=python3.11")
    before = (checkout / ".venv/.python").stat().st_mtime_ns

    assert make(checkout) == (0, [])
    assert make(checkout, "PYTHON=python3.11") == (0, [])
    assert version_of(checkout) == "3.11.7"
    assert (checkout / ".venv/.python").stat().st_mtime_ns == before


def test_the_version_that_is_asked_for_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["requires-python"] == ">=3.11"
