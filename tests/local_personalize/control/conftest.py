"""An account with a control plane for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.personalize_account import Account, opened_account


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with opened_account(tmp_path) as opened:
        yield opened
