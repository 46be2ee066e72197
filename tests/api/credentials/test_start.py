"""A replica starts while AWS's credentials cannot be had, and is personal when they can; the real SDK asks."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import ConfigurationError
from service.wiring import sdk
from tests.support.amazon import Amazon
from tests.support.credential_callers import CATALOG, NO_KEYS, Callers, events, write_profile
from tests.support.credential_endpoint import CredentialEndpoint
from tests.support.front_door import OpenDoor
from tests.support.local_personalize import LocalPersonalize
from tests.support.processes import CAMPAIGN_ARN, SAMPLE
from tests.support.waiting import until


@pytest.mark.parametrize("kind", ["instance", "container"])
async def test_a_role_that_cannot_be_asked_at_the_start_is_asked_until_it_answers(
    open_door: OpenDoor,
    local: LocalPersonalize,
    endpoint: CredentialEndpoint,
    capsys: pytest.CaptureFixture[str],
    *,
    kind: str,
) -> None:
    """D1, D2: the replica starts, serves popular items, says so once, and is personal within 10 s of the role."""
    logged: list[str] = []
    source = endpoint.instance() if kind == "instance" else endpoint.container()
    async with open_door(local_personalize=local.url, **NO_KEYS, **CATALOG, **source) as door:
        callers = Callers(door)
        assert await callers.source() == "popular"

        def is_missing() -> bool:
            logged.extend(events(capsys))
            return "aws_credentials_missing" in logged

        await until(is_missing)
        await door.shows("aws_credentials_failing 1.0")
        await endpoint.open()
        await callers.are_answered_personally()
        assert (await door.get("/readyz")).status_code == 200
        await door.shows("aws_credentials_failing 0.0")

    logged += events(capsys)
    assert [event for event in logged if event != "aws_credentials_awaited"] == [
        "aws_credentials_missing",
        "aws_credentials_found",
        "aws_credentials_refreshed_again",
    ]


@pytest.mark.parametrize("kind", ["instance", "container"])
@pytest.mark.parametrize(
    ("status", "body", "delay_seconds"),
    [
        (500, None, 0.0),
        (404, b"<?xml version='1.0'?><html>", 0.0),
        (200, b"<html>It works!</html>", 0.0),
        (200, b"{}", 0.0),
        (200, b"\xff\xfe", 0.0),
        (200, b'{"AccessKeyId": "A", "SecretAccessKey": "B", "Token": "C", "Expiration": "soon"}', 0.0),
        (200, None, 6.0),
    ],
)
async def test_a_role_whose_answer_cannot_be_used_stops_nothing(
    open_door: OpenDoor,
    local: LocalPersonalize,
    endpoint: CredentialEndpoint,
    capsys: pytest.CaptureFixture[str],
    *,
    kind: str,
    status: int,
    body: bytes | None,
    delay_seconds: float,
) -> None:
    """D1, D2: whatever the endpoint says, at the start and after it."""
    endpoint.status, endpoint.body, endpoint.delay_seconds = status, body, delay_seconds
    await endpoint.open()
    source = endpoint.instance() if kind == "instance" else endpoint.container()
    async with open_door(local_personalize=local.url, **NO_KEYS, **CATALOG, **source) as door:
        callers = Callers(door)
        assert await callers.source() == "popular"
        endpoint.status, endpoint.body, endpoint.delay_seconds = 200, None, 0.0
        await callers.are_answered_personally()

    assert events(capsys)[-1] in ("aws_credentials_refreshed_again", "aws_credentials_found")


async def test_a_profile_whose_file_is_yet_to_be_written_stops_no_start(
    open_door: OpenDoor, local: LocalPersonalize
) -> None:
    """D2: a container beside this one may write it a moment later."""
    async with open_door(local_personalize=local.url, AWS_PROFILE="shop", **NO_KEYS, **CATALOG) as door:
        callers = Callers(door)
        assert await callers.source() == "popular"
        write_profile("NEW", "shop")
        await callers.are_answered_personally()


async def test_sts_that_cannot_be_reached_stops_no_start(
    open_door: OpenDoor,
    local: LocalPersonalize,
    endpoint: CredentialEndpoint,
    amazon: Amazon,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D2: web identity, as in Kubernetes; STS comes a moment later."""
    for name in amazon.environment():
        monkeypatch.delenv(name)
    token = tmp_path / "token"
    token.write_text("a.web.token", encoding="utf-8")
    settings = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/shop",
        "AWS_ENDPOINT_URL_STS": endpoint.url,
    }
    async with open_door(local_personalize=local.url, **NO_KEYS, **CATALOG, **settings) as door:
        callers = Callers(door)
        assert await callers.source() == "popular"
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", amazon.url)
        await callers.are_answered_personally()


