"""A prewarm from its survey to its last word, against a maker in virtual time."""

import asyncio
import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.cli.moments import moment
from service.cli.prewarm import named_files
from service.errors import SharedStateUnavailable
from service.sends.ports import PrewarmReport, PrewarmTerms
from service.sends.prewarm.run import Prewarm
from service.sends.users.files import UsersFiles
from service.sends.users.findings import UsersFileError
from tests.support.virtual_time import VirtualClock, run_virtual

TPS = 10.0


@dataclass
class Maker:
    """Fetches `TPS` lists a second in virtual time."""

    clock: VirtualClock
    have: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    fails: Callable[[str], str] = lambda _: ""
    down: Callable[[float], bool] = lambda _: False
    share: Callable[[float], float] = lambda _: 0.8
    fetched_by_others: set[str] = field(default_factory=set)
    """Who has a list as soon as the first round begins."""

    async def make(
        self, users: Sequence[str], terms: PrewarmTerms, *, seconds: float, on_done: Callable[[], None] = lambda: None
    ) -> PrewarmReport:
        assert terms == PrewarmTerms()
        assert len(set(users)) == len(users)
        if self.down(self.clock.monotonic()):
            raise SharedStateUnavailable("Redis is down")
        report = PrewarmReport(tps=TPS, fresh_seconds=900.0)
        until = self.clock.monotonic() + seconds
        if seconds:
            self.have |= self.fetched_by_others
        for user in users:
            if user in self.have:
                report.kept += 1
                on_done()
            elif self.clock.monotonic() >= until:
                report.left.append(user)
            else:
                await asyncio.sleep(1 / (TPS * self.share(self.clock.monotonic())))
                self.asked.append(user)
                reason = self.fails(user)
                if reason:
                    report.failed[user] = reason
                    continue
                self.have.add(user)
                report.fetched += 1
                on_done()
        return report


@dataclass
class Ran:
    status: int
    display: "Watched"
    maker: Maker

    @property
    def words(self) -> list[str]:
        return self.display.lines


