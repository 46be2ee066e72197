"""Who makes room for a new connection, and whose patience runs out when; without a socket, by a clock that stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from service.api.connections import MAX_CONNECTIONS, MAX_SPARED, Connections, Turn, connections_of, hold_connections
from tests.support.clocks import StandingClock

MAX_OPEN = 4
PATIENCE: dict[Turn, float] = {"ask": 75.0, "send": 10.0, "take": 20.0, "leave": 20.0, "read_refusal": 3.0}
"""What docs/operate/metrics.md and docs/performance.md promise."""

LAST = 2.0
ON_THE_WAY = 1.0


@dataclass(eq=False)
class Client:
    name: str = ""
    unread: bool = False
    unsent: bool = False
    ends: list[str] = field(default_factory=list)

    def cut(self) -> None:
        self.ends.append("cut")

    def dismiss(self) -> None:
        self.ends.append("dismissed")

    def has_unread(self) -> bool:
        return self.unread

    def has_unsent(self) -> bool:
        return self.unsent


class Scene:
    """Connections of clients with names."""

    def __init__(self, max_open: int = MAX_OPEN) -> None:
        self.clock = StandingClock(1_000.0)
        self.all = Connections(max_open, self.clock.monotonic)
        self.rooms = 0
        self.all.on_room = self.room

    def room(self) -> None:
        self.rooms += 1

    def connect(self, name: str = "", *, unread: bool = False, unsent: bool = False) -> Client:
        client = Client(name, unread, unsent)
        self.all.expect()
        self.all.opened(client)
        return client

    def answer(self, *clients: Client) -> None:
        for one in clients:
            self.all.busy(one)
            self.all.turn(one, "ask")

    def pass_seconds(self, seconds: float) -> None:
        self.clock.now += seconds

    @contextmanager
    def makes_room(self, *clients: Client) -> Iterator[None]:
        """Within, one of these clients makes room for another one."""
        before = self.all.cut["room"]
        yield
        assert self.all.cut["room"] == before + 1
        assert [one.ends for one in clients] == [["cut"]] * len(clients)


@pytest.mark.parametrize(
    ("turn", "end", "cause"),
    [
        ("ask", "dismissed", None),
        ("send", "cut", "late"),
        ("take", "cut", "untaken"),
        ("leave", "cut", "untaken"),
        ("read_refusal", "cut", None),
    ],
)
@pytest.mark.parametrize("when", ["running", "stops meanwhile", "stopping"])
def test_each_turn_lasts_so_long_and_ends_so(turn: Turn, end: str, cause: str | None, when: str) -> None:
    """I2"""
    scene = Scene()
    if when == "stopping":
        scene.all.stop()
    client = scene.connect()
    scene.all.turn(client, turn)
    seconds = PATIENCE[turn] if when == "running" else LAST
    if when == "stops meanwhile":
        scene.all.stop()
    scene.pass_seconds(seconds - 0.001)
    scene.all.sweep()
    assert client.ends == []
    scene.pass_seconds(0.001)
    scene.all.sweep()
    assert client.ends == [end]
    assert {cause: count for cause, count in scene.all.cut.items() if count} == ({cause: 1} if cause else {})
    if turn != "ask":
        # It is not asked a second time, and makes no room.
        scene.pass_seconds(100.0)
        scene.all.sweep()
        assert client.ends == [end]
        assert scene.all.idle == 0


def test_a_server_that_stops_gives_nobody_more_time_than_was_left() -> None:
    """J5"""
    scene = Scene()
    client, answered = scene.connect(), scene.connect()
    scene.all.answered(answered)
    scene.pass_seconds(PATIENCE["ask"] - 1.0)
    scene.all.stop()
    late = scene.connect()
    scene.all.answered(late)
    scene.pass_seconds(1.0)
    scene.all.sweep()
    assert [client.ends, answered.ends, late.ends] == [["dismissed"], ["dismissed"], []]
    scene.pass_seconds(LAST - 1.0)
    scene.all.sweep()
    assert late.ends == ["dismissed"]


def test_an_answer_in_the_same_moment_is_a_busy_time_and_a_new_turn() -> None:
    """As `busy` and `turn` one after the other."""
    ends = []
    for at_once in (True, False):
        scene = Scene()
        clients = [scene.connect(str(number)) for number in range(MAX_OPEN)]
        for one in (*clients, clients[0]):
            scene.pass_seconds(2.0)
            scene.rooms = 0
            if at_once:
                scene.all.answered(one)
            else:
                scene.answer(one)
            assert scene.rooms == 1
        assert scene.all.idle == MAX_OPEN
        scene.connect()
        scene.pass_seconds(PATIENCE["ask"] - 2.0)
        scene.all.sweep()
        ends.append([one.ends for one in clients])
    # The one that asked twice has its time from the second answer.
    assert ends == [[[], ["cut"], ["dismissed"], ["dismissed"]]] * 2


def test_one_that_is_gone_has_no_turn_and_tells_of_room() -> None:
    scene = Scene()
    client = scene.connect()
    scene.all.closed(client)
    assert scene.rooms == 1
    scene.all.turn(client, "ask")
    scene.all.answered(client)
    assert (len(scene.all), scene.all.idle, scene.rooms) == (0, 0, 1)
    scene.pass_seconds(PATIENCE["ask"])
    scene.all.sweep()
    assert client.ends == []


def test_room_is_reported_once_for_each_answer() -> None:
    scene = Scene()
    client = scene.connect()
    scene.all.turn(client, "send")
    assert scene.rooms == 0
    scene.answer(client)
    scene.all.turn(client, "take")
    assert scene.rooms == 1
    scene.all.on_room = None
    scene.answer(client)


def test_there_is_room_up_to_the_last_and_who_is_expected_counts() -> None:
    scene = Scene()
    for number in range(MAX_OPEN):
        assert scene.all.has_room(), number
        scene.all.expect()
    assert not scene.all.has_room()
    scene.all.failed()
    assert scene.all.has_room()
    clients = [Client() for _ in range(MAX_OPEN)]
    for one in clients:
        # One more than was expected: a server of a test opens without a word before.
        scene.all.opened(one)
    assert not scene.all.has_room()
    for one in clients[:2]:
        scene.all.closed(one)
    for _ in range(2):
        assert scene.all.has_room()
        scene.all.expect()
    assert not scene.all.has_room()
    # Who has come counts no longer as expected, and neither does who has gone before.
    scene.all.opened(clients[0])
    assert not scene.all.has_room()
    scene.all.failed()
    assert scene.all.has_room()
    scene.all.expect()
    assert not scene.all.has_room()
    assert not any(scene.all.cut.values())


def test_the_turn_that_has_lasted_longest_makes_room_and_newcomers_only_after_a_second() -> None:
    """I2"""
    scene = Scene()
    old, older, new, asking = (scene.connect(name) for name in ("old", "older", "new", "asking"))
    assert not scene.all.has_room()
    scene.all.busy(asking)
    scene.answer(older)
    scene.pass_seconds(0.1)
    scene.answer(old)
    # A turn that goes on in another way keeps its place.
    scene.all.turn(older, "send")
    with scene.makes_room(older):
        assert scene.all.has_room()
        scene.connect()
    with scene.makes_room(old):
        scene.connect()
    scene.pass_seconds(ON_THE_WAY - 0.1 - 0.001)
    assert not scene.all.has_room()
    scene.pass_seconds(0.001)
    with scene.makes_room(new):
        scene.connect()
    # The two that came meanwhile are a tenth of a second younger, and one waits for its answer.
    assert not asking.ends
    assert scene.all.idle == MAX_OPEN - 1


def test_a_newcomer_goes_before_one_that_was_answered_later_and_after_one_that_was_answered_before() -> None:
    """I2"""
    scene = Scene()
    answered = scene.connect()
    scene.answer(answered)
    scene.pass_seconds(0.5)
    newcomer, late = scene.connect(), scene.connect()
    scene.pass_seconds(0.5)
    scene.answer(late)
    scene.pass_seconds(ON_THE_WAY)
    scene.connect()
    for one in (answered, newcomer, late):
        with scene.makes_room(one):
            scene.connect()


def test_who_has_sent_something_is_spared_and_who_waits_for_an_answer_on_its_way_for_a_second() -> None:
    """I2"""
    scene = Scene()
    asks, takes, idle, other = (scene.connect(name) for name in ("asks", "takes", "idle", "other"))
    scene.answer(asks, takes, idle, other)
    asks.unread, takes.unsent = True, True
    for one in (idle, other):
        with scene.makes_room(one):
            scene.all.busy(scene.connect())
    assert not scene.all.has_room()
    scene.pass_seconds(ON_THE_WAY)
    with scene.makes_room(takes):
        scene.connect()
    assert not asks.ends


def test_one_search_passes_over_so_many_and_the_next_goes_on_behind_them() -> None:
    scene = Scene(MAX_SPARED + 1)
    clients = [scene.connect(unread=True) for _ in range(MAX_SPARED)]
    last = scene.connect()
    scene.pass_seconds(0.5)
    scene.answer(*clients, last)
    assert not scene.all.has_room()
    with scene.makes_room(last):
        assert scene.all.has_room()
        scene.connect()
    assert not any(one.ends for one in clients)


def test_a_newcomer_that_has_sent_something_is_spared_as_a_newcomer() -> None:
    scene = Scene(3)
    first, second = scene.connect(unread=True), scene.connect()
    scene.pass_seconds(0.5)
    answered = scene.connect()
    scene.answer(answered)
    scene.pass_seconds(ON_THE_WAY)
    with scene.makes_room(second):
        scene.connect()
    # It counts from the moment in which it was spared, as one that has come then.
    with scene.makes_room(answered):
        scene.connect()
    scene.pass_seconds(ON_THE_WAY)
    first.unread = False
    with scene.makes_room(first):
        scene.connect()


def test_a_file_is_made_by_cutting_and_one_that_is_being_closed_is_waited_for() -> None:
    """F1"""
    scene = Scene()
    client, other = scene.connect(), scene.connect()
    with capture_logs() as logs:
        assert not scene.all.make_file()
        scene.answer(client, other)
        assert scene.all.make_file()
        assert scene.all.make_file()
    assert [client.ends, other.ends, scene.all.cut["files"]] == [["cut"], [], 1]
    assert [(line["event"], line["open"], line["waiting"]) for line in logs] == [("open_files_used_up", 2, True)]
    scene.all.closed(client)
    scene.pass_seconds(60.0)
    with capture_logs() as logs:
        assert scene.all.make_file()
    assert other.ends == ["cut"]
    assert [(line["event"], line["open"], line["waiting"]) for line in logs] == [("open_files_used_up", 0, False)]


def test_that_as_many_are_open_as_may_be_is_said_once_a_minute() -> None:
    """F1"""
    scene = Scene(2)
    with capture_logs() as logs:
        for seconds in (0.0, 1.0, 58.9, 0.1, 60.0):
            scene.pass_seconds(seconds)
            scene.connect()
    said = [(line["event"], line["open"], line.get("waiting"), line.get("cut")) for line in logs]
    # The first two found room, and the fourth was not said.
    assert said == [
        ("connections_full", 2, False, 0),
        ("connections_full", 2, False, 2),
    ]
    assert logs[0]["max_open"] == 2


def test_every_protocol_of_a_server_finds_the_same_connections() -> None:
    first, second = ServerState(), ServerState()
    assert connections_of(first) is connections_of(first)
    assert connections_of(second) is not connections_of(first)
    assert connections_of(first).max_open == MAX_CONNECTIONS
    mine = Connections()
    hold_connections(first, mine)
    assert connections_of(first) is mine


def test_what_is_refused_without_a_look_is_reported_if_anybody_asks() -> None:
    scene = Scene()
    scene.all.refused("/a", 431, "too long")
    reported: list[tuple[str, int, str, str]] = []
    scene.all.on_refused = lambda *said: reported.append(said)
    scene.all.refused("/a", 431, "too long")
    assert reported == [("/a", 431, "", "too long")]
