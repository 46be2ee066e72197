"""Hits that are answered before the parser returns are what the ordinary way sends, byte for byte.

Two equal replicas are asked the same. One has its short ways. The other's are taken away: it calls the application, and
makes each answer item by item.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import uvicorn
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from service.api import hit_lane
from service.api.connections import Connections, hold_connections
from service.api.delays import Delays
from service.api.hit_lane import HitLane
from service.api.http_protocol import TolerantProtocol
from service.api.known_heads import EMPTIED_SECONDS, MAX_SHAPES, KnownHeads, Shape
from service.main import create_app
from service.models import ItemList, ListRequest
from service.server import SERVER
from service.settings import load_settings
from service.wiring.replica import Overrides
from tests.support.clocks import StandingClock
from tests.support.front_door import AskablePersonalize, running

KEY: Final = "a-key-of-at-least-24-characters"
ADMIN_KEY: Final = "an-admin-key-of-24-characters"
REQUESTS: Final = 500
USERS: Final = 12

PLACEMENTS: Final = """
[placements.for-you]
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
tps = 400
[placements.split]
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/split"
tps = 400
[[placements.split.variants]]
name = "other"
share = 0.5
tps = 400
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/other"
[placements.ruled]
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
tps = 400
exclusion_filter = 'EXCLUDE ItemID WHERE Items.CATEGORY IN ("odd")'
max_per = { category = 8 }
[placements.moved]
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
tps = 400
boost = 'INCLUDE ItemID WHERE Items.STOCK > 40'
bury = 'INCLUDE ItemID WHERE Items.CATEGORY IN ("odd")'
max_per = { category = 4 }
[placements.pinned]
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
tps = 400
pin = [{ item = "item050", slot = 1 }]
[placements.excluding]
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
tps = 400
exclusion_filter = 'EXCLUDE ItemID WHERE Items.STOCK < 20'
[placements.similar]
kind = "similar-items"
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/similar"
tps = 400
[placements.ranking]
kind = "ranking"
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/ranking"
tps = 400
[placements.edit]
kind = "ranking"
campaign_arn = "arn:aws:personalize:us-east-1:000000000000:campaign/ranking"
tps = 400
bury = 'INCLUDE ItemID WHERE Items.CATEGORY IN ("odd")'
max_per = { category = 2 }
pin = [{ item = "item010", slot = 2 }]
"""


class NamingPersonalize(AskablePersonalize):
    """Names a list by who asks, not by how many asked before."""

    async def recommend(self, request: ListRequest, *, timeout_seconds: float) -> ItemList:
        ranked = await super().recommend(request, timeout_seconds=timeout_seconds)
        return replace(ranked, recommendation_id=f"RID-{request.user_id}-{request.item_id}")


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


class CountedProtocol(TolerantProtocol):
    """Counts the packets that the parser has read."""

    ways: Counter[str]

    def _parse(self, data: bytes) -> None:
        self.ways["parsed"] += 1
        super()._parse(data)


@dataclass(slots=True)
class Server:
    """A replica behind the protocol, without a socket."""

    clock: StandingClock
    http: httpx.AsyncClient
    config: uvicorn.Config
    state: ServerState
    connections: Connections
    personalize: NamingPersonalize
    is_short: bool
    ways: Counter[str] = field(default_factory=Counter)
    """How often each way was taken."""

    @classmethod
    def of(
        cls,
        app: HitLane,
        clock: StandingClock,
        http: httpx.AsyncClient,
        personalize: NamingPersonalize,
        *,
        is_short: bool,
    ) -> "Server":
        config = uvicorn.Config(app, **SERVER)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"Wed, 25 Nov 2026 20:00:00 GMT")]
        connections = Connections(monotonic=clock.monotonic)
        connections.on_refused = app.lifecycle.refusals.refuse
        hold_connections(state, connections)
        if not is_short:
            assert app._hits is not None
            app._hits._forms.find = lambda *_: None  # type: ignore[method-assign]  # taken away
            for placement in app.lifecycle.services.placements:
                for arm in placement.arms:
                    arm.assembly.joined = None
        server = cls(clock, http, config, state, connections, personalize, is_short)
        server.count_ways(app)
        return server

    def count_ways(self, app: HitLane) -> None:
        """Count what each part of the lane has found, with its way left as it is."""
        hits = app._hits
        assert hits is not None

        def counted(name: str, way: Callable[..., object]) -> Any:  # noqa: ANN401  # in the place of a method
            def find(*args: object, **kinds: object) -> object:
                found = way(*args, **kinds)
                self.ways[name if found is not None else f"no {name}"] += 1
                return found

            return find

        hits._forms.find = counted("form", hits._forms.find)  # type: ignore[method-assign]  # counted
        hits._joined = counted("joined", hits._joined)  # type: ignore[method-assign]  # as above
        hits._of = counted("made", hits._of)  # type: ignore[method-assign]  # as above
        app._app = counted("application", app._app)

    def connect(self) -> tuple[TolerantProtocol, Transport]:
        protocol, transport = CountedProtocol(self.config, self.state, {}), Transport()
        protocol.ways = self.ways
        if not self.is_short:
            protocol._lane = None
        protocol.connection_made(transport)
        return protocol, transport

    def state_of(self, connection: tuple[TolerantProtocol, Transport]) -> tuple[object, ...]:
        """Whose turn it is, until when, and for how long it has been."""
        protocol, transport = connection
        held = self.connections
        since = held._newcomers.get(protocol), held._answered.get(protocol)
        return transport.closed, protocol._turn, held._until.get(protocol), since, len(held)

    async def answers(self, connection: tuple[TolerantProtocol, Transport], packets: list[bytes]) -> bytes:
        """What comes back for these packets."""
        protocol, transport = connection
        transport.written = b""
        for packet in packets:
            if not transport.closed:
                protocol.data_received(packet)
                self.ways["at once"] += bool(transport.written)
                await _answered(protocol)
        return transport.written


async def _answered(protocol: TolerantProtocol) -> None:
    """Let the loop turn until nothing is under way."""
    await _turned(lambda: not protocol._asking)


async def _turned(is_done: Callable[[], object]) -> None:
    """Let the loop turn until that is so; a poller's pause would cost a minute over all requests."""
    for _ in range(1_000_000):
        if is_done():
            return
        await asyncio.sleep(0)
    raise TimeoutError


