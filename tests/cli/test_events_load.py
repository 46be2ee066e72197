"""`events load`: files of any of the shapes become known events, each once, however often the command is run."""

import asyncio
import gzip
import io
import math
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import fastavro
import orjson
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.clock import SystemClock
from service.events.adapters.sqlite import SqliteEventStore
from service.events.braze import BrazeTerms
from service.events.event import Event
from service.events.intake import Intake
from service.events.known import KnownEvents
from service.events.load import EventLoad, LoadTerms
from service.events.ports import KnownEvent
from service.events.reading import EventFiles
from service.files.adapters.find import find
from service.lists.keys import UserKeys, UserPrefix
from service.settings import Settings, load_settings
from service.wiring.names import user_keys
from tests.support.amazon import Amazon

NOW = int(time.time())
SETTINGS = {
    "PERSONALIZE_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/shop",
    "CATALOG_URL": "file:///nowhere.csv",
    "EVENT_KEYS": "events-key-of-24-characters",
    "ALLOW_ANONYMOUS": "true",
    "PERSONALIZE_TRACKING_ID": "tracker",
    "EVENT_TYPES": "users.behaviors.Purchase=Purchase,ecommerce.order_placed=Purchase,ecommerce.cart_updated=Cart",
}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory, and an environment that has only these settings."""
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["events", "load", *arguments])


def in_the_store(user: str) -> tuple[list[tuple[str, str]], int]:
    """What is known of a user, and how many events wait to be sent on."""

    async def look() -> tuple[list[KnownEvent], int]:
        settings = load_settings()
        store = SqliteEventStore(settings.data_dir, clock=SystemClock(), sends_on=True)
        try:
            return await store.known(user_keys(settings).prefix(user)), (await store.backlog()).waiting
        finally:
            await store.close()

    known, waiting = asyncio.run(look())
    return [(one.event_type, one.item_id) for one in known], waiting


def json_lines(*objects: object) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in objects)


def ours(item: str, **more: object) -> dict[str, Any]:
    return {"userId": "ann", "eventList": [{"eventType": "View", "itemId": item, **more}]}


def purchase(item: str, event_id: str = "p1") -> dict[str, Any]:
    return {
        "event_type": "users.behaviors.Purchase",
        "id": event_id,
        "time": NOW - 60,
        "user": {"external_user_id": "ann"},
        "properties": {"product_id": item, "price": 9.5},
    }


FLAT = [
    {"name": name, "type": kind}
    for name, kind in {
        "id": "string",
        "user_id": "string",
        "external_user_id": ["null", "string"],
        "device_id": ["null", "string"],
        "time": "int",
        "product_id": ["null", "string"],
        "price": ["null", "float"],
        "name": ["null", "string"],
        "properties": "string",
    }.items()
]


def avro(name: str, *records: dict[str, Any], codec: str = "deflate") -> bytes:
    """A file as Currents writes it: flat records, custom properties as JSON text."""
    schema = {"type": "record", "name": name, "namespace": "dataexport.S3.inner.users.behaviors", "fields": FLAT}
    stream = io.BytesIO()
    usual = {"user_id": "braze-id", "external_user_id": "ann", "time": NOW - 60, "properties": "{}"}
    fastavro.writer(stream, schema, [{**usual, **record} for record in records], codec=codec)
    return stream.getvalue()


def zipped(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("inner.dat", content)
    return stream.getvalue()


TABLE = (
    "\ufeffUSER_ID;ITEM_ID;TIMESTAMP;EVENT_TYPE;EVENT_VALUE;NUM_RATINGS;IMPRESSION\n"
    f"ann;i1;{NOW - 100};View;;;\n"
    f"ann;i2;{NOW - 50};Purchase;12.5;3;i1|i2\n"
)

SHAPES: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "our own bodies": (json_lines(ours("i1"), ours("i2")), [("View", "i1"), ("View", "i2")]),
    "lists of our own bodies": (json_lines([ours("i1"), ours("i2")]), [("View", "i1"), ("View", "i2")]),
    "single events": (json_lines({"userId": "ann", "eventType": "View", "itemId": "i1"}), [("View", "i1")]),
    "Currents' batches": (
        json_lines({"events": [purchase("i1"), purchase("i2", "p2")]}),
        [("Purchase", "i1"), ("Purchase", "i2")],
    ),
    "Currents' events by line": (json_lines(purchase("i1")), [("Purchase", "i1")]),
    "a document that people wrote": (orjson.dumps(purchase("i1"), option=orjson.OPT_INDENT_2), [("Purchase", "i1")]),
    "Currents' Avro": (avro("Purchase", {"id": "a1", "product_id": "i1", "price": 2.5}), [("Purchase", "i1")]),
    "Currents' Avro, plain": (avro("Purchase", {"id": "a1", "product_id": "i1"}, codec="null"), [("Purchase", "i1")]),
    "Avro of a custom event": (
        avro(
            "CustomEvent",
            {
                "id": "a2",
                "name": "ecommerce.order_placed",
                "properties": '{"products":[{"product_id":"i1"},{"product_id":"i2"}]}',
            },
        ),
        [("Purchase", "i1"), ("Purchase", "i2")],
    ),
    "a table": (TABLE.encode(), [("View", "i1"), ("Purchase", "i2")]),
    "a table of UTF-16": (TABLE.replace(";", "\t").encode("utf-16"), [("View", "i1"), ("Purchase", "i2")]),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zipped], ids=["plain", "gzip", "zip"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_content_says_what_a_file_is(shape: str, pack: Any) -> None:  # noqa: ANN401  # three functions
    content, known = SHAPES[shape]
    # A name that says nothing.
    Path("file.dat").write_bytes(pack(content))
    result = load("file.dat")
    assert result.exit_code == 0, result.output
    assert sorted(in_the_store("ann")[0]) == sorted(known)


def test_a_second_run_accepts_nothing_twice_and_reads_only_what_is_new() -> None:
    Path("in").mkdir()
    Path("in/a.jsonl").write_bytes(json_lines(ours("i1"), purchase("i2")))
    assert "2 accepted" in load("in").output
    Path("in/b.csv").write_text(TABLE, "utf-8")
    second = load("in")
    assert second.output.startswith("1 files read")
    assert all(said in second.output for said in ("1 were read before", "2 accepted"))
    # Also when all is read once more, and when one row more came to a file that was read.
    third = load("in", "--again")
    assert third.exit_code == 0
    assert all(said in third.output for said in ("0 accepted", "4 duplicate"))
    with Path("in/a.jsonl").open("ab") as file:
        file.write(json_lines(ours("i9", sentAt=NOW)))
    fourth = load("in")
    assert "1 accepted" in fourth.output
    assert in_the_store("ann")[1] == 5


def test_a_summary_says_what_became_of_each_and_the_exit_status_that_some_were_no_events() -> None:
    Path("a.jsonl").write_bytes(
        json_lines(
            ours("i1", eventId="1"),
            ours("i1", eventId="1"),
            {"event_type": "users.behaviors.app.SessionStart", "id": "x", "user": {"external_user_id": "ann"}},
            ours("x" * 257),
        )
        + b'{"userId": \n'
    )
    result = load("a.jsonl")
    assert result.exit_code == 3
    for line in ("1 accepted", "1 duplicate", "1 ignored", "2 rejected"):
        assert line in result.output
    assert f"{Path('a.jsonl').resolve()}, line 4: itemId: at most 256 characters, not 257" in result.output
    assert "line 5: is not JSON" in result.output


def test_old_events_are_known_and_not_sent_on() -> None:
    rows = [f"ann,old{day},{NOW - day * 86_400},View" for day in (1, 10, 20, 400)]
    Path("a.csv").write_text("\n".join(["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE", *rows]), "utf-8")
    result = load("a.csv")
    assert "4 accepted; 2 of them are too old to be sent on to Personalize" in result.output
    known, waiting = in_the_store("ann")
    assert (len(known), waiting) == (4, 2)
    Path("b.csv").write_text(f"USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE\nbob,i,{NOW - 100 * 86_400},View\n", "utf-8")
    assert "too old" not in load("b.csv", "--send-newer-than", "120d").output
    assert in_the_store("bob")[1] == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"USER_ID,ITEM_ID,EVENT_TYPE\nann,i1,View\n", "has no column TIMESTAMP"),
        (b"USER_ID,ITEM_ID,TIMESTAMP\nann,i1,1700000000\n", "--event-type"),
        (b"PAR1" + b"\0" * 20, "is Parquet"),
        (avro("Purchase", {"id": "a"})[:-20], "damaged or cut short"),
        (gzip.compress(TABLE.encode())[:-12], "damaged or cut short"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(content: bytes, said: str) -> None:
    Path("a.dat").write_bytes(content)
    result = load("a.dat")
    assert (result.exit_code, said in result.output) == (2, True), result.output
    assert "Traceback" not in result.output


def test_a_table_without_event_types_takes_one_for_all() -> None:
    Path("a.csv").write_text(f"USER_ID,ITEM_ID,TIMESTAMP\nann,i1,{NOW}\n,i2,{NOW}\nann,i3,yesterday\n", "utf-8")
    result = load("a.csv", "--event-type", "Watch")
    assert (result.exit_code, in_the_store("ann")[0]) == (3, [("Watch", "i1")])
    assert "line 3: USER_ID: is missing" in result.output


def test_nothing_there_is_one_line() -> None:
    result = load("nowhere.jsonl")
    assert (result.exit_code, result.output) == (2, "nowhere.jsonl: no file there\n")


@pytest.fixture
def bucket(amazon: Amazon) -> Iterator[Any]:
    client = amazon.client("s3")
    client.create_bucket(Bucket="currents")
    yield client
    client.close()


def test_currents_files_in_s3_are_read_below_a_prefix(bucket: Any) -> None:  # noqa: ANN401  # boto3's class
    day = "dataexport.prod/event_type=users.behaviors.Purchase/date=2026-11-25-10/460/prod"
    for part in range(3):
        record = {"id": f"s{part}", "product_id": f"i{part}"}
        bucket.put_object(Bucket="currents", Key=f"{day}/part+{part}.avro", Body=avro("Purchase", record))
    bucket.put_object(Bucket="currents", Key=f"{day}/x.csv.gz", Body=gzip.compress(TABLE.encode()))
    bucket.put_object(Bucket="currents", Key=f"{day}/_SUCCESS", Body=b"")
    result = load("s3://currents/dataexport.prod/event_type=users.behaviors")
    assert result.exit_code == 0, result.output
    assert "5 accepted" in result.output
    assert len(in_the_store("ann")[0]) == 4  # i2 was bought in two files
    assert "0 accepted" in load("s3://currents/dataexport.prod/").output


class _Killed(Exception):
    """The process ends here."""


class _Mortal:
    """A store whose process dies before or after so many commits."""

    def __init__(self, store: SqliteEventStore, steps: float) -> None:
        self._store = store
        self._steps = steps
        self.accepted = 0

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise _Killed

    async def accept(self, events: Sequence[tuple[UserPrefix, Event]]) -> list[bool]:
        self._step()
        new = await self._store.accept(events)
        self.accepted += sum(new)
        self._step()
        return new

    async def noted(self, url: str) -> bytes | None:
        return await self._store.noted(url)

    async def note(self, url: str, note: bytes) -> None:
        self._step()
        await self._store.note(url, note)


class _Uncounted:
    def events(self, result: str, count: int) -> None:
        """Nothing is counted."""


async def test_a_load_that_was_killed_anywhere_goes_on_and_takes_each_event_once(folder: Path) -> None:
    Path("a.jsonl").write_bytes(json_lines(*(ours(f"i{number}") for number in range(1_300))))
    files, _ = find(["a.jsonl"], error=RuntimeError)
    keys = UserKeys(secret="s", scope="s")
    store = SqliteEventStore(folder, clock=SystemClock(), sends_on=True)
    accepted = 0
    for steps in (0, 1, 2, 3, 4, math.inf, math.inf):
        mortal: Any = _Mortal(store, steps)
        load_once = EventLoad(
            EventFiles(BrazeTerms({}), event_type="", now=time.time()),
            intake=Intake(mortal, known=KnownEvents(mortal, keys=keys, clock=SystemClock()), recorder=_Uncounted()),
            notes=mortal,
            clock=SystemClock(),
            terms=LoadTerms(),
        )
        with suppress(_Killed):
            await load_once.run(files)
        accepted += mortal.accepted
    waiting = (await store.backlog()).waiting
    await store.close()
    assert (accepted, waiting, load_once.report.files_before) == (1_300, 1_300, 1)
