"""Starts and stops the project's own processes on free loopback ports; for benchmarks and integration tests."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "sample"
RETAIL = ROOT.parent / "shared" / "data" / "retail"
CAMPAIGN_ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
START_SECONDS = 30.0


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Running:
    """A process that answers HTTP on loopback."""

    process: subprocess.Popen[bytes]
    port: int
    ready_seconds: float
    """From the process's start to its first good answer."""

    @property
    def url(self) -> str:
        """Without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def get_json(self, path: str) -> Any:  # JSON
        """The body of a GET, parsed."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310  # loopback only
            return json.load(answer)

    def post(self, path: str, body: object = None) -> Any:  # JSON
        """Send JSON; the answer's body, parsed."""
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(  # noqa: S310  # loopback only
            self.url + path, data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # loopback only
            return json.loads(answer.read() or b"null")

    def resident_mib(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        """Processor time used so far, the kernel's share for it included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """Largest resident memory so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
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
) -> Iterator[Running]:
    """Run a command until the block ends; it is killed if SIGTERM does not end it in 10 s.

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
    keep = {"PATH", "HOME", "LANG", "VIRTUAL_ENV", "SSL_CERT_FILE", "LD_LIBRARY_PATH", "TMPDIR"}
    env = {name: value for name, value in os.environ.items() if name in keep}
    env |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environment or {})}
    command = [*(["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []), *arguments]
    began = time.monotonic()
    process = subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None  # for the type checker
    os.set_blocking(process.stderr.fileno(), False)
    written = b""
    try:
        while True:
            written += process.stderr.read() or b""
            if process.poll() is not None or time.monotonic() - began > start_seconds:
                raise RuntimeError(f"{arguments} did not start:\n{written[-2000:].decode(errors='replace')}")
            if _answers(port, probe):
                break
            time.sleep(0.02)
        os.set_blocking(process.stderr.fileno(), True)
        sink = Path(os.environ["BENCH_LOGS"]) / f"{port}.log" if "BENCH_LOGS" in os.environ else Path(os.devnull)
        with sink.open("ab") as log:
            log.write(written)
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)
        try:
            yield Running(process, port, time.monotonic() - began)
        finally:
            stop(process)
            drain.wait()
    finally:
        process.stderr.close()
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a process politely, then by force; its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


@contextlib.contextmanager
def local_personalize(
    data: Path = SAMPLE, *, tps: float = 0, latency_ms: float = 0, core: int | None = None
) -> Iterator[Running]:
    """A local Personalize; `tps` 0 is no limit."""
    port = free_port()
    command = [sys.executable, "-m", "service.local_personalize", "--data", str(data), "--port", str(port)]
    command += ["--latency-ms", str(latency_ms), *(["--tps", str(tps)] if tps else [])]
    with running(command, port=port, probe="/_stats", core=core) as process:
        yield process


@contextlib.contextmanager
def service(
    personalize: Running | None,
    *,
    catalog: Path = SAMPLE / "items.csv",
    core: int | None = None,
    arguments: Sequence[str] = ("service", "serve"),
    **settings: str,
) -> Iterator[Running]:
    """A replica of the service, configured by the environment; `arguments` is the module to run and its own."""
    port = free_port()
    environment = {"HOST": "127.0.0.1", "PORT": str(port), **configuration(personalize, catalog=catalog, **settings)}
    command = [sys.executable, "-m", *arguments]
    with running(command, port=port, probe="/readyz", environment=environment, core=core) as process:
        yield process


def configuration(
    personalize: Running | None, *, catalog: Path = SAMPLE / "items.csv", **settings: str
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
        **settings,
    }


@contextlib.contextmanager
def command(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`python -m service` with these arguments; what it writes is in its `stderr`. Ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        with process:
            pass  # waits for it and closes the pipe


@contextlib.contextmanager
def redis_server(port: int | None = None) -> Iterator[Running]:
    """A Redis that keeps nothing on disk."""
    port = port or free_port()
    began = time.monotonic()
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            if process.poll() is not None or time.monotonic() - began > START_SECONDS:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)
        yield Running(process, port, time.monotonic() - began)
    finally:
        stop(process)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