def close(connection: tuple[TolerantProtocol, Transport]) -> None:
    protocol, transport = connection
    transport.closed = True
    if protocol.parser is not None:
        protocol.connection_lost(None)


Servers = tuple[Server, Server]


@pytest.fixture
async def servers(catalog_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Servers]:
    """Both replicas; their clocks stand still."""
    file = tmp_path / "placements.toml"
    file.write_text(PLACEMENTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hit_lane, "new_request_id", lambda: b"a" * 32)
    monkeypatch.setattr(Delays, "seconds", lambda _: 0.0)
    values = {
        "CATALOG_URL": f"file://{catalog_file}",
        "PLACEMENTS_FILE": str(file),
        "API_KEYS": KEY,
        "ADMIN_KEYS": ADMIN_KEY,
        "ACCESS_LOG_SAMPLE": "1",
        # What is stale is renewed in the background, at a time that no clock of a test decides.
        "CACHE_FRESH_SECONDS": "86400",
    }
    async with AsyncExitStack() as stack:
        found = []
        for is_short in (True, False):
            for name, value in (values | {"DATA_DIR": str(tmp_path / f"data{is_short}")}).items():
                monkeypatch.setenv(name, value)
            clock = StandingClock()
            personalize = NamingPersonalize(clock)  # type: ignore[arg-type]  # any clock does
            app = create_app(load_settings(), Overrides(clock=clock, recommender=personalize))
            await stack.enter_async_context(running(app))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://recs.test"))
            found.append(Server.of(app, clock, http, personalize, is_short=is_short))
        yield found[0], found[1]


