"""A line in the log for each minute of answers, for those who have no Prometheus: an alarm can count from it."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

import structlog

from service.tasks import stop_task

_log = structlog.stdlib.get_logger(__name__)

REPORT_SECONDS: Final = 60.0
"""Between two lines; CloudWatch's shortest period of a metric that is made of a log."""

NO_FAULTS: Final = frozenset({"", "no_user", "no_item", "short"})
"""Reasons that say what was asked or what the catalogue has, not that Personalize could not be asked."""


class AnswerReport:
    """Says how many answers left since the last line, and how many of them Personalize had no part in.

    Args:
        counts: Answers since the start by degraded reason, empty for none.
    """

    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts
        self._reported: Mapping[str, int] = {}

    def write(self) -> None:
        """Write a line, unless there were no answers."""
        counts = dict(self._counts())
        reasons = {reason: count - self._reported.get(reason, 0) for reason, count in counts.items()}
        self._reported = counts
        if not any(reasons.values()):
            return
        faults = {reason: count for reason, count in reasons.items() if count and reason not in NO_FAULTS}
        _log.info("answers_counted", answers=sum(reasons.values()), degraded=sum(faults.values()), **faults)


async def open_answer_report(counts: Callable[[], Mapping[str, int]], stack: AsyncExitStack) -> None:
    """Write a line a minute, and the last one when the stack is closed."""
    report = AnswerReport(counts)

    async def report_on() -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            report.write()

    stack.callback(report.write)
    stack.push_async_callback(stop_task, asyncio.create_task(report_on(), name="answer-report"))
