"""When credentials are looked for, in virtual time; the sources are those of the test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.aws.chain import FoundCredentials
from service.aws.credentials import AwsCredentials, MissingCredentialsError
from service.errors import CredentialsUnavailable
from tests.support.virtual_time import VirtualClock, run_virtual

HOUR = 3600.0


class Source:
    """Gives what the test says, and remembers when it was asked."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.asked_at: list[float] = []
        self.key = "KEY1"
        self.source = "container-role"
        self.lasts: float | None = HOUR
        self.problem = ""
        self.failures_to_come = 0
        self.takes = 0.0

    async def look(self) -> FoundCredentials:
        self.asked_at.append(self.clock.monotonic())
        await asyncio.sleep(self.takes)
        self.failures_to_come -= 1
        if self.problem or self.failures_to_come >= 0:
            raise CredentialsUnavailable(self.problem or "status 500")
        expires_at = None if self.lasts is None else self.clock.time() + self.lasts
        return FoundCredentials(self.key, "secret", "token", self.source, expires_at)

    def looks_in(self, begin: float, end: float) -> int:
        return sum(begin <= at < end for at in self.asked_at)


Story = Callable[[Source, AwsCredentials, list[Any]], Awaitable[None]]


def log_of(story: Story) -> list[Any]:
    """Play a story with a source and its credentials; the log."""

    async def play() -> None:
        clock = VirtualClock(asyncio.get_running_loop())
        source = Source(clock)
        credentials = AwsCredentials(source.look, clock)
        try:
            await story(source, credentials, logs)
        finally:
            await credentials.close()

    with capture_logs() as logs:
        run_virtual(play())
    return logs


def events(logs: list[Any]) -> list[str]:
    return [line["event"] for line in logs]


def test_a_source_that_comes_back_is_found_within_ten_seconds() -> None:
    """D1: the chain is asked on and on while it has found nothing."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.problem = "IMDS is silent"
        source.takes = 2.0
        await credentials.first_look(30)
        with pytest.raises(MissingCredentialsError, match="IMDS is silent"):
            credentials.frozen()
        await asyncio.sleep(300)
        assert events(logs) == ["aws_credentials_missing"]
        source.problem = ""
        back_at = source.clock.monotonic()
        await credentials.arrive(60)
        assert source.clock.monotonic() - back_at < 10
        assert credentials.frozen().access_key == "KEY1"

    logs = log_of(story)

    assert events(logs) == ["aws_credentials_missing", "aws_credentials_found", "aws_credentials_refreshed_again"]
    assert logs[0]["problem"] == "IMDS is silent"


def test_nobody_waits_for_a_refresh_while_the_old_credentials_are_good() -> None:
    """D3: a source that hangs for 20 s at every look delays nobody for 14 minutes."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.lasts = 14 * 60
        await credentials.arrive(1)
        source.takes, source.problem, source.key = 20.0, "no answer in time", "KEY2"
        while credentials.seconds_left > 1:
            asked_at = source.clock.monotonic()
            assert credentials.frozen().access_key == "KEY1"
            assert source.clock.monotonic() == asked_at
            await asyncio.sleep(1)
        assert events(logs) == ["aws_credentials_found", "aws_credentials_not_refreshed"]

    log_of(story)


@pytest.mark.parametrize("lasts", [60.0, 14 * 60.0, HOUR, 12 * HOUR])
def test_credentials_are_renewed_before_they_end_however_short_they_live(lasts: float) -> None:
    """D3: no second passes with credentials that have ended, and no source is asked for nothing."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.lasts = lasts
        await credentials.arrive(1)
        begin = source.clock.monotonic()
        while source.clock.monotonic() < begin + 10 * lasts:
            assert credentials.seconds_left > 0
            await asyncio.sleep(lasts / 20)
        assert len(source.asked_at) <= 25
        assert events(logs) == ["aws_credentials_found"]

    log_of(story)


def test_an_instance_role_whose_end_the_sdk_puts_off_is_looked_at_often() -> None:
    """D3: the SDK says 20 minutes of credentials that end in one."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        del logs
        source.source, source.lasts = "iam-role", 20 * 60
        await credentials.arrive(1)
        await asyncio.sleep(HOUR)
        assert len(source.asked_at) == pytest.approx(HOUR / 15, abs=2)
        source.lasts = 6 * HOUR
        await asyncio.sleep(5 * HOUR)
        assert len(source.asked_at) == pytest.approx(HOUR / 15, abs=4)

    log_of(story)