def head(method: str, target: str, headers: dict[str, str], version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


HARMLESS: Final[list[dict[str, str]]] = [
    {"X-Request-Id": "braze-17"},
    {"X-Request-Id": "not one\tof ours"},
    {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    {"X-Forwarded-For": "10.0.0.1", "User-Agent": "Braze Sender", "Accept": "*/*"},
    {"Connection": "keep-alive"},
    {"Authorization": "Bearer wrong"},
]
UNUSUAL: Final[list[tuple[str, str, dict[str, str], bytes]]] = [
    ("GET", "1.0", {}, b""),
    ("GET", "1.0", {"Connection": "keep-alive"}, b""),
    ("GET", "1.1", {"Connection": "close"}, b""),
    ("GET", "1.1", {"Connection": "keep-alive, close"}, b""),
    ("GET", "1.1", {"Connection": "Upgrade", "Upgrade": "h2c"}, b""),
    ("GET", "1.1", {"X-API-Key": "wrong"}, b""),
    ("GET", "1.1", {"X-API-Key": ""}, b""),
    ("GET", "1.1", {"Expect": "100-continue"}, b""),
    ("GET", "1.1", {"Content-Length": "2"}, b"{}"),
    ("GET", "1.1", {"Content-Length": "0"}, b""),
    ("GET", "1.1", {"Transfer-Encoding": "chunked"}, b"0\r\n\r\n"),
    ("GET", "1.1", {"X-Long": "x" * 40_000}, b""),
    ("HEAD", "1.1", {}, b""),
    ("POST", "1.1", {}, b""),
    ("DELETE", "1.1", {}, b""),
]


@dataclass(slots=True)
class Generator:
    """Requests of every kind that a template, a proxy or a stranger may send; most are plain ones."""

    rng: random.Random

    def packets(self) -> list[bytes]:
        rng = self.rng
        method, version, headers, body = "GET", "1.1", {"Host": "recs.test", "X-API-Key": KEY}, b""
        if rng.random() < 0.6:
            headers |= {"X-Amzn-Trace-Id": f"Root=1-{rng.random()}", "User-Agent": rng.choice(["Braze Sender", "curl"])}
        if rng.random() < 0.02:
            headers |= {"User-Agent": rng.choice(["two  blanks", " first", "last ", "a\ttab", "", "ü", "a\x01b"])}
        if rng.random() < 0.2:
            headers |= rng.choice(HARMLESS)
        if rng.random() < 0.03:
            method, version, further, body = rng.choice(UNUSUAL)
            headers |= further
        whole = head(method, self.target(), headers, version) + body
        split = rng.random()
        if split < 0.01:
            at = rng.randrange(1, len(whole))
            return [whole[:at], whole[at:]]
        if split < 0.02:
            return [rng.choice([b"\r\n", b"POST / HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nA: "]) + whole]
        if split < 0.05:
            host = rng.choice(["a", "recs.test"])
            others = [head("GET", self.target(), {"Host": host, "X-API-Key": KEY}) for _ in range(rng.randrange(1, 4))]
            return [whole + b"".join(others)]
        return [whole]

    def target(self) -> str:
        rng = self.rng
        user = f"u{rng.randrange(USERS)}"
        if rng.random() < 0.02:
            user = rng.choice(["", "%20", "u+1", "u%31", "ü", "new.one", "x" * 257, "u@shop", "%ff", "a#b", "a b"])
        name = "user_id" if rng.random() < 0.9 else rng.choice(["userID", "userId", "user%5Fid"])
        path = "/recommendations"
        pairs = [f"{name}={user}"]
        kind = rng.random()
        if kind < 0.1:
            path = "/similar-items"
            pairs.append(f"item_id=item{rng.randrange(5):03}")
        elif kind < 0.2:
            path = "/ranking"
            pairs.append(f"item_ids=item00{rng.randrange(3)},item010,item020{rng.choice(['', ',item021,gone'])}")
            if rng.random() < 0.4:
                pairs.append("placement=edit")
        elif kind < 0.4:
            pairs.append(
                f"placement={rng.choice(['for-you', 'split', 'ruled', 'excluding', 'moved', 'moved', 'pinned'])}"
            )
        if rng.random() < 0.4:
            pairs.append(f"num_results={rng.choice([1, 3, 5, 5, 20, 25, 45])}")
        if rng.random() < 0.03:
            pairs.append(self.unusual())
        if rng.random() < 0.2:
            rng.shuffle(pairs)
        target = path + "?" + "&".join(pairs)
        if rng.random() < 0.01:
            target = rng.choice(
                [path, path + "/", "http://recs.test" + target, target + "#part", "/nope", "*", target + "\t"]
            )
        return target

    def unusual(self) -> str:
        rng = self.rng
        return rng.choice(
            [
                "exclude=item001,item002",
                "fields=category,stock",
                "fields=nope",
                "format=object",
                "num_results=0",
                "num_results=x",
                "placement=nope",
                "placement=similar",
                "send=",
                "rotate=0",
                "attribution=url",
                "attribution=go",
                "filter_values.X=1",
                "context.DEVICE=phone",
                "userId=u1",
                "unknown=1",
                "=",
                "&&",
                "%",
                "exclude=%2",
            ]
        )


async def _change(servers: Servers, rng: random.Random) -> None:
    """Something happens to both replicas that answers depend on."""
    what = rng.randrange(4)
    item, user, seconds = f"item{rng.randrange(60):03}", f"u{rng.randrange(USERS)}", rng.choice([1.0, 10.0, 100.0])
    for one in servers:
        http, headers = one.http, {"X-API-Key": ADMIN_KEY}
        if what == 0:
            answer = await http.put(f"/items/{item}/block", headers=headers)
        elif what == 1:
            answer = await http.delete(f"/items/{item}/block", headers=headers)
        elif what == 2:
            answer = await http.delete(f"/users/{user}", headers=headers)
        else:
            one.clock.now += seconds
            continue
        assert answer.status_code < 300


async def _metrics(server: Server) -> list[str]:
    text = (await server.http.get("/metrics", headers={"X-API-Key": KEY})).text
    varying = re.compile(r"process_|python_|# |catalog_loaded|cache_bytes|[a-z_]+_created")
    lines = [line for line in text.splitlines() if not varying.match(line)]
    # Item by item, an item counts as excluded or as blocked by what was known of it first, and hidden ones count that
    # stand behind the last item shown.
    vague = re.compile(r'recommendations_items_dropped_total.*"(blocked|excluded)"')
    return [line for line in lines if not vague.match(line)]


WAYS: Final[dict[int, dict[str, int]]] = {
    22: {
        "at once": 401,
        "parsed": 419,
        "form": 375,
        "no form": 158,
        "joined": 297,
        "no joined": 77,
        "made": 218,
        "application": 21,
    },
    21: {
        "at once": 406,
        "parsed": 436,
        "form": 359,
        "no form": 170,
        "joined": 291,
        "no joined": 60,
        "made": 218,
        "application": 23,
    },
    20: {
        "at once": 397,
        "parsed": 442,
        "form": 373,
        "no form": 159,
        "joined": 303,
        "no joined": 69,
        "made": 212,
        "application": 24,
    },
}
"""How often each way is taken by the requests of a seed. Nobody but the processor notices a short way that is closed:
who changes the ways or the generator looks whether these are the numbers that were wanted, and writes them down."""


@pytest.mark.long
@pytest.mark.parametrize("seed", WAYS)
async def test_of_thousands_of_generated_requests_each_gets_the_same_bytes_on_both_ways(
    servers: Servers, seed: int
) -> None:
    """I2"""
    generator = Generator(random.Random(seed))
    short, ordinary = servers
    both = [one.connect() for one in servers]
    for number in range(REQUESTS):
        packets = generator.packets()
        lines, answered = [], []
        for server, connection in zip(servers, both, strict=True):
            # A slot or more, whatever is asked.
            server.clock.now += 0.02
            with capture_logs() as logged:
                answered.append(await server.answers(connection, packets))
            # Refusals are logged together, when their minute is over.
            lines.append([line for line in logged if line["event"] == "answered"])
        assert answered[0] == answered[1], packets
        assert lines[0] == lines[1], packets
        states = [one.state_of(connection) for one, connection in zip(servers, both, strict=True)]
        assert states[0] == states[1], packets
        if both[0][1].closed:
            for one in both:
                close(one)
            both = [one.connect() for one in servers]
        if number % 50 == 49:
            await _change(servers, generator.rng)
    for one in both:
        close(one)
    assert await _metrics(short) == await _metrics(ordinary)
    assert short.state.total_requests == ordinary.state.total_requests
    assert short.ways == WAYS[seed]
    assert ordinary.ways["at once"] < 0.1 * REQUESTS


async def test_the_parser_is_asked_for_headers_that_the_connection_has_not_sent_before(servers: Servers) -> None:
    short, _ = servers
    protocol, _ = connection = short.connect()
    sent = {"Host": "recs.test", "X-API-Key": KEY}

    async def status(target: str, headers: dict[str, str]) -> bytes:
        return (await short.answers(connection, [head("GET", target, headers)]))[9:12]

    for user in ("ann", "ben", "ann", "ben"):
        assert await status(f"/recommendations?user_id={user}", sent) == b"200"
    parser = protocol.parser
    protocol.parser = None  # type: ignore[assignment]  # taken away
    assert await status("/recommendations?user_id=ann", sent) == b"200"
    with pytest.raises(AttributeError):
        await status("/recommendations?user_id=ben", sent | {"Host": "other.test"})
    protocol.parser = parser
    assert await status("/recommendations?user_id=ann", {"Host": "recs.test"}) == b"401"
    close(connection)


async def test_a_header_that_counts_for_nothing_may_change_without_the_parser(servers: Servers) -> None:
    short, _ = servers
    protocol, _ = connection = short.connect()
    sent = {"Host": "recs.test", "X-API-Key": KEY}

    async def status(**others: str) -> bytes:
        headers = sent | {name.replace("_", "-"): value for name, value in others.items()}
        return (await short.answers(connection, [head("GET", "/recommendations?user_id=ann", headers)]))[9:12]

    for number in range(4):
        assert await status(Trace=f"Root={number}", User_Agent="Braze") == b"200"
    parser = protocol.parser
    protocol.parser = None  # type: ignore[assignment]  # taken away
    assert await status(Trace="Root=7;Self=8", User_Agent="Braze 2") == b"200"
    for others in (
        {"trace": "1", "User_Agent": "Braze"},
        {"User_Agent": "Braze", "Trace": "1"},
        {"Trace": "1", "User_Agent": "Braze", "Expect": "100-continue"},
        {"Trace": "1", "User_Agent": "a  b"},
        {"Trace": "1", "User_Agent": "a\r\nX-API-Key: other"},
        {"Trace": "1\r\n\r\nGET / HTTP/1.1\r\nTrace: 1", "User_Agent": "a"},
        {"Trace": "1", "User_Agent": "a", "X_API_Key": KEY[::-1]},
    ):
        with pytest.raises(AttributeError):
            await status(**others)
    protocol.parser = parser
    close(connection)


async def test_of_a_connection_whose_headers_are_never_the_same_sixteen_are_looked_at(servers: Servers) -> None:
    short, _ = servers
    protocol, _ = connection = short.connect()
    assert protocol._lane is not None
    heads, looked_at = protocol._lane.heads, list[bytes]()
    shape = heads.shape

    def counted(end: bytes) -> Shape | None:
        looked_at.append(end)
        return shape(end)

    heads.shape = counted  # type: ignore[method-assign]  # counted

    async def ask(name: str, count: int) -> int:
        before = len(looked_at)
        for number in range(count):
            sent = {"Host": "recs.test", "X-API-Key": KEY, name.format(number): f"{number}"}
            assert b"200" in await short.answers(connection, [head("GET", "/recommendations?user_id=ann", sent)])
        return len(looked_at) - before

    # The first call costs a list, and is answered by the ordinary way.
    assert await ask("X-Other-{}", 11) == 10
    # Two of one shape are enough to know it, and then nothing is looked at.
    assert await ask("Trace", 6) == 2
    # Those in vain are counted anew.
    assert await ask("X-More-{}", 40) == 16
    assert await ask("Trace", 3) == 0
    close(connection)


def test_shapes_make_room_for_others_once_a_minute() -> None:
    now = 0.0
    heads = KnownHeads(frozenset({b"x-api-key"}), lambda: now)
    made = [heads.pattern((b"Host", b"A%d" % number)) for number in range(MAX_SHAPES + 2)]
    assert [one is None for one in made] == [False] * MAX_SHAPES + [True] * 2
    now = EMPTIED_SECONDS
    assert heads.pattern((b"Host", b"B")) is not None
    assert heads.shape(b" HTTP/1.1\r\nHost: a\r\nX-API-Key: b\r\n\r\n") == (b"Host", b"X-API-Key: b")
    assert heads.shape(b" HTTP/1.1\r\nHost:a\r\n\r\n") is None
    # The server looks at it for its own sake.
    assert heads.shape(b" HTTP/1.1\r\nExpect: nothing\r\n\r\n") == (b"Expect: nothing",)


async def test_a_connection_that_is_not_quiet_is_answered_in_its_order_and_at_its_pace(servers: Servers) -> None:
    short, _ = servers
    protocol, transport = connection = short.connect()
    ann, new = (
        head("GET", f"/recommendations?user_id={user}", {"Host": "recs.test", "X-API-Key": KEY})
        for user in ("ann", "new")
    )
    await short.answers(connection, [ann, ann, ann])

    transport.written = b""
    protocol.data_received(new)
    protocol.data_received(ann)
    await _answered(protocol)
    assert re.findall(rb"source: ([a-z]+)", transport.written) == [b"personalize", b"cache"]

    transport.written = b""
    protocol.pause_writing()
    protocol.data_received(ann)
    assert transport.written == b""
    protocol.resume_writing()
    await _answered(protocol)
    assert transport.written.startswith(b"HTTP/1.1 200")

    short.connections.stop()
    assert b"\r\nconnection: close\r\n" in await short.answers(connection, [ann])
    close(connection)


async def test_a_client_that_leaves_gives_up_its_call_and_the_list_that_it_cost_is_kept(servers: Servers) -> None:
    short, _ = servers
    short.personalize.held = asyncio.Event()
    protocol, transport = short.connect()
    asked = head("GET", "/recommendations?user_id=new", {"Host": "recs.test", "X-API-Key": KEY})
    with capture_logs() as logged:
        protocol.data_received(asked)
        await _turned(lambda: short.personalize.asked)
        transport.closed = True
        protocol.connection_lost(None)
        await _turned(lambda: not short.state.tasks)
    assert transport.written == b""
    assert [line["status"] for line in logged if line["event"] == "answered"] == [499]

    short.personalize.held.set()
    connection = short.connect()
    assert b"source: cache" in await short.answers(connection, [asked, asked])
    assert len(short.personalize.asked) == 1
    close(connection)
