"""D5: `doctor` finds what is wrong with a set-up, and says what to do; the real SDK asks a local Personalize."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from service.budget.adapters.embedded import EmbeddedGovernor
from service.budget.ports import Lane, Reservation
from service.doctor import asking
from service.local_personalize.arns import TRACKING_ID
from tests.doctor.conftest import Doctor
from tests.support.amazon import Amazon
from tests.support.clocks import MovingClock
from tests.support.local_personalize import LocalPersonalize
from tests.support.processes import CAMPAIGN_ARN, ROOT

FILTER_ARN = "arn:aws:personalize:us-east-1:000000000000:filter/"


def test_a_sound_set_up_has_no_finding_but_good_ones(doctor: Doctor, local: LocalPersonalize) -> None:
    report = doctor()

    assert (report.status, report.of("warning"), report.of("error")) == (0, [], [])
    assert {one["check"] for one in report.findings} >= {
        "settings", "open files", "DATA_DIR", "credentials", "catalogue", "for-you", "clock",
    }  # fmt: skip
    assert local.stats()["transactions"] == 1


def test_credentials_that_are_missing_are_found(doctor: Doctor, local: LocalPersonalize) -> None:
    report = doctor(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")

    assert report.status == 1
    assert report.says("credentials", "error", "no AWS credentials")
    assert report.says("credentials", "error", "role")
    assert local.stats()["transactions"] == 0


def test_a_profile_that_does_not_exist_is_found(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[shop]\n", encoding="utf-8")

    report = doctor(AWS_PROFILE="shpo")

    assert report.says("credentials", "error", "shpo")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredTokenException", "renew the credentials"),
        ("UnrecognizedClientException", "does not know this access key"),
        ("InvalidSignatureException", "secret key"),
        ("AccessDeniedException", "personalize:GetRecommendations"),
    ],
)
def test_credentials_that_aws_refuses_are_found(doctor: Doctor, local: LocalPersonalize, code: str, words: str) -> None:
    local.refuse(LOCALKEY=code)

    report = doctor()

    assert report.status == 1
    assert report.says("for-you", "error", code)
    assert report.says("for-you", "error", words)


def test_credentials_whose_end_is_past_are_found(doctor: Doctor) -> None:
    report = doctor(AWS_CREDENTIAL_EXPIRATION="2020-01-01T00:00:00Z", AWS_SESSION_TOKEN="token")

    assert report.status == 1
    assert report.says("credentials", "error", "has ended")


@pytest.mark.parametrize(
    "arn",
    [
        CAMPAIGN_ARN.replace("campaign/local", "campaign/locla"),
        CAMPAIGN_ARN.replace("us-east-1", "eu-west-1"),
        CAMPAIGN_ARN.replace("000000000000", "123456789012"),
    ],
)
def test_an_arn_that_does_not_exist_there_is_found(doctor: Doctor, arn: str) -> None:
    report = doctor(PERSONALIZE_CAMPAIGN_ARN=arn)

    assert report.status == 1
    assert report.says("for-you", "error", f"{arn} is refused: ResourceNotFoundException")
    assert report.says("for-you", "error", "correct the ARN, its region and account")


def test_a_region_that_is_not_the_arns_is_found(doctor: Doctor) -> None:
    report = doctor(AWS_REGION="eu-central-1")

    assert report.says("region", "warning", "AWS_REGION is eu-central-1, and Personalize is asked in us-east-1")


def test_a_region_that_does_not_exist_is_found(doctor: Doctor) -> None:
    report = doctor(PERSONALIZE_CAMPAIGN_ARN=CAMPAIGN_ARN.replace("us-east-1", "us-esat-1"))

    assert report.says("region", "warning", "us-east-1 has it")


def test_an_arn_of_another_account_than_the_credentials_is_found(
    doctor: Doctor, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in amazon.environment():
        monkeypatch.delenv(name)

    report = doctor(AWS_ENDPOINT_URL_STS=amazon.url)

    assert report.says("credentials", "ok", "AWS knows them as arn:aws:")
    assert report.says("for-you", "warning", "account 000000000000, and the credentials are of 123456789012")


def test_a_filter_that_does_not_exist_is_found_at_one_more_transaction(doctor: Doctor, local: LocalPersonalize) -> None:
    report = doctor(PERSONALIZE_FILTER_ARN=f"{FILTER_ARN}chaep")

    assert report.status == 1
    assert report.says("for-you", "error", f"the filter {FILTER_ARN}chaep is refused: ResourceNotFoundException")
    assert local.stats()["transactions"] == 1


def test_a_filter_of_another_region_is_found(doctor: Doctor) -> None:
    report = doctor(PERSONALIZE_FILTER_ARN=f"{FILTER_ARN}cheap".replace("us-east-1", "eu-west-1"))

    assert report.says("for-you", "error", "is not of the region and account of")


def test_a_filter_that_exists_is_fine(doctor: Doctor) -> None:
    assert doctor(PERSONALIZE_FILTER_ARN=f"{FILTER_ARN}cheap").status == 0


@pytest.mark.parametrize("minutes", [10, -10])
def test_a_clock_that_is_ten_minutes_off_is_found(doctor: Doctor, clock: MovingClock, minutes: int) -> None:
    clock.skew_seconds = minutes * 60

    report = doctor()

    assert report.status == 1
    side = "fast" if minutes > 0 else "slow"
    assert report.says("clock", "error", side)
    assert any(re.search(r"\b(9|10) min \d+ s", one["what"]) for one in report.of("error"))


def test_variables_that_nobody_reads_are_found(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CACHE_FRESH_SECOND=60\nSHOP=mine\n", encoding="utf-8")

    report = doctor(PERSONALISE_TPS="20", AWS_REGOIN="us-east-1", PERSONALIZE_BUDGET="5")

    logged = {one["what"]: one["advice"] for one in report.of("warning")}
    assert logged == {
        "nobody reads AWS_REGOIN": "write AWS_REGION",
        "nobody reads CACHE_FRESH_SECOND": "write CACHE_FRESH_SECONDS",
        "nobody reads PERSONALISE_TPS": "write PERSONALIZE_TPS",
        "nobody reads PERSONALIZE_BUDGET": "remove it, or correct it",
        "nobody reads SHOP": "remove it, or correct it",
    }


def test_wrong_settings_are_each_a_finding(doctor: Doctor) -> None:
    report = doctor(PERSONALIZE_TPS="0", LOG_LEVEL="loud")

    assert report.status == 1
    assert [one["what"].partition(":")[0] for one in report.of("error")] == ["LOG_LEVEL", "PERSONALIZE_TPS"]


def test_a_missing_api_key_hides_nothing_else(doctor: Doctor) -> None:
    report = doctor(ALLOW_ANONYMOUS="false")

    assert report.status == 1
    assert report.says("settings", "error", "API_KEYS")
    assert report.says("for-you", "ok", "answers")


def test_a_data_dir_that_cannot_be_written_is_found(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    report = doctor(DATA_DIR=str(tmp_path / "file" / "data"))

    assert report.status == 1
    assert report.says("DATA_DIR", "error", "cannot be written")


def test_a_campaign_that_throttles_is_a_warning(doctor: Doctor, local: LocalPersonalize) -> None:
    local.fail("throttle")

    assert doctor().says("for-you", "warning", "asked too often")


@pytest.mark.parametrize("mode", ["hang", "error500", "garbage", "reset"])
def test_a_campaign_that_does_not_answer_is_found(
    doctor: Doctor, local: LocalPersonalize, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    if mode == "hang":
        monkeypatch.setattr(asking, "TIMEOUT_SECONDS", 0.2)
    local.fail(mode)

    report = doctor()

    assert report.status == 1
    assert report.says("for-you", "error", "is refused")


def test_an_address_where_nobody_listens_is_found(doctor: Doctor) -> None:
    report = doctor(AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME="http://127.0.0.1:9")

    assert report.says("for-you", "error", "open the way to personalize-runtime")


def test_transactions_stay_within_the_tps_and_the_number_that_was_allowed(
    doctor: Doctor, local: LocalPersonalize, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [argument for number in range(9) for argument in ("--user", f"user{number}")]
    rates: list[float] = []
    reserve = EmbeddedGovernor.reserve

    async def noted(self: EmbeddedGovernor, lane: Lane, within_seconds: float, count: int = 1) -> Reservation:
        found = await reserve(self, lane, within_seconds, count)
        rates.extend([self.max_tps] * found.granted)
        return found

    monkeypatch.setattr(EmbeddedGovernor, "reserve", noted)

    report = doctor("--transactions", "4", *users, PERSONALIZE_TPS="10")

    assert report.says("Personalize", "ok", "at most 4 transactions")
    # Each has a slot of that budget; when it arrives there depends on the machine too.
    assert local.stats()["transactions"] == len(rates) == 4
    assert 9 < min(rates) == max(rates) <= 10


EVENTS = {"EVENT_KEYS": "an-event-key-of-these-tests", "PERSONALIZE_TRACKING_ID": TRACKING_ID}


def test_an_event_tracker_is_asked_and_learns_nothing(doctor: Doctor, local: LocalPersonalize) -> None:
    report = doctor(**EVENTS)

    assert (report.status, report.of("warning"), report.of("error")) == (0, [], [])
    assert report.says("event tracker", "ok", "may be sent to")
    assert local.http.get("/_events").json() == []


def test_an_event_tracker_that_does_not_exist_is_found(doctor: Doctor) -> None:
    report = doctor(**{**EVENTS, "PERSONALIZE_TRACKING_ID": "another"})

    assert report.status == 1
    assert report.says("event tracker", "error", "correct PERSONALIZE_TRACKING_ID")
    assert report.says("for-you", "ok", "answers")


@pytest.mark.parametrize(
    ("code", "words"),
    [("AccessDeniedException", "personalize:PutEvents"), ("ExpiredTokenException", "renew the credentials")],
)
def test_an_event_tracker_that_may_not_be_sent_to_is_found(
    doctor: Doctor, local: LocalPersonalize, code: str, words: str
) -> None:
    local.refuse(LOCALKEY=code)

    assert doctor(**EVENTS).says("event tracker", "error", words)


def test_personalize_is_not_asked_where_that_is_not_wished(doctor: Doctor, local: LocalPersonalize) -> None:
    report = doctor("--transactions", "0")

    assert report.status == 0
    assert local.stats()["transactions"] == 0


@pytest.mark.processes
def test_an_operator_reads_a_line_for_each_finding(sound: dict[str, str], tmp_path: Path) -> None:
    """The command itself, where 256 files may be open."""

    def allow_few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    run = subprocess.run(
        [sys.executable, "-m", "service", "doctor"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **sound},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=allow_few_files,  # nothing else runs in this child
        timeout=60,
    )

    assert (run.returncode, run.stderr) == (1, "")
    lines = run.stdout.splitlines()
    assert all(line.partition(" ")[0] in ("ok", "warning", "error") for line in lines)
    [few] = [line for line in lines if line.startswith("error")]
    assert "open files: at most 256" in few
    assert "LimitNOFILE" in few
