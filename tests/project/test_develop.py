"""The map of the code shows what is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/develop.md").read_text("utf-8")

CODE = re.compile(r"`([^`]+)`")


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    lines = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def test_every_path_that_the_page_names_exists() -> None:
    named = {code for code in CODE.findall(PAGE) if re.match(r"(service|tests|docs|deploy)/", code)}

    assert len(named) > 30
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_a_stranger_finds_where_to_change_a_thing() -> None:
    wanted = {"excluded from an answer", "how long a list is fresh", "what a 422 says", "a slot", "a CSV row is read"}
    table = rows("Where to change")

    assert all(any(want in row[0] for row in table) for want in wanted)
    for what, files, name in table:
        text = "".join((ROOT / path).read_text("utf-8") for path in CODE.findall(files) if path.startswith("service/"))
        [symbol] = CODE.findall(name)
        assert re.search(rf"\b{symbol}\b", text), f"{what}: {symbol}"


def test_the_map_shows_every_room() -> None:
    shown = {code.removeprefix("service/").rstrip("/") for row in rows("The rooms") for code in CODE.findall(row[0])}
    there = {
        path.name
        for path in (ROOT / "service").iterdir()
        if (path.is_dir() and any(path.glob("*.py"))) or (path.suffix == ".py" and not path.name.startswith("__"))
    }

    assert shown == there


def test_no_word_of_the_glossary_is_explained_twice() -> None:
    words = [row[0] for row in rows("Glossary")]

    assert len(words) > 25
    assert len(words) == len(set(words))
