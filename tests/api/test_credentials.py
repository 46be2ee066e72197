"""Where AWS's credentials come from fails, comes back or changes, and a replica runs on; the real SDK asks."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.aws import credentials
from service.errors import ConfigurationError
from service.local_personalize.app import create_app
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import learn
from service.wiring import sdk
from tests.support.amazon import Amazon
from tests.support.credential_endpoint import CredentialEndpoint
from tests.support.front_door import Door, OpenDoor
from tests.support.local_personalize import LocalPersonalize, serving
from tests.support.processes import CAMPAIGN_ARN, SAMPLE
from tests.support.waiting import until

NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
CATALOG = {"CATALOG_URL": f"file://{SAMPLE}/items.csv"}
BACK_SECONDS = 10.0


@pytest.fixture(scope="module")
def model_server() -> Iterator[LocalPersonalize]:
    with serving(create_app(learn(read_dataset(SAMPLE)), tps=0, latency_ms=0)) as running:
        yield running


@pytest.fixture
def local(model_server: LocalPersonalize) -> Iterator[LocalPersonalize]:
    yield model_server
    model_server.refuse()


@pytest.fixture(autouse=True)
def no_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own credentials."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
async def endpoint() -> AsyncIterator[CredentialEndpoint]:
    """Silent until a test opens it."""
    endpoint = CredentialEndpoint()
    yield endpoint
    await endpoint.close()


class Callers:
    """Ask, each time for a user who has no list."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._asked = 0

    async def source(self) -> str:
        """Where the answer to the next of them comes from."""
        self._asked += 1
        answer = await self._door.get("/recommendations", user_id=f"caller{self._asked}")
        assert answer.status_code == 200
        assert len(answer.json()) == 10
        return answer.headers["X-Recommendation-Source"]

    async def are_answered_personally(self) -> None:
        """Return once one is."""

        async def is_personal() -> bool:
            return await self.source() == "personalize"

        await until(is_personal, seconds=BACK_SECONDS)


def events(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The log events that have to do with credentials, since they were last asked for."""
    out, err = capsys.readouterr()
    words = (out + err).split()
    return [word for word in words if word.startswith("aws_credentials_")]


async def refuse(local: LocalPersonalize, **codes: str) -> None:
    await asyncio.to_thread(local.refuse, **codes)


def write_profile(key: str, profile: str = "default") -> None:
    path = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    path.write_text(f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = secret\n", encoding="utf-8")


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


@pytest.mark.parametrize(
    ("kind", "failure"), [("instance", "dead"), ("instance", "slow"), ("instance", "500"), ("container", "dead")]
)
async def test_a_role_that_cannot_be_asked_later_delays_nobody_while_the_credentials_are_good(
    open_door: OpenDoor,
    local: LocalPersonalize,
    endpoint: CredentialEndpoint,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    kind: str,
    failure: str,
) -> None:
    """D3: a refresh is due in a few seconds, and fails while messages are answered."""
    monkeypatch.setattr(credentials, "INSTANCE_LOOK_SECONDS", 2.0)
    endpoint.lasts_seconds = 8.0
    await endpoint.open()
    source = endpoint.instance() if kind == "instance" else endpoint.container()
    async with open_door(
        local_personalize=local.url, REQUEST_DEADLINE_SECONDS="0.5", **NO_KEYS, **CATALOG, **source
    ) as door:
        callers = Callers(door)
        assert await callers.source() == "personalize"
        if failure == "dead":
            await endpoint.close()
        elif failure == "slow":
            endpoint.delay_seconds = 30.0
        else:
            endpoint.status = 500
        logged: list[str] = []

        async def is_told() -> bool:
            assert await callers.source() == "personalize"
            logged.extend(events(capsys))
            return "aws_credentials_not_refreshed" in logged

        await until(is_told)


async def test_a_credentials_file_that_is_written_anew_is_read_at_the_first_refusal(
    open_door: OpenDoor, local: LocalPersonalize, capsys: pytest.CaptureFixture[str]
) -> None:
    """D4: one caller gets popular items, and the next one is answered personally, without a restart."""
    write_profile("OLD")
    async with open_door(local_personalize=local.url, **NO_KEYS, **CATALOG) as door:
        callers = Callers(door)
        assert await callers.source() == "personalize"
        await refuse(local, OLD="ExpiredTokenException")
        write_profile("NEW")
        assert await callers.source() == "popular"
        await callers.are_answered_personally()

    assert events(capsys) == ["aws_credentials_found", "aws_credentials_refused", "aws_credentials_found"]


@pytest.mark.parametrize(
    "code",
    [
        "ExpiredToken",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "AccessDeniedException",
    ],
)
async def test_a_credentials_file_that_was_deleted_is_read_again_when_it_is_back(
    open_door: OpenDoor, local: LocalPersonalize, code: str
) -> None:
    """D4: every refusal that other credentials may cure has the profile's file read again until there are some."""
    write_profile("OLD", "shop")
    async with open_door(local_personalize=local.url, AWS_PROFILE="shop", **NO_KEYS, **CATALOG) as door:
        callers = Callers(door)
        assert await callers.source() == "personalize"
        await refuse(local, OLD=code)
        Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).unlink()
        assert await callers.source() == "popular"
        write_profile("NEW", "shop")
        await callers.are_answered_personally()


