"""Which tests should notice a change in which room, the quickest first; and what no test can notice."""

from typing import Final

from tools.mutants.checkout import ROOT

TESTS: Final[dict[str, tuple[str, ...]]] = {
    "answers": (
        "tests/answers",
        "tests/api/test_exclusions.py",
        "tests/api/test_placements.py",
        "tests/api/test_explain.py",
    ),
    "personalize": ("tests/personalize", "tests/answers", "tests/budget/test_lower_lanes.py"),
    "lists": ("tests/lists", "tests/answers", "tests/api/test_forgetting.py", "tests/api/test_keys_expire.py"),
    "budget": ("tests/budget", "tests/simulation/test_worlds.py"),
    "fleet": ("tests/fleet", "tests/budget/test_redis_governor.py", "tests/simulation/test_worlds.py"),
    "catalog": ("tests/catalog", "tests/api/test_catalog_refresh.py", "tests/api/test_known_columns.py"),
    "events": ("tests/events", "tests/api/test_events.py", "tests/api/test_outbox.py", "tests/cli/test_events_load.py"),
    "api": ("tests/api",),
}
"""By room."""

BESIDES: Final = ("tests/sends", "tests/settings", "tests/console", "tests/batch", "tests/doctor", "tests/cli")
"""May notice a change in any room."""

EQUIVALENT: Final[dict[str, str]] = {}
"""Mutants that behave as the right code does, by `file: what: line of code`, and why."""


def tests_of(room: str, file: str) -> list[str]:
    """Tests for a change of a file: those with its name, then those of its room."""
    name = file.rpartition("/")[2].removesuffix(".py")
    named = sorted(path for path in (ROOT / "tests").rglob(f"test_{name}*.py") if room in path.parts)
    return [*(str(path.relative_to(ROOT)) for path in named), *TESTS[room]]
