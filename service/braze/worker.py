"""The process that renders: it has little memory, writes no file, and asks its parent for every call.

It reads jobs and answers from standard input and writes requests and results to standard output, a JSON line each.
Where the parent has no answer it says null: then the job is over, and begins anew when the answer is there.
"""

import sys
from contextlib import suppress
from typing import Any, BinaryIO

import orjson

from service.braze.engine import render
from service.braze.ports import Answer, Call, Job
from service.errors import TemplateError

MAX_MEMORY_BYTES = 512 * 1024 * 1024
"""Address space of the process; about 200 MB of it are Python's own."""


class _PutOffError(BaseException):
    """No error: nothing on the way may take it for one of the template's."""


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Render job after job until the parent closes the pipe."""

    def write(value: dict[str, Any]) -> None:
        sink.write(orjson.dumps(value) + b"\n")
        sink.flush()

    def ask(call: Call) -> Answer:
        write({"call": call})
        answer = orjson.loads(source.readline())
        if answer is None:
            raise _PutOffError
        return Answer(**answer)

    write({"ready": True})
    while line := source.readline():
        try:
            write({"message": render(Job(**orjson.loads(line)), ask)})
        except _PutOffError:
            write({"put_off": True})
        except TemplateError as error:
            write({"problem": error.problem, "offset": error.offset})


def _confine() -> None:
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  # not on Windows

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with suppress(ValueError, OSError):  # macOS refuses a limit of the address space
            resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


if __name__ == "__main__":
    _confine()
    with suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
