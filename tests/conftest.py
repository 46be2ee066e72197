"""What any test may ask for, and what sets the fast tests apart: a test that starts a process says so."""

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING, Final

import pytest
import structlog

from service.aws.session import AwsSession
from service.clock import SystemClock
from tests.support import calls, processes
from tests.support.examples import register_profiles
from tests.support.order import waiting_first
from tests.support.quick_sdk import certificates_read_once, working_out_once
from tests.support.quick_settings import fields_known
from tests.support.redis import RedisServer
from tests.support.waiting import PATIENCE_SECONDS, PATIENT_DEADLINE_SECONDS

if TYPE_CHECKING:
    from tests.support.amazon import Amazon

MARK: Final = "processes"
INTEGRATION: Final = "tests/integration/"
"""How the names of its tests begin."""

STARTS_A_PROCESS: Final = frozenset({"subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"})
"""Audit events."""

register_profiles()

# What is collected stays; to walk it all the while takes an eighth of the collection.
gc.disable()

# Of small matrices the threads of numpy's library cost more than they do, and each worker has its own.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# With it jsonschema compiles a grammar for IRIs, a second of each worker, and no schema here has one.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]  # the mark of a module that cannot be imported

_running: list[pytest.Item] = []


class _Unheard(logging.Handler):
    """Remembers errors of tasks that nobody awaited; asyncio finds them when the task is collected."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "never retrieved" in message:
            self.found.append(message)


_unheard: Final = _Unheard()
logging.getLogger("asyncio").addHandler(_unheard)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that ask for a Redis or a browser, and all of tests/integration. Let the slowest begin."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid} has another name in each process: give its case an id")
        if _asks_for(item, "redis_server", "browser") or item.nodeid.startswith(INTEGRATION):
            item.add_marker(MARK)
    # Of the parallel workers one begins with the pages, so that only one starts the browser.
    items.sort(key=lambda item: not _asks_for(item, "browser"))
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = waiting_first(items, workers, _waits)


def pytest_collection_finish() -> None:
    """Spare the collector what is loaded for good: to walk it again and again takes a twentieth of a run."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def _waits(item: pytest.Item) -> int:
    if _asks_for(item, "browser"):
        return 3
    if item.nodeid.startswith(INTEGRATION):
        return 2
    return int(item.get_closest_marker(MARK) is not None)


def _asks_for(item: pytest.Item, *fixtures: str) -> bool:
    return isinstance(item, pytest.Function) and not set(fixtures).isdisjoint(item.fixturenames)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Know which test runs."""
    _running[:] = [item]
    try:
        return (yield)
    finally:
        _running.clear()


def _audit(event: str, _: object, *, _events: frozenset[str] = STARTS_A_PROCESS) -> None:
    # The default outlives the module, whose names are gone when the interpreter ends.
    if event in _events and _running and _running[0].get_closest_marker(MARK) is None:
        raise AssertionError(f"{_running[0].nodeid} starts a process: mark it with pytest.mark.{MARK}")


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An application that a test opens configures logging for the whole process; none of that outlives the test."""
    configure, root = structlog.configure, logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # A logger that keeps what was configured at its first use could not be captured by a later test.
    monkeypatch.setattr(
        structlog, "configure", lambda **kinds: configure(**{**kinds, "cache_logger_on_first_use": False})
    )
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def no_error_is_unheard() -> Iterator[None]:
    """A task that fails is awaited by somebody, or says so itself. The one that fails may be of an earlier test."""
    yield
    found = _unheard.found[:]
    _unheard.found.clear()
    assert not found


@pytest.fixture(scope="session", autouse=True)
def quick_sdk() -> Iterator[None]:
    """Clients of AWS and Redis, and settings."""
    with working_out_once(), certificates_read_once(), fields_known():
        yield


@pytest.fixture(scope="session", autouse=True)
def processes_fork() -> Iterator[None]:
    """A process of ours need not import the service anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "begin", processes.fork_of_ours)
        yield


@pytest.fixture(scope="session", autouse=True)
def patient_callers() -> Iterator[None]:
    """No test fails because this machine does other work too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "patience_seconds", PATIENCE_SECONDS)
        patch.setattr(processes, "patience", {"REQUEST_DEADLINE_SECONDS": PATIENT_DEADLINE_SECONDS})
        yield


@pytest.fixture
def new_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of ours start as an operator starts them."""
    monkeypatch.setattr(processes, "begin", processes.new_interpreter)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator["Amazon"]:
    """S3 and DynamoDB of the test's own, where the SDK's own variables say that they are."""
    from service.catalog.adapters import dynamodb_source  # noqa: PLC0415  # as below
    from tests.support.amazon import Amazon  # noqa: PLC0415  # moto takes half a second to import

    # A busy machine takes seconds for moto's first answer.
    monkeypatch.setitem(dynamodb_source._CONFIG, "read_timeout", PATIENCE_SECONDS)
    with Amazon() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
async def aws_session() -> AsyncIterator[AwsSession]:
    """The way to Amazon as a replica has it; nothing is looked for before it is used."""
    async with AwsSession() as session:
        yield session


@pytest.fixture
def clock() -> SystemClock:
    """Real time."""
    return SystemClock()