class Watched:
    """A display that remembers what people saw."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.mentions: list[str] = []
        self.done: dict[str, int] = {}
        self.expected: dict[str, int | None] = {}
        self._shown = ""

    def say(self, line: str) -> None:
        self.lines.append(line)

    def mention(self, line: Callable[[], str]) -> None:
        self.mentions.append(line())

    @contextmanager
    def track(self, what: str, unit: str, total: int | None = None) -> Iterator["Watched"]:
        del unit
        self._shown = what
        self.done[what], self.expected[what] = 0, total
        yield self

    def advance(self, count: int = 1) -> None:
        self.done[self._shown] += count

    def expect(self, total: int) -> None:
        self.expected[self._shown] = total


def run(path: Path, *, by_seconds: float | None = None, **maker: object) -> Ran:
    async def inside() -> Ran:
        clock = VirtualClock(asyncio.get_running_loop())
        display = Watched()
        doing = Maker(clock, **maker)  # type: ignore[arg-type]  # the fields of Maker
        by = None
        if by_seconds is not None:
            by = dt.datetime.fromtimestamp(clock.time() + by_seconds, dt.UTC)
        prewarm = Prewarm(
            doing,
            UsersFiles(named_files([str(path)], ExitStack())),
            PrewarmTerms(),
            clock=clock,
            by=by,
            display=display,
        )
        return Ran(await prewarm.run(), display, doing)

    return run_virtual(inside())


@pytest.fixture
def users(tmp_path: Path) -> Callable[[int], Path]:
    def written(count: int) -> Path:
        path = tmp_path / "users"
        path.write_text("\n".join(f"u{n}" for n in range(count)), "utf-8")
        return path

    return written


def test_who_has_a_list_is_skipped_and_everybody_else_fetched_once(users: Callable[[int], Path]) -> None:
    ran = run(users(2_500), have={f"u{n}" for n in range(2_000)})
    assert ran.status == 0
    assert ran.words[0] == "2,500 users, 2,000 have a list, 500 to fetch"
    assert ran.words[-1] == "done: 500 lists fetched, 0 missing"
    assert sorted(ran.maker.asked) == sorted(f"u{n}" for n in range(2_000, 2_500))


def test_the_progress_ends_where_everybody_has_a_list(users: Callable[[int], Path]) -> None:
    ran = run(users(500), have={f"u{n}" for n in range(200)})
    assert ran.display.done == {"looking up": 500, "prewarm": 300}
    assert ran.display.expected == {"looking up": None, "prewarm": 300}
    looking, *rounds = ran.display.mentions
    assert looking == "looking up: 500 users"
    # After each round of ten seconds at 8 a second.
    assert rounds[0].startswith("80 of 300, 8 a second, ready at about ")
    assert [one.partition(" ")[0] for one in rounds] == ["80", "160", "240", "300"]


def test_the_progress_expects_no_list_that_others_have_fetched_meanwhile(users: Callable[[int], Path]) -> None:
    ran = run(users(2_500), fetched_by_others={f"u{n}" for n in range(1_500, 2_000)})
    assert ran.status == 0
    assert ran.display.done["prewarm"] == ran.display.expected["prewarm"] == 2_000
    assert ran.words[-1] == "done: 2,000 lists fetched, 0 missing"


def test_nothing_to_fetch_is_done_at_once(users: Callable[[int], Path]) -> None:
    ran = run(users(10), have={f"u{n}" for n in range(10)})
    assert (ran.status, ran.maker.asked) == (0, [])


def test_a_user_named_twice_is_fetched_once_and_a_line_of_no_use_is_in_the_exit_status(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("u1\nu2\nu1\n" + "x" * 300, "utf-8")
    ran = run(path)
    assert ran.status == 3
    assert ran.maker.asked == ["u1", "u2"]


def test_a_file_without_a_user_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("\n \n", "utf-8")
    with pytest.raises(UsersFileError, match="names no user"):
        run(path)


def test_a_transaction_without_a_list_is_tried_three_times(users: Callable[[int], Path]) -> None:
    ran = run(users(5), fails=lambda user: "timeout" if user == "u3" else "")
    assert ran.status == 1
    assert ran.maker.asked.count("u3") == 3
    assert len(ran.maker.asked) == 7
    assert ran.words[-2:] == [
        "done: 4 lists fetched, 1 missing",
        "1 without a list after 3 transactions: timeout",
    ]


def test_it_stops_when_nobody_gets_a_list(users: Callable[[int], Path]) -> None:
    ran = run(users(3_000), fails=lambda _: "error")
    assert ran.status == 1
    assert 100 <= len(ran.maker.asked) < 250
    assert any("transactions in a row brought no list (error)" in one for one in ran.words)
    assert ran.words[-1] == "done: 0 lists fetched, 3,000 missing"


def test_a_store_that_is_gone_is_waited_for(users: Callable[[int], Path]) -> None:
    ran = run(users(200), down=lambda now: 1012 < now < 1060)
    assert ran.status == 0
    assert ran.words.count("waiting: Redis is down") == 1
    assert ran.words.count("going on") == 1
    assert len(ran.maker.asked) == 200


def test_a_store_that_was_never_there_is_not_waited_for(users: Callable[[int], Path]) -> None:
    with pytest.raises(SharedStateUnavailable):
        run(users(1), down=lambda _: True)


def test_it_says_before_the_first_transaction_that_by_cannot_be_met(users: Callable[[int], Path]) -> None:
    ran = run(users(400), by_seconds=30)
    # Eight a second for thirty seconds.
    assert "about 160 lists will be missing then" in ran.words[2]
    assert any(one.startswith("--by has come with ") for one in ran.words)
    assert ran.status == 1
    assert len(ran.maker.asked) == 400


def test_it_says_while_running_that_by_can_no_longer_be_met_and_then_that_it_can(
    users: Callable[[int], Path],
) -> None:
    ran = run(users(400), by_seconds=120, share=lambda now: 0.1 if now < 1040 else 1.0)
    said = [one for one in ran.words if "--by" in one]
    assert [one.startswith("in time") for one in said] == [True, False, True]
    assert "cannot be met" in said[1]
    assert said[2].endswith("again")
    assert ran.status == 0


def test_it_says_when_the_first_lists_will_not_be_fresh_any_more(users: Callable[[int], Path]) -> None:
    assert any("lists are fresh for 900 s" in one for one in run(users(8_000)).words)
    assert not any("lists are fresh" in one for one in run(users(100)).words)


NOW = dt.datetime(2026, 11, 24, 12, 0, tzinfo=dt.timezone(dt.timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("14:30", "2026-11-24T14:30+01:00"),
        ("11:30", "2026-11-25T11:30+01:00"),
        ("14:30:15", "2026-11-24T14:30:15+01:00"),
        ("2026-11-27T14:30", "2026-11-27T14:30+01:00"),
        ("2026-11-24T11:30+00:00", "2026-11-24T12:30+01:00"),
        ("9:30", "2026-11-25T09:30+01:00"),
        ("14:30 UTC", "2026-11-24T15:30+01:00"),
        ("14:30Z", "2026-11-24T15:30+01:00"),
        ("11:30+00:00", "2026-11-24T12:30+01:00"),
        ("10:30-05:00", "2026-11-24T16:30+01:00"),
        ("10:30 America/New_York", "2026-11-24T16:30+01:00"),
        ("08:00 Asia/Tokyo", "2026-11-25T00:00+01:00"),
        ("2027-07-01T14:30 Europe/Berlin", "2027-07-01T14:30+02:00"),
        ("20261127T1430", "2026-11-27T14:30+01:00"),
    ],
)
def test_a_moment_is_written_as_people_do_with_a_zone_or_without(text: str, then: str) -> None:
    """H8: a zone was no moment."""
    assert moment(text, NOW) == dt.datetime.fromisoformat(then)


@pytest.mark.parametrize("text", ["soon", "25:00", "2026-11-23T10:00", "14:30+99:00", "", "14"])
def test_what_is_no_moment_to_come_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a time|is past"):
        moment(text, NOW)


@pytest.mark.parametrize("text", ["14:30 Europe/Atlantis", "14:30 XYZ", "14:30 ../etc/passwd"])
def test_a_zone_that_is_not_known_is_said_to_be(text: str) -> None:
    """H8."""
    with pytest.raises(ValueError, match="no time zone known here|not a time"):
        moment(text, NOW)


def test_every_time_that_is_said_names_its_zone(users: Callable[[int], Path]) -> None:
    """H8: in a container it was UTC without a word."""
    ran = run(users(400), by_seconds=120, share=lambda now: 0.1 if now < 1040 else 1.0)
    times = [one for one in (*ran.words, *ran.display.mentions) if re.search(r"\d\d:\d\d:\d\d", one)]
    assert len(times) > 5
    assert [one for one in times if not re.search(r"\d\d:\d\d:\d\d UTC\b", one)] == []


def test_the_command_repeats_when_the_lists_are_wanted_with_the_zone(tmp_path: Path) -> None:
    """H8."""
    path = tmp_path / "users"
    path.write_text("u1\n")
    options = ["prewarm", "--users", str(path), "--service", "http://127.0.0.1:1"]
    result = CliRunner().invoke(main, [*options, "--by", "14:30 Asia/Tokyo"], env={"ADMIN_KEY": "a-key-of-the-tests"})
    assert re.match(r"the lists are wanted by \d{4}-\d\d-\d\d 14:30:00 JST, in \d+ (h|min|s)", result.stderr)
