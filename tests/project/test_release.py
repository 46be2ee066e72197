import datetime as dt
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from tools.release import CHANGELOG, VERSION_LINES, NotReady, release

ROOT = Path(__file__).parents[2]
TODAY = dt.date(2027, 3, 1)

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(root: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the project's own files that a release changes, at version 0.1.0."""
    for name, value in {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        **{f"GIT_{who}_NAME": "Somebody" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "somebody@example.com" for who in ("AUTHOR", "COMMITTER")},
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "checkout"
    for path, line in VERSION_LINES.items():
        text = (ROOT / path).read_text("utf-8")
        [version] = re.findall(line, text, re.MULTILINE)
        write(root / path, text.replace(version, "0.1.0", 1))
    write(
        root / CHANGELOG,
        "# Changelog\n\n## [Unreleased]\n### Added\n- A thing.\n\n### Fixed\n- Another.\n\n"
        "## [0.1.0] - 2026-11-24\n- All.\n",
    )
    git(root, "init", "--quiet", "--initial-branch", "main")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "feat: begin")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


@pytest.mark.processes
def test_a_release_moves_what_is_unreleased_sets_the_version_commits_and_tags(checkout: Path) -> None:
    tag = release(checkout, "0.2.0", TODAY)

    assert tag == "v0.2.0"
    assert (checkout / CHANGELOG).read_text("utf-8") == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2027-03-01\n### Added\n- A thing.\n\n### Fixed\n- Another.\n\n"
        "## [0.1.0] - 2026-11-24\n- All.\n"
    )
    assert tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]["version"] == "0.2.0"
    for path, line in VERSION_LINES.items():
        assert re.findall(line, (checkout / path).read_text("utf-8"), re.MULTILINE) == ["0.2.0"]
    assert git(checkout, "status", "--porcelain") == ""
    assert git(checkout, "log", "--format=%s") == "chore: release 0.2.0\nfeat: begin"
    assert git(checkout, "cat-file", "-t", tag) == "tag"
    assert git(checkout, "rev-parse", f"{tag}^{{}}") == git(checkout, "rev-parse", "HEAD")
    assert git(checkout, "tag", "--list", "--format=%(contents)", tag) == (
        "0.2.0\n\n### Added\n- A thing.\n\n### Fixed\n- Another."
    )


@pytest.mark.processes
def test_two_releases_follow_each_other(checkout: Path) -> None:
    release(checkout, "0.2.0", TODAY)
    text = (checkout / CHANGELOG).read_text("utf-8")
    write(checkout / CHANGELOG, text.replace("## [Unreleased]\n", "## [Unreleased]\n### Changed\n- More.\n"))
    git(checkout, "commit", "--quiet", "--all", "--message", "fix: more")

    release(checkout, "0.10.0", TODAY)

    headings = re.findall(r"^## \[(.+?)\]", (checkout / CHANGELOG).read_text("utf-8"), re.MULTILINE)
    assert headings == ["Unreleased", "0.10.0", "0.2.0", "0.1.0"]


def leave_a_file(checkout: Path) -> None:
    write(checkout / "left.txt", "")


def change_a_file(checkout: Path) -> None:
    write(checkout / "pyproject.toml", (checkout / "pyproject.toml").read_text("utf-8") + "\n")


def leave_main(checkout: Path) -> None:
    git(checkout, "checkout", "--quiet", "-b", "other")


def tag_it(checkout: Path) -> None:
    git(checkout, "tag", "v0.2.0")


def release_everything(checkout: Path) -> None:
    write(checkout / CHANGELOG, "# Changelog\n\n## [Unreleased]\n### Added\n\n## [0.1.0] - 2026-11-24\n- All.\n")
    git(checkout, "commit", "--quiet", "--all", "--message", "docs: empty")


def nothing(_: Path) -> None:
    pass


@pytest.mark.processes
@pytest.mark.parametrize(
    ("prepare", "version", "problem"),
    [
        (leave_a_file, "0.2.0", r"the tree is not clean.*left\.txt"),
        (change_a_file, "0.2.0", r"the tree is not clean.*pyproject\.toml"),
        (leave_main, "0.2.0", "the branch is other: check out main"),
        (tag_it, "0.2.0", r"the tag v0\.2\.0 exists"),
        (release_everything, "0.2.0", r"nothing stands under \[Unreleased\]"),
        (nothing, "0.1.0", r"0\.1\.0 is not above 0\.1\.0"),
        (nothing, "0.0.9", r"0\.0\.9 is not above 0\.1\.0"),
        (nothing, "v0.2.0", "'v0.2.0' is not a version"),
        (nothing, "0.2", "'0.2' is not a version"),
        (nothing, "0.02.0", "'0.02.0' is not a version"),
    ],
)
def test_a_release_that_is_not_ready_changes_nothing(
    checkout: Path, prepare: Callable[[Path], None], version: str, problem: str
) -> None:
    prepare(checkout)
    before = {path: path.read_bytes() for path in checkout.rglob("*") if path.is_file() and ".git" not in path.parts}
    commits, tags = git(checkout, "log", "--format=%H"), git(checkout, "tag")

    with pytest.raises(NotReady, match=f"(?s){problem}"):
        release(checkout, version, TODAY)

    assert {path: path.read_bytes() for path in before} == before
    assert (git(checkout, "log", "--format=%H"), git(checkout, "tag")) == (commits, tags)


@pytest.mark.processes
def test_a_commit_that_a_hook_refuses_leaves_the_files_as_they_were(checkout: Path) -> None:
    hook = checkout / ".git/hooks/pre-commit"
    write(hook, "#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)

    with pytest.raises(NotReady, match="not today"):
        release(checkout, "0.2.0", TODAY)

    assert git(checkout, "status", "--porcelain") == git(checkout, "tag") == ""


@pytest.mark.processes
def test_a_tag_that_cannot_be_signed_leaves_no_commit(checkout: Path) -> None:
    git(checkout, "config", "tag.gpgSign", "true")
    git(checkout, "config", "gpg.program", "false")

    with pytest.raises(NotReady, match="git tag"):
        release(checkout, "0.2.0", TODAY)

    assert git(checkout, "log", "--format=%s") == "feat: begin"
    assert git(checkout, "status", "--porcelain") == git(checkout, "tag") == ""


def test_the_project_names_one_version() -> None:
    found = {
        re.findall(line, (ROOT / path).read_text("utf-8"), re.MULTILINE)[0] for path, line in VERSION_LINES.items()
    }

    assert len(found) == 1


def test_the_changelog_of_the_project_can_be_released() -> None:
    text = (ROOT / CHANGELOG).read_text("utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\](?: - (.+))?$", text, re.MULTILINE)

    assert [heading[0] for heading in headings[:2]] == ["Unreleased", version]
    assert all(dt.date.fromisoformat(date) for _, date in headings[1:])
    kinds = re.findall(r"^### (.+)$", text.partition(f"## [{version}]")[0], re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert len(kinds) == len(set(kinds))


@pytest.mark.processes
def test_the_wheel_says_that_it_is_typed_and_holds_every_file_of_the_service(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(ZipFile(wheel).namelist())
    listed = git(ROOT, "ls-files", "service").splitlines()

    assert "service/py.typed" in names
    assert {name for name in listed if (ROOT / name).exists()} - names == set()