def test_a_refresh_that_fails_ten_times_and_then_works_is_logged_twice() -> None:
    """D3: once when it begins to fail, once when it is over."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        await credentials.arrive(1)
        source.failures_to_come = 10
        await asyncio.sleep(HOUR)
        assert len(source.asked_at) == 12
        assert credentials.seconds_left > HOUR - 900
        assert events(logs)[2:] == ["aws_credentials_refreshed_again"]

    logs = log_of(story)

    assert events(logs) == [
        "aws_credentials_found",
        "aws_credentials_not_refreshed",
        "aws_credentials_refreshed_again",
    ]
    assert logs[1]["seconds_left"] == 900


def test_credentials_that_have_ended_stay_in_use_until_there_are_others() -> None:
    """D3: only AWS knows whether they still work; a role that was removed is logged, and found when it is back."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        await credentials.arrive(1)
        source.problem = "404: no role"
        await asyncio.sleep(2 * HOUR)
        assert credentials.frozen().access_key == "KEY1"
        assert events(logs)[1:] == ["aws_credentials_not_refreshed", "aws_credentials_expired"]
        source.problem, source.key = "", "KEY2"
        await asyncio.sleep(10)
        assert credentials.frozen().access_key == "KEY2"

    log_of(story)


def test_a_source_that_gives_what_has_ended_is_asked_again_without_haste() -> None:
    """D3: expiry in the past; neither a loop at full speed nor good credentials given up for bad ones."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.lasts = -60
        await credentials.arrive(1)
        assert credentials.frozen().access_key == "KEY1"
        await asyncio.sleep(100)
        assert len(source.asked_at) <= 21
        assert events(logs) == ["aws_credentials_found", "aws_credentials_expired"]
        source.lasts, source.key = HOUR, "KEY2"
        await asyncio.sleep(6)
        source.lasts, source.key = -60, "KEY3"
        await asyncio.sleep(HOUR - 120)
        assert credentials.frozen().access_key == "KEY2"

    log_of(story)


def test_refused_credentials_are_read_again_at_once_and_then_every_five_seconds() -> None:
    """D4: a file that was written anew; a thousand refusals are no thousand looks."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.lasts, source.source = None, "shared-credentials-file"
        await credentials.arrive(1)
        await asyncio.sleep(HOUR)
        assert len(source.asked_at) == 1
        refused_at = source.clock.monotonic()
        source.key = "KEY2"
        credentials.refused("ExpiredTokenException", credentials.frozen().access_key)
        await asyncio.sleep(0.01)
        assert credentials.frozen().access_key == "KEY2"
        for _ in range(1000):
            credentials.refused("ExpiredTokenException", credentials.frozen().access_key)
            await asyncio.sleep(0.1)
        assert 19 <= source.looks_in(refused_at, refused_at + 100) <= 21
        logged = events(logs)
        assert logged.count("aws_credentials_refused") == 2
        assert logged.count("aws_credentials_found") == 2

    log_of(story)


