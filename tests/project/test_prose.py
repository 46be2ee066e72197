"""Documents speak plain English: short sentences, short lines, and one word for one thing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *(ROOT / folder / "README.md" for folder in ("sample", "requirements")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

OTHER_TEXTS = [
    *(ROOT / name for name in (".env.example", "docker-compose.yml", "Dockerfile", ".editorconfig")),
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
    *sorted((ROOT / ".github").rglob("*.yml")),
    ROOT / "service/telemetry.py",
]

OLD_WORDS = re.compile(
    r"\b(ahead|alone|told|whoever|in force|into force|desk|timetables?|stem|so many|less than wanted|ours to mend)\b",
    re.IGNORECASE,
)
"""The glossary in `docs/develop.md` has a word for each; some say nothing that a shorter sentence does not."""

CODE = [path for folder in ("service", "tests", "bench") for path in sorted((ROOT / folder).rglob("*.*"))]

OLD_WORDS_OF_CODE = re.compile(
    r"(?<![a-z])(ahead|alone|told|whoever|in[ _]force|lists[ _]made[ _]ahead)(?![a-z])", re.IGNORECASE
)
"""Also as parts of names."""

MOST_WORDS = 25
MOST_CHARACTERS = 120

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose_of(page: Path) -> Iterator[str]:
    """Paragraphs, items of lists and cells of tables, each as one line, without code blocks and headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^    \S.*$", "", text, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\n(?=[#|])|(?<=\|)\n", text):
        line = " ".join(block.split())
        if line.startswith("|"):
            yield from (cell.strip() for cell in line.strip("|").split(" | "))
        elif not line.startswith("#"):
            yield re.sub(r"^(?:[-*]|\d+\.) ", "", line)


def sentences_of(text: str) -> Iterator[str]:
    """The sentences of a line; a stretch of code and the address of a link are no words."""
    text = re.sub(r"`[^`]+`", "code", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    yield from re.split(r"(?<=[.?!])\*{0,2} +(?=[A-Z*\"(\d]|code)", text)


@every_page
def test_a_sentence_has_at_most_25_words(page: Path) -> None:
    sentences = [sentence for text in prose_of(page) for sentence in sentences_of(text)]

    assert [one for one in sentences if len(re.findall(r"[\w'-]*\w", one)) > MOST_WORDS] == []


@every_page
def test_a_line_has_at_most_120_characters_outside_of_tables_and_code(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)

    # A stretch of code that a test or a reader copies stays in one line.
    assert [
        line
        for line in text.splitlines()
        if len(line) > MOST_CHARACTERS and not line.startswith("|") and not re.search(r"`[^`]{40,}`", line)
    ] == []


@pytest.mark.parametrize("path", [*PAGES, *OTHER_TEXTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_document_uses_an_old_word(path: Path) -> None:
    text = path.read_text("utf-8")

    assert [line for line in text.splitlines() if OLD_WORDS.search(line)] == []


def test_no_line_of_code_uses_an_old_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in CODE
        if path.suffix in {".py", ".lua"} and path != Path(__file__)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if OLD_WORDS_OF_CODE.search(line)
    ]

    assert found == []
