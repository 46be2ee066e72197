"""AWS's credentials end, fail or change under a running replica; the real SDK asks."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from service.aws import credentials
from tests.support.amazon import Amazon
from tests.support.credential_callers import CATALOG, NO_KEYS, Callers, events, refuse, write_profile
from tests.support.credential_endpoint import CredentialEndpoint
from tests.support.front_door import OpenDoor
from tests.support.local_personalize import LocalPersonalize
from tests.support.processes import SAMPLE
from tests.support.waiting import until


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
    """D3: a refresh falls due, and fails while messages are answered."""
    monkeypatch.setattr(credentials, "MAX_SLEEP_SECONDS", 0.1)
    await endpoint.open()
    source = endpoint.instance() if kind == "instance" else endpoint.container()
    async with open_door(
        local_personalize=local.url, REQUEST_DEADLINE_SECONDS="5", **NO_KEYS, **CATALOG, **source
    ) as door:
        callers = Callers(door)
        await callers.are_answered_personally()
        if failure == "dead":
            await endpoint.close()
        elif failure == "slow":
            endpoint.delay_seconds = 30.0
        else:
            endpoint.status = 500
        # The credentials are good for a little less than they are renewed before their end.
        door.clock.moved_seconds += endpoint.lasts_seconds - credentials.REFRESH_BEFORE_SECONDS + 60
        logged: list[str] = []

        async def is_said() -> bool:
            assert await callers.source() == "personalize"
            logged.extend(events(capsys))
            return "aws_credentials_not_refreshed" in logged

        await until(is_said)


async def test_a_credentials_file_that_is_written_anew_is_read_at_the_first_refusal(
    open_door: OpenDoor, local: LocalPersonalize, capsys: pytest.CaptureFixture[str]
) -> None:
    """D4: one caller gets popular items, and the next one is answered personally, without a restart."""
    write_profile("OLD")
    async with open_door(local_personalize=local.url, **NO_KEYS, **CATALOG) as door:
        callers = Callers(door)
        await callers.are_answered_personally()
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
        await callers.are_answered_personally()
        await refuse(local, OLD=code)
        Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).unlink()
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
        await Callers(door).are_answered_personally()

    assert ("aws_credentials_expired" in events(capsys)) == (lasts_seconds < 0)


@pytest.mark.long
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
