"""The budget has one promise, and everybody who reads of it reads the same."""

from pathlib import Path
from typing import Final

import pytest

from service.constants import BUDGET_PROMISE
from service.telemetry import Telemetry

ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "docs/operate/settings.md", "docs/operate/metrics.md"])
def test_a_page_that_speaks_of_the_budget_promises_what_all_others_do(page: str) -> None:
    """J9: "hard ceiling" stood in some, and 1.25 x by design in others."""
    text = " ".join((ROOT / page).read_text("utf-8").split())
    assert text.count(BUDGET_PROMISE) == 1
    assert "hard ceiling" not in text


def test_the_help_of_the_metric_promises_the_same() -> None:
    """J9."""
    [transactions] = [one for one in Telemetry().registry.collect() if one.name == "personalize_transactions"]
    assert transactions.documentation.endswith(BUDGET_PROMISE)