async def test_a_profile_whose_file_is_yet_to_be_written_stops_no_start(
    open_door: OpenDoor, local: LocalPersonalize
) -> None:
    """D2: a container beside this one may write it a moment later."""
    async with open_door(local_personalize=local.url, AWS_PROFILE="shop", **NO_KEYS, **CATALOG) as door:
        callers = Callers(door)
        assert await callers.source() == "popular"
        write_profile("NEW", "shop")
        await callers.are_answered_personally()


@pytest.mark.processes
async def test_a_program_that_prints_credentials_is_run_again_at_the_first_refusal(
    open_door: OpenDoor, local: LocalPersonalize, tmp_path: Path
) -> None:
    """D4: a process provider, whose first answer is refused later and whose second one fails."""
    given = tmp_path / "given.json"
    program = tmp_path / "give"
    program.write_text(f"#!{sys.executable}\nprint(open({str(given)!r}).read())\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\n", encoding="utf-8")
    given.write_text(json.dumps({"Version": 1, "AccessKeyId": "OLD", "SecretAccessKey": "s"}), encoding="utf-8")
    async with open_door(local_personalize=local.url, **NO_KEYS, **CATALOG) as door:
        callers = Callers(door)
        await callers.are_answered_personally()
        await refuse(local, OLD="ExpiredTokenException")
        given.write_text("no credentials today", encoding="utf-8")
        assert await callers.source() == "popular"
        given.write_text(json.dumps({"Version": 1, "AccessKeyId": "NEW", "SecretAccessKey": "s"}), encoding="utf-8")
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
        async with open_door(local_personalize=local.url, **{**CATALOG, **settings}) as door:
            assert await Callers(door).source() == "popular"

    assert any(line["event"] == event and line["log_level"] == "warning" and words in str(line) for line in logs)


async def test_a_catalogue_in_s3_waits_at_the_start_for_a_role_that_comes_late(
    open_door: OpenDoor,
    local: LocalPersonalize,
    endpoint: CredentialEndpoint,
    amazon: Amazon,
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
        await asyncio.sleep(1.0)
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


@pytest.mark.parametrize("lasts_seconds", [-3600.0, 60.0])
async def test_what_a_container_is_given_is_used_even_if_its_end_is_near_or_past(
    open_door: OpenDoor,
    local: LocalPersonalize,
    endpoint: CredentialEndpoint,
    capsys: pytest.CaptureFixture[str],
    *,
    lasts_seconds: float,
) -> None:
    """D3: only AWS knows whether credentials still work; this machine's clock may be wrong."""
    endpoint.lasts_seconds = lasts_seconds
    await endpoint.open()
    async with open_door(local_personalize=local.url, **NO_KEYS, **CATALOG, **endpoint.container()) as door:
        assert await Callers(door).source() == "personalize"

    assert ("aws_credentials_expired" in events(capsys)) == (lasts_seconds < 0)


async def test_a_catalogue_in_s3_is_read_on_with_credentials_that_were_written_anew(
    open_door: OpenDoor, local: LocalPersonalize, amazon: Amazon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: the catalogue's client signs with the same credentials as Personalize's, and reports refusals too."""
    client = amazon.client("s3")
    client.create_bucket(Bucket="shop")
    client.put_object(Bucket="shop", Key="items.csv", Body=(SAMPLE / "items.csv").read_bytes())
    for name in amazon.environment():
        monkeypatch.delenv(name)
    write_profile("OLD")
    settings = {"CATALOG_URL": "s3://shop/items.csv", "AWS_ENDPOINT_URL_S3": amazon.url}
    async with open_door(local_personalize=local.url, **NO_KEYS, **settings) as door:
        amazon.refused_keys["OLD"] = "ExpiredToken"
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_refresh_failing 1.0")
        write_profile("NEW")

        async def is_read() -> bool:
            door.app.lifecycle.on_hangup()
            return "catalog_refresh_failing 0.0" in (await door.http.get("/metrics")).text

        await until(is_read)
    client.close()
