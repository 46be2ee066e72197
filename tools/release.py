"""Make a release: move Unreleased in the changelog, set the version, commit, tag.

    python tools/release.py 0.2.0

It changes nothing unless everything is in order, and pushes nothing. `docs/release.md` has the whole procedure.
"""

import argparse
import datetime as dt
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

BRANCH: Final = "main"

CHANGELOG: Final = "CHANGELOG.md"

VERSION_LINES: Final[Mapping[str, str]] = {
    "pyproject.toml": r'^version = "(.+)"$',
    "deploy/kubernetes/overlays/embedded/kustomization.yaml": r"^#     newTag: (.+)$",
    "deploy/kubernetes/overlays/redis/kustomization.yaml": r"^#     newTag: (.+)$",
}
"""Where the version stands, and the line that holds it."""

_VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")

_UNRELEASED = re.compile(r"^## \[Unreleased\]\n(.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)


class NotReady(Exception):
    """The release cannot be made; the message says why and what to do."""


def release(root: Path, version: str, today: dt.date) -> str:
    """Commit and tag a release; the name of the tag.

    Args:
        root: A checkout of the project.
        version: X.Y.Z, above the present one.
        today: Date of the release.

    Raises:
        NotReady: Nothing was changed.
    """
    tag = f"v{version}"
    _check_checkout(root, tag)
    texts, notes = _changed(root, version, today)
    for path, text in texts.items():
        (root / path).write_text(text, "utf-8")
    before = _git(root, "rev-parse", "HEAD")
    try:
        _git(root, "commit", "--quiet", "--message", f"chore: release {version}", "--", *texts)
        # Verbatim: a heading of the notes is no comment of git's.
        _git(root, "tag", "--annotate", "--cleanup=verbatim", "--message", f"{version}\n\n{notes}", tag)
    except NotReady:
        # A hook or a missing signing key. The tree was clean, so nothing else is lost.
        _git(root, "reset", "--quiet", "--hard", before)
        raise
    return tag


def _check_checkout(root: Path, tag: str) -> None:
    branch = _git(root, "branch", "--show-current")
    if branch != BRANCH:
        raise NotReady(f"the branch is {branch or 'none'}: check out {BRANCH}")
    changed = _git(root, "status", "--porcelain")
    if changed:
        raise NotReady(f"the tree is not clean: commit or remove\n{changed}")
    if _git(root, "tag", "--list", tag):
        raise NotReady(f"the tag {tag} exists: take the next version")


def _changed(root: Path, version: str, today: dt.date) -> tuple[dict[str, str], str]:
    """The new text of each file, and what the release brings."""
    texts = {path: (root / path).read_text("utf-8") for path in (CHANGELOG, *VERSION_LINES)}
    for path, line in VERSION_LINES.items():
        found = re.search(line, texts[path], re.MULTILINE)
        if found is None:
            raise NotReady(f"{path}: holds no line {line}")
        if _parts(version) <= _parts(found[1]):
            raise NotReady(f"{path}: {version} is not above {found[1]}")
        start, end = found.span(1)
        texts[path] = texts[path][:start] + version + texts[path][end:]
    unreleased = _UNRELEASED.search(texts[CHANGELOG])
    notes = unreleased[1].strip() if unreleased is not None else ""
    if unreleased is None or not re.search(r"^- ", notes, re.MULTILINE):
        raise NotReady(f"{CHANGELOG}: nothing stands under [Unreleased]")
    start, end = unreleased.span()
    heading = f"## [Unreleased]\n\n## [{version}] - {today.isoformat()}\n{notes}\n\n"
    texts[CHANGELOG] = (texts[CHANGELOG][:start] + heading + texts[CHANGELOG][end:]).rstrip() + "\n"
    return texts, notes


def _parts(version: str) -> tuple[int, ...]:
    found = _VERSION.fullmatch(version)
    if found is None:
        raise NotReady(f"{version!r} is not a version such as 0.2.0")
    return tuple(map(int, found.groups()))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own arguments
    if run.returncode:
        raise NotReady(f"git {arguments[0]}: {run.stderr.strip() or run.stdout.strip()}")
    return run.stdout.strip()


def main() -> int:
    """0, or 1 when the release cannot be made."""
    parser = argparse.ArgumentParser(prog="python tools/release.py", description=main.__doc__)
    parser.add_argument("version", help="X.Y.Z, above the present one")
    version = parser.parse_args().version
    try:
        tag = release(ROOT, version, dt.datetime.now(dt.UTC).date())
    except NotReady as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print(f"{tag} is committed and tagged here. Look at it with: git show {tag}")
    print(f"Publish it with: git push origin {BRANCH} {tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