def test_a_role_without_a_right_gives_another_key_at_each_look_and_two_lines_a_minute() -> None:
    """D4: STS gives a new key whenever it is asked, and each is refused for the same reason."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.source = "assume-role-with-web-identity"
        await credentials.arrive(1)
        for number in range(3_000):
            source.key = f"KEY{number + 2}"
            credentials.refused("AccessDeniedException", credentials.frozen().access_key)
            await asyncio.sleep(0.1)
        assert 2 <= events(logs).count("aws_credentials_refused") <= 2 * 5 + 1
        assert events(logs).count("aws_credentials_found") <= 2 * 5 + 2

    log_of(story)


def test_a_refresh_that_fails_of_one_thing_and_then_of_another_is_one_line() -> None:
    """D3."""

    async def story(source: Source, credentials: AwsCredentials, _: list[Any]) -> None:
        source.lasts = None
        await credentials.arrive(1)
        await asyncio.sleep(60)
        credentials.refused("ExpiredTokenException", "KEY1")
        for source.problem in ("status 500", "no source has answered within 20 s", "no AWS credentials"):
            await asyncio.sleep(20)
            credentials.refused("UnrecognizedClientException", "KEY1")
        source.problem = ""
        await asyncio.sleep(20)
        credentials.refused("ExpiredTokenException", "KEY1")
        await asyncio.sleep(20)

    assert events(log_of(story)) == [
        "aws_credentials_found",
        "aws_credentials_refused",
        "aws_credentials_not_refreshed",
        "aws_credentials_refreshed_again",
    ]


@pytest.mark.parametrize(("written_after", "looks"), [(0.0, 2), (1.0, 3)])
def test_a_refusal_during_a_look_calls_for_another_one_unless_that_found_other_credentials(
    written_after: float, looks: int
) -> None:
    """D4: what the look has read may have been written anew before it ended, and nobody may ask for an hour."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.lasts, source.takes = None, 0.5
        await credentials.arrive(1)
        await asyncio.sleep(60)
        old = source.key
        source.key = "KEY2" if not written_after else old
        credentials.refused("ExpiredTokenException", old)
        await asyncio.sleep(0.2)
        credentials.refused("ExpiredTokenException", old)
        await asyncio.sleep(written_after)
        source.key = "KEY2"
        await asyncio.sleep(HOUR)
        assert credentials.frozen().access_key == "KEY2"
        assert len(source.asked_at) == looks
        assert events(logs).count("aws_credentials_refused") == 1

    log_of(story)


def test_a_refusal_that_comes_after_its_credentials_were_replaced_counts_for_nothing() -> None:
    """D4: several calls are under way when the first one is refused."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.lasts = None
        await credentials.arrive(1)
        source.key = "KEY2"
        credentials.refused("ExpiredTokenException", "KEY1")
        await asyncio.sleep(1)
        assert credentials.frozen().access_key == "KEY2"
        for _ in range(10):
            credentials.refused("ExpiredTokenException", "KEY1")
            await asyncio.sleep(10)
        assert len(source.asked_at) == 2
        assert events(logs).count("aws_credentials_refused") == 1

    log_of(story)


def test_a_file_that_is_gone_when_it_is_read_again_is_read_when_it_is_back() -> None:
    """D4: deleted, and written a minute later; nobody asks in between."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.lasts = None
        await credentials.arrive(1)
        await asyncio.sleep(60)
        source.problem = "no AWS credentials"
        credentials.refused("InvalidClientTokenId", credentials.frozen().access_key)
        await asyncio.sleep(60)
        assert credentials.frozen().access_key == "KEY1"
        assert len(logs) == 3
        source.problem, source.key = "", "KEY2"
        await asyncio.sleep(6)
        assert credentials.frozen().access_key == "KEY2"

    logs = log_of(story)

    assert events(logs) == [
        "aws_credentials_found",
        "aws_credentials_refused",
        "aws_credentials_not_refreshed",
        "aws_credentials_found",
        "aws_credentials_refreshed_again",
    ]


def test_a_clock_that_is_set_forward_is_noticed_within_a_minute() -> None:
    """D3: what has an end by the Unix time is renewed by the Unix time."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        del logs
        source.lasts = 12 * HOUR
        await credentials.arrive(1)
        await asyncio.sleep(10)
        source.clock.skew += 11.9 * HOUR
        await asyncio.sleep(61)
        assert len(source.asked_at) == 2

    log_of(story)


def test_a_start_with_many_placements_waits_once_for_a_source_that_is_silent() -> None:
    """D5: it goes on after a second, and says so once."""

    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        source.takes = 20.0
        began = source.clock.monotonic()
        for _ in range(50):
            await credentials.start_with(1.0)
        assert source.clock.monotonic() - began == pytest.approx(1.0)
        assert events(logs) == ["aws_credentials_awaited"]

    log_of(story)


def test_nothing_is_looked_for_before_it_is_wanted() -> None:
    async def story(source: Source, credentials: AwsCredentials, logs: list[Any]) -> None:
        del credentials, logs
        await asyncio.sleep(HOUR)
        assert source.asked_at == []

    log_of(story)
