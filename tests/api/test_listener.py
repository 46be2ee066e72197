"""How many clients are accepted when, and what happens when there is no room or no file; in virtual time."""

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from service.api import listener as listener_module
from service.api.connections import Connections
from service.api.listener import MAX_ACCEPTED, Listener
from tests.support.virtual_time import VirtualClock, run_virtual


class Protocol(asyncio.Protocol):
    """A connection that is the client's turn from the start, and is asked nothing."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.scene.open.append(self)
        self.scene.connections.opened(self)
        if self.scene.busy:
            self.scene.connections.busy(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.scene.connections.closed(self)

    def cut(self) -> None:
        self.transport.abort()

    def dismiss(self) -> None:
        self.transport.close()

    def has_unread(self) -> bool:
        return False

    def has_unsent(self) -> bool:
        return False


class Listening:
    """A listening socket whose next accepts may fail."""

    def __init__(self) -> None:
        self.real = socket.create_server(("127.0.0.1", 0))
        self.failures: list[OSError] = []
        self.accepts = 0
        self.backlogs: list[int] = []

    def fileno(self) -> int:
        return self.real.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  # the library's own signature
        self.real.setblocking(flag)

    def listen(self, backlog: int) -> None:
        self.backlogs.append(backlog)
        self.real.listen(backlog)

    def accept(self) -> tuple[socket.socket, object]:
        self.accepts += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.real.accept()

    def close(self) -> None:
        # The loop looks no longer whether anybody has come.
        assert not asyncio.get_running_loop().remove_reader(self.real)
        self.real.close()


class Sweeping(Connections):
    """Counts the looks at whose patience has run out, and whether there is room."""

    sweeps = looks = 0

    def has_room(self) -> bool:
        self.looks += 1
        return super().has_room()

    def sweep(self) -> None:
        self.sweeps += 1
        super().sweep()


class Scene:
    def __init__(self, max_open: int) -> None:
        self.connections = Sweeping(max_open, VirtualClock(asyncio.get_running_loop()).monotonic)
        self.open: list[Protocol] = []
        self.busy = False
        self.broken = False
        self.listening = Listening()
        self.clients: list[socket.socket] = []
        self.listener = Listener(self.listening, self.connections, self.protocol)  # type: ignore[arg-type]  # as one
        self.faults: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.faults.append(context))

    def protocol(self) -> asyncio.Protocol:
        if self.broken:
            raise ValueError("a fault of ours")
        return Protocol(self)

    def connect(self, count: int = 1) -> list[socket.socket]:
        found = [socket.create_connection(self.listening.real.getsockname(), timeout=5) for _ in range(count)]
        self.clients += found
        return found

    async def turn(self, count: int = 1) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def end(self) -> None:
        self.listener.close()
        self.listener.close()
        await self.listener.wait_closed()
        assert not self.listener._opening
        sweeps = self.connections.sweeps
        for one in self.open:
            one.cut()
        for client in self.clients:
            client.close()
        await asyncio.sleep(5)
        # Nothing goes on behind the end.
        assert self.connections.sweeps == sweeps
        assert len(self.connections) == self.connections._expected == 0


def play(scenario: Callable[[Scene], Awaitable[None]], *, max_open: int = 200) -> Scene:
    async def run() -> Scene:
        scene = Scene(max_open)
        try:
            scene.listener.start()
            await scenario(scene)
        finally:
            await scene.end()
        return scene

    return run_virtual(run())


def test_a_burst_is_accepted_in_steps_between_which_everything_else_has_its_turn() -> None:
    """F1"""

    async def scenario(scene: Scene) -> None:
        scene.connect(2 * MAX_ACCEPTED + 5)
        accepted = []
        for _ in range(4):
            await scene.turn()
            accepted.append(scene.listening.accepts)
        # The last step meets the end of the queue.
        steps = sorted(set(accepted))
        assert steps[-1] <= 2 * MAX_ACCEPTED + 6
        assert all(later - earlier <= MAX_ACCEPTED for earlier, later in pairwise(steps))
        await scene.turn(4)
        assert len(scene.open) == 2 * MAX_ACCEPTED + 5
        assert scene.listening.backlogs == [4_096]
        # A connection that was refused or has been reset meanwhile is no reason to stop.
        scene.listening.failures = [ConnectionAbortedError(), ConnectionAbortedError()]
        scene.connect(2)
        await scene.turn(4)
        assert len(scene.open) == 2 * MAX_ACCEPTED + 7

    scene = play(scenario)
    assert scene.faults == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells that a client has left")
def test_those_who_have_left_are_dropped_a_bounded_number_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """I2"""
    monkeypatch.setattr(listener_module, "MAX_LEFT", 3)

    async def scenario(scene: Scene) -> None:
        for one in scene.connect(7):
            one.close()
        await scene.turn(2)
        assert scene.listening.accepts in (3, 6)
        await scene.turn(6)
        assert scene.open == []
        scene.connect()
        await scene.turn(4)
        assert len(scene.open) == 1

    play(scenario)


def test_without_room_it_waits_for_one_to_close_or_for_a_moment() -> None:
    """F1"""

    async def scenario(scene: Scene) -> None:
        scene.busy = True
        scene.connect(4)
        await scene.turn(4)
        assert len(scene.open) == 2
        looks = scene.connections.looks
        # Nobody looks before something has changed, or a twentieth of a second has passed.
        await scene.turn(10)
        await asyncio.sleep(0.04)
        assert scene.connections.looks == looks
        assert scene.connections.on_room is not None
        scene.open[0].cut()
        await scene.turn(6)
        assert len(scene.open) == 3
        # One that is the client's turn makes room as it grows older, which nobody says.
        scene.connections.turn(scene.open[1], "ask")
        await asyncio.sleep(0.06)
        assert len(scene.open) == 4
        assert scene.connections.cut["room"] == 1

    play(scenario, max_open=2)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_a_file_the_longest_idle_is_closed_and_the_others_wait_for_a_moment(number: int) -> None:
    """F1"""

    async def scenario(scene: Scene) -> None:
        scene.connect(2)
        await scene.turn(4)
        await asyncio.sleep(2)
        scene.listening.failures = [OSError(number, "no file")]
        scene.connect()
        await scene.turn(2)
        assert scene.connections.cut["files"] == 1
        await asyncio.sleep(0.06)
        assert len(scene.open) == 3

    assert play(scenario).faults == []


def test_without_a_file_and_with_nobody_to_close_it_looks_again_after_a_moment() -> None:
    """F1"""

    async def scenario(scene: Scene) -> None:
        scene.listening.failures = [OSError(errno.EMFILE, "no file") for _ in range(3)]
        scene.connect()
        accepts = []
        for _ in range(3):
            await scene.turn(10)
            accepts.append(scene.listening.accepts)
            await asyncio.sleep(0.06)
        assert accepts == [1, 2, 3]
        await scene.turn(4)
        assert len(scene.open) == 1

    play(scenario)


def test_who_has_connected_before_the_end_is_waited_for_also_where_one_cannot_be_opened() -> None:
    async def scenario(scene: Scene) -> None:
        scene.connect(2)
        scene.listener.close()
        await scene.listener.wait_closed()
        assert len(scene.open) == 2

    play(scenario)

    async def broken(scene: Scene) -> None:
        scene.broken = True
        scene.connect()
        scene.listener.close()
        await scene.listener.wait_closed()
        assert scene.open == []

    play(broken)


def test_an_error_of_another_kind_is_a_fault_that_is_seen() -> None:
    async def scenario(scene: Scene) -> None:
        scene.listening.failures = [OSError(errno.EINVAL, "odd")]
        scene.connect()
        await scene.turn(4)
        scene.broken = True
        scene.connect()
        await scene.turn(6)
        # What could not be opened is not expected any longer.
        assert scene.connections._expected == 0
        scene.broken = False
        scene.connect()
        await scene.turn(6)
        assert len(scene.open) == 2

    scene = play(scenario)
    assert [type(one["exception"]) for one in scene.faults] == [OSError]


def test_patience_is_looked_at_every_second_until_the_last_has_been_handed_over() -> None:
    async def scenario(scene: Scene) -> None:
        await asyncio.sleep(3.5)
        assert scene.connections.sweeps == 4
        # Who has connected before the end is accepted at the end.
        scene.connect(3)
        scene.listener.close()
        assert scene.listening.accepts == 4
        await asyncio.sleep(1)
        assert scene.connections.sweeps == 5
        await scene.listener.wait_closed()
        assert len(scene.open) == 3

    play(scenario)
