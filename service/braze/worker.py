"""The process that renders: it has little memory, writes no file, and asks its parent for every call.

It reads jobs from standard input and writes results to standard output, a JSON line each. A job that brings a list of
`answers` is over at the first call beyond them: the result is that call, and the job comes again with its answer. Of a
job without that list each call is a line of its own, and the next line is the answer. A line with `lint` asks what is
wrong with templates. The one argument says how far the process stands back behind others.
"""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, BinaryIO

import orjson

from service.braze.engine import render
from service.braze.lint.lint import Lint
from service.braze.ports import Answer, Call, Caller, Job, Message
from service.errors import TemplateError

MAX_MEMORY_BYTES = 512 * 1024 * 1024
"""Address space of the process; about 200 MB of it are Python's own."""


class _UnansweredError(BaseException):
    """No error: nothing on the way may take it for one of the template's."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Render job after job until the parent closes the pipe."""

    def write(value: dict[str, Any]) -> None:
        sink.write(orjson.dumps(value) + b"\n")
        sink.flush()

    def ask(call: Call) -> Answer:
        write({"call": call})
        return Answer(**orjson.loads(source.readline()))

    write({"ready": True})
    while line := source.readline():
        asked = orjson.loads(line)
        try:
            if "lint" in asked:
                write({"findings": _lint(asked["lint"], asked["channel"])})
            else:
                job = Job(**asked["job"])
                caller = ask if asked["answers"] is None else _given(asked["answers"])
                write({"message": _cut(render(job, caller), job.most_characters)})
        except _UnansweredError as unanswered:
            write({"call": unanswered.call})
        except TemplateError as error:
            write({"problem": error.problem, "offset": error.offset})


def _given(answers: Iterable[dict[str, Any]]) -> Caller:
    """Answers calls in their order."""
    left = iter(answers)

    def answered(call: Call) -> Answer:
        answer = next(left, None)
        if answer is None:
            raise _UnansweredError(call)
        return Answer(**answer)

    return answered


def _cut(message: Message, most: int | None) -> Message:
    if most is None or len(message.text) <= most:
        return message
    return replace(message, text=message.text[:most], is_cut=True)


def _lint(parts: dict[str, str], channel: str) -> list[dict[str, Any]]:
    checker = Lint(channel)
    findings = [one for name, text in parts.items() for one in checker.check(name, text)]
    return [asdict(one) for one in (*findings, *checker.across())]


def _confine() -> None:
    if len(sys.argv) > 1:
        os.nice(int(sys.argv[1]))
    if sys.platform != "win32":
        import resource  # noqa: PLC0415  # not on Windows

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with suppress(ValueError, OSError):  # macOS refuses a limit of the address space
            resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


if __name__ == "__main__":
    _confine()
    with suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
