"""The project's own processes on free loopback ports, for tests and benchmarks."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.forks import Fork
from tests.support.ports import free_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample"
RETAIL = ROOT.parent / "shared" / "data" / "retail"
"""A larger data set, which may be there."""

CAMPAIGN_ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
START_SECONDS = 60.0

patience: dict[str, str] = {}
"""Settings of every replica that has none of its own. The benches have the service's; the tests, which assert no
duration, give it longer: a busy machine is slow."""

STOP_SECONDS = 10.0


@dataclass(slots=True)
class Process:
    """A process that answers HTTP on loopback."""

    popen: subprocess.Popen[bytes] | Fork
    port: int
    ready_seconds: float
    """From the process's start to its first good answer."""

    log: IO[bytes]
    """What it writes to stderr."""

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def written(self) -> list[str]:
        """The lines that it has written to stderr."""
        return _read(self.log).splitlines()

    def get_json(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """The body of a GET, parsed."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310  # loopback only
            return json.load(answer)

    def post(self, path: str, body: object = None) -> Any:  # noqa: ANN401  # JSON
        """Send JSON; the answer's body, parsed."""
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(  # noqa: S310  # loopback only
            self.url + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # loopback only
            return json.loads(answer.read() or b"null")

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric with exactly these labels, in the metric's own order."""
        if labels:
            name += "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:  # noqa: S310  # loopback only
            lines = answer.read().decode().splitlines()
        [value] = [line.split()[1] for line in lines if line.startswith(f"{name} ")]
        return float(value)

    def kill(self) -> None:
        """End it at once."""
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        """End it politely, after `STOP_SECONDS` by force; its exit status."""
        return stop(self.popen)

    def resident_mib(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text("utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        """Processor time used so far, the kernel's share for it included."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """Largest resident memory so far."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text("utf-8")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    *,
    port: int,
    probe: str,
    environment: Mapping[str, str] | None = None,
    core: int | None = None,
    start_seconds: float = START_SECONDS,
) -> Iterator[Process]:
    """Run a command until the block ends; it is killed if SIGTERM does not end it in `STOP_SECONDS`.

    Args:
        arguments: The command.
        port: Where it will listen.
        probe: Path that answers 200 once it is ready.
        environment: Added to this process's own, less every variable that configures the service.
        core: Pin it to this core.
        start_seconds: It has so long to answer.

    Raises:
        RuntimeError: It ended, or did not answer in time; with the end of what it wrote.
    """
    command = [*(["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []), *arguments]
    began = time.monotonic()
    with tempfile.NamedTemporaryFile() as log, Path(os.devnull).open("wb") as nowhere:
        popen = begin(command, inherited() | dict(environment or {}), folder=ROOT, stdout=nowhere, stderr=log)
        try:
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: popen.poll() is not None or _answers(port, probe), seconds=start_seconds)
            if popen.poll() is not None or not _answers(port, probe):
                raise RuntimeError(f"{arguments} did not start:\n{_read(log)[-2000:]}")
            yield Process(popen, port, time.monotonic() - began, log)
        finally:
            stop(popen)


def inherited() -> dict[str, str]:
    """The environment of a process of ours: this process's own, less every variable that configures the service."""
    keep = {"PATH", "HOME", "LANG", "VIRTUAL_ENV", "SSL_CERT_FILE", "LD_LIBRARY_PATH", "TMPDIR", "OPENBLAS_NUM_THREADS"}
    kept = {name: value for name, value in os.environ.items() if name in keep}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def new_interpreter(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path, stdout: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a command as anybody does."""
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=stdout, stderr=stderr)


def fork_of_ours(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path, stdout: IO[bytes], stderr: IO[bytes]
) -> subprocess.Popen[bytes] | Fork:
    """Start a command; ours, behind `python -m`, without a second of imports."""
    if command[:2] != [sys.executable, "-m"] or not command[2].startswith("service"):
        return new_interpreter(command, environment, folder=folder, stdout=stdout, stderr=stderr)
    return Fork(command[2:], environment, folder=folder, stdout=stdout, stderr=stderr)


begin: Callable[..., subprocess.Popen[bytes] | Fork] = new_interpreter
"""How processes start: the benches measure what an operator has, the tests put the other one here."""


def stop(process: subprocess.Popen[Any] | Fork) -> int:
    """End a process politely, then by force; its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@contextlib.contextmanager
def local_personalize(
    data: Path = SAMPLE, *, tps: float = 0, latency_ms: float = 0, core: int | None = None
) -> Iterator[Process]:
    """A local Personalize; `tps` 0 is no limit."""
    port = free_port()
    command = [sys.executable, "-m", "service.local_personalize", "--data", str(data), "--port", str(port)]
    command += ["--latency-ms", str(latency_ms), *(["--tps", str(tps)] if tps else [])]
    with running(command, port=port, probe="/_stats", core=core) as process:
        yield process


@contextlib.contextmanager
def service(
    personalize: Process | None,
    *,
    catalog: Path = SAMPLE / "items.csv",
    core: int | None = None,
    arguments: Sequence[str] = ("service", "serve"),
    **settings: str,
) -> Iterator[Process]:
    """A replica of the service, configured by the environment; `arguments` is the module to run and its own."""
    port = int(settings.get("PORT") or free_port())
    command = [sys.executable, "-m", *arguments]
    # An embedded replica has its folder for itself, also among tests that run side by side.
    with tempfile.TemporaryDirectory() as data:
        configured = configuration(personalize, catalog=catalog, **{"DATA_DIR": data, **settings})
        environment = {"HOST": "127.0.0.1", "PORT": str(port), **configured}
        with running(command, port=port, probe="/readyz", environment=environment, core=core) as process:
            yield process


def entered(stack: contextlib.ExitStack, starts: Sequence[contextlib.AbstractContextManager[Process]]) -> list[Process]:
    """The processes of several starts, which wait side by side; the stack ends them."""
    with ThreadPoolExecutor(len(starts)) as pool:
        return list(pool.map(stack.enter_context, starts))


def configuration(
    personalize: Process | None, *, catalog: Path = SAMPLE / "items.csv", **settings: str
) -> dict[str, str]:
    """The environment of a replica, and of every command that is configured like one."""
    return {
        "ALLOW_ANONYMOUS": "true",
        "PERSONALIZE_CAMPAIGN_ARN": CAMPAIGN_ARN,
        "CATALOG_URL": f"file://{catalog}",
        "DRAIN_SECONDS": "0",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME": personalize.url if personalize else "http://127.0.0.1:9",
        **patience,
        **settings,
    }


@dataclass(slots=True)
class Command:
    """A command of ours that ends by itself."""

    popen: subprocess.Popen[bytes] | Fork
    log: IO[bytes]

    def written(self) -> list[str]:
        """The lines that it has written to stdout and stderr."""
        return _read(self.log).splitlines()

    def finish(self, seconds: float = START_SECONDS) -> tuple[int, list[str]]:
        """Wait for its end; exit status and lines."""
        return self.popen.wait(seconds), self.written()


@contextlib.contextmanager
def command(arguments: Sequence[str], environment: Mapping[str, str], *, folder: Path = ROOT) -> Iterator[Command]:
    """`python -m service` with these arguments, run in a folder. Ended with the block."""
    with tempfile.NamedTemporaryFile() as log:
        popen = begin(
            [sys.executable, "-m", "service", *arguments],
            inherited() | dict(environment),
            folder=folder,
            stdout=log,
            stderr=log,
        )
        try:
            yield Command(popen, log)
        finally:
            popen.kill()
            popen.wait()


def outcome(arguments: Sequence[str], environment: Mapping[str, str], *, folder: Path) -> tuple[int, str, str]:
    """Run `python -m service` with these arguments and no other variables to its end; status, stdout and stderr."""
    with tempfile.NamedTemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
        popen = begin(
            [sys.executable, "-m", "service", *arguments], environment, folder=folder, stdout=stdout, stderr=stderr
        )
        try:
            return popen.wait(START_SECONDS), _read(stdout), _read(stderr)
        finally:
            stop(popen)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _read(log: IO[bytes]) -> str:
    """All of a file, without moving the position at which its writer goes on."""
    size = os.fstat(log.fileno()).st_size
    return os.pread(log.fileno(), size, 0).decode("utf-8", "replace")
