"""The command as an operator runs it, and a local Personalize that it asks."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from service.cli import doctor as command_file
from service.cli import main
from service.local_personalize.app import create_app
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import learn
from tests.support.clocks import MovingClock
from tests.support.local_personalize import LocalPersonalize, serving
from tests.support.processes import CAMPAIGN_ARN, SAMPLE

FILTERS = ("cheap=INCLUDE ItemID WHERE Items.PRICE < 20", "kind=INCLUDE ItemID WHERE Items.CATEGORY IN ($KIND)")


@dataclass(frozen=True, slots=True)
class Report:
    """What the command has printed as JSON, and its exit status."""

    status: int
    findings: list[Mapping[str, str]]

    def of(self, status: str) -> list[Mapping[str, str]]:
        """The findings of this status."""
        return [one for one in self.findings if one["status"] == status]

    def says(self, check: str, status: str, words: str) -> bool:
        """Whether there is such a finding whose words hold these."""
        return any(
            one["check"] == check and one["status"] == status and words in f"{one['what']}; {one['advice']}"
            for one in self.findings
        )


class Doctor(Protocol):
    """Runs the command, with the settings of a sound set-up and these instead."""

    def __call__(self, *arguments: str, **settings: str) -> Report: ...


@pytest.fixture(scope="module")
def model_server() -> Iterator[LocalPersonalize]:
    app = create_app(learn(read_dataset(SAMPLE)), tps=0, latency_ms=0, filters=FILTERS)
    with serving(app) as running:
        yield running


@pytest.fixture
def local(model_server: LocalPersonalize) -> Iterator[LocalPersonalize]:
    model_server.http.post("/_stats/reset").raise_for_status()
    yield model_server
    model_server.refuse()
    model_server.fail("none")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovingClock:
    """This machine's clock, as the command sees it."""
    clock = MovingClock()
    monkeypatch.setattr(command_file, "SystemClock", lambda: clock)
    return clock


@pytest.fixture
def sound(local: LocalPersonalize, tmp_path: Path) -> dict[str, str]:
    """The settings of a set-up without a fault."""
    return {
        "ALLOW_ANONYMOUS": "true",
        "PERSONALIZE_CAMPAIGN_ARN": CAMPAIGN_ARN,
        "PERSONALIZE_TPS": "50",
        "CATALOG_URL": f"file://{SAMPLE}/items.csv",
        "DATA_DIR": str(tmp_path / "data"),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "LOCALKEY",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME": local.url,
        "AWS_ENDPOINT_URL_PERSONALIZE_EVENTS": local.url,
    }


@pytest.fixture
def doctor(sound: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.chdir(tmp_path)
    # Every test has a logging of its own, which it must keep.
    monkeypatch.setattr(command_file, "configure_logging", lambda *_: None)

    def run(*arguments: str, **settings: str) -> Report:
        for name in os.environ:
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        for name, value in {**sound, **settings}.items():
            monkeypatch.setenv(name, value)
        with capture_logs():
            result = CliRunner().invoke(main, ["doctor", "--json", *arguments], catch_exceptions=False)
        logged: dict[str, Any] = json.loads(result.stdout)
        assert logged["ok"] == (result.exit_code == 0)
        assert "LOCALKEY" not in result.stdout
        return Report(result.exit_code, logged["findings"])

    return run
