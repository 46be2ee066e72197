"""The page of figures says what the code has, and leaves out nothing that an operator may ask for."""

import ast
import math
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operate/figures.md"

ROOMS = ("constants", "answers", "personalize", "lists", "budget", "fleet", "catalog", "events", "api")

OF_FORMATS = {
    # First bytes, widths, series and steps of what is packed: another number is another format.
    "lists.adapters.outcome_codec.OUTCOME_VERSION",
    "lists.choices.MAX_CHOOSERS",
    "lists.choices.TAGS_EACH",
    "lists.envelope.HEADER_BYTES",
    "lists.envelope.VERSION",
    "lists.keys.KEY_BYTES",
    "lists.keys.USER_PREFIX_BYTES",
    "lists.numbers.CHOSEN",
    "lists.numbers.FEW",
    "lists.numbers.SERIES",
    "lists.tombstone.BUCKET_BYTES",
    "lists.tombstone.STONE_BYTES",
    "catalog.adapters.seal.SEAL_BYTES",
    "catalog.adapters.sqlite_sink.PLACE_STEP",
    "catalog.reading.packing.HEAD_BYTES",
    "events.adapters.known_codec.ITEM_DIGEST_BYTES",
    "events.adapters.known_codec.KIND_DIGEST_BYTES",
    # Those of other people: slots of a cluster, a status.
    "fleet.examination.CLUSTER_SLOTS",
    "api.lifecycle.CLIENT_GONE",
    # Times that say there was none.
    "events.known.NEVER",
    "events.known.NEVER_AT",
}
"""Public numbers that say nothing to an operator, since nobody could wish for another one."""

UNITS: dict[str, dict[str, float]] = {
    "SECONDS": {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3_600.0, "day": 86_400.0, "days": 86_400.0},
    "BYTES": {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20},
    "KIB": {"KiB": 1, "MiB": 1 << 10},
}
"""By what a name ends in."""

OF_NUMBERS = {"": 1.0, "%": 0.01}
"""Of any other name."""


def numbers_of(room: str) -> dict[str, float]:
    """Numbers of a room's modules by name, also those that a dictionary holds by name."""
    found: dict[str, object] = {}
    paths = [ROOT / "service/constants.py"] if room == "constants" else sorted((ROOT / "service" / room).rglob("*.py"))
    for path in paths:
        if names := list(_assigned(path.read_text("utf-8"))):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            there = vars(import_module(module))
            for name in names:
                whole, value = f"{module.removeprefix('service.')}.{name}", there.get(name)
                entries = value.items() if isinstance(value, dict) else ()
                found |= {f'{whole}["{key}"]': one for key, one in entries if isinstance(key, str)} | {whole: value}
    return {
        name: value for name, value in found.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _assigned(source: str) -> Iterator[str]:
    """Names in capitals that a module gives a value."""
    for statement in ast.parse(source).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if isinstance(target, ast.Name) and target.id.isupper():
            yield target.id


def figures() -> dict[str, str]:
    """What the page says of each name."""
    rows = re.findall(r"^\|[^|]+\| ([^|]+) \| `([^`]+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: value for value, name in rows}


def read(value: str, name: str) -> float | None:
    """The number that an operator reads, in the unit of the constant; None if it has another kind of unit."""
    number, _, unit = value.partition(" ")
    last = "SECONDS" if name == "budget.rate_window.SECOND" else name.partition("[")[0].rpartition("_")[2]
    units = UNITS.get(last, OF_NUMBERS)
    return float(number.replace(",", "")) * units[unit] if unit in units else None


@pytest.mark.parametrize("room", ROOMS)
def test_the_page_of_figures_says_what_the_code_has(room: str) -> None:
    in_code = numbers_of(room)
    on_page = {name: value for name, value in figures().items() if name.partition(".")[0] == room}
    wanted = {name for name in in_code if not name.rpartition(".")[2].startswith("_")} - OF_FORMATS

    wrong = [
        *(f"{name} is {in_code[name]}: give it a row" for name in sorted(wanted - on_page.keys())),
        *(f"{name} is not in the code: take its row away" for name in sorted(on_page.keys() - in_code.keys())),
        *(
            f"{name} is {in_code[name]}: the page says {value}"
            for name, value in on_page.items()
            if name in in_code and not ((said := read(value, name)) is not None and math.isclose(said, in_code[name]))
        ),
    ]
    formats = {name for name in OF_FORMATS if name.partition(".")[0] == room}
    assert wrong == [], f"mend {PAGE.relative_to(ROOT)}; a number of a format belongs to OF_FORMATS"
    assert formats <= in_code.keys(), "OF_FORMATS names what is gone"


def test_no_figure_is_said_twice() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| (?!figure )", line)]

    assert len(figures()) == len(rows), "each row: | figure | value | `name` |, and each name once"