@pytest.mark.parametrize(
    ("settings", "event", "words"),
    [
        (NO_KEYS, "aws_credentials_missing", "no AWS credentials: none in the environment"),
        (NO_KEYS, "personalize_failed", "give the task, pod or instance a role"),
        (
            {"PERSONALIZE_CAMPAIGN_ARN": CAMPAIGN_ARN.replace("us-east-1", "eu-west-1")},
            "personalize_failed",
            "correct the ARN, its region and account",
        ),
        (
            {"PERSONALIZE_FILTER_ARN": CAMPAIGN_ARN.replace("campaign/local", "filter/gone")},
            "personalize_failed",
            "There is no resource arn:aws:personalize:us-east-1:000000000000:filter/gone",
        ),
        (
            {"PERSONALIZE_FILTER_ARN": "arn:aws:personalize:eu-west-1:000000000000:filter/gone"},
            "personalize_filter_elsewhere",
            "name a filter of the same region and account",
        ),
    ],
)
async def test_what_keeps_everybody_from_personal_answers_is_logged_in_words(
    open_door: OpenDoor,
    local: LocalPersonalize,
    settings: dict[str, str],
    event: str,
    words: str,
) -> None:
    """D5: at the start where it shows there, else with the first transaction; never only "ready"."""
    with capture_logs() as logs:
        configured = CATALOG | {"REQUEST_DEADLINE_SECONDS": "10"} | settings
        async with open_door(local_personalize=local.url, **configured) as door:
            assert await Callers(door).source() == "popular"

    assert any(line["event"] == event and line["log_level"] == "warning" and words in str(line) for line in logs)


async def test_a_catalogue_in_s3_waits_at_the_start_for_a_role_that_comes_late(
    open_door: OpenDoor,
    local: LocalPersonalize,
    endpoint: CredentialEndpoint,
    amazon: Amazon,
    capsys: pytest.CaptureFixture[str],
    *,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D1: without a catalogue there is nothing to show, so the start waits, and does not end with status 2."""
    client = amazon.client("s3")
    client.create_bucket(Bucket="shop")
    client.put_object(Bucket="shop", Key="items.csv", Body=(SAMPLE / "items.csv").read_bytes())
    client.close()
    for name in amazon.environment():
        monkeypatch.delenv(name)
    settings = {"CATALOG_URL": "s3://shop/items.csv", "AWS_ENDPOINT_URL_S3": amazon.url}

    async def come_late() -> None:
        await until(lambda: "aws_credentials_missing" in events(capsys))
        await endpoint.open()

    late = asyncio.create_task(come_late())
    async with open_door(local_personalize=local.url, **NO_KEYS, **settings, **endpoint.instance()) as door:
        assert await Callers(door).source() == "personalize"
    await late


async def test_a_catalogue_in_s3_without_any_credentials_ends_the_start_with_one_line(
    open_door: OpenDoor, local: LocalPersonalize, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D2: where there is nothing to show, the start ends when its patience does."""
    monkeypatch.setattr(sdk, "CREDENTIALS_PATIENCE_SECONDS", 0.1)
    with pytest.raises(ConfigurationError, match=r"^s3://shop/items.csv: no AWS credentials: none in the environment"):
        async with open_door(local_personalize=local.url, **NO_KEYS, CATALOG_URL="s3://shop/items.csv"):
            pass
