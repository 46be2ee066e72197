"""Plans a send beside the event loop: in a child process, one at a time, for so long and no longer."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from service.children import child_environment
from service.errors import TryLater
from service.tasks import OneAtATime

PLAN_SECONDS: Final = 60.0
"""Longest wait for a plan. It takes about one; a busy machine has more to do."""

ROOT: Final = Path(__file__).parents[3]
"""The folder in which the child finds this package."""

MAX_ANSWER_BYTES: Final = 4_000_000

MAX_WAITING: Final = 4
"""Plans that wait for their turn."""

NICENESS: Final = 5
"""The child stands back behind the process that answers."""


class PlannerAside:
    """Plans sends, one after another."""

    def __init__(self) -> None:
        self._planning = OneAtATime(MAX_WAITING, "Others plan their sends. Try again in a moment.")

    async def plan(self, send: Mapping[str, object], spare: float) -> dict[str, Any]:
        """The plan as `service.sends.plan.child` gives it, or its `problem`.

        Args:
            send: The parameters of a `Send`.
            spare: Share of the TPS that prewarm may spend.

        Raises:
            TryLater: Too many wait, or it took too long.
        """
        async with self._planning.turn():
            return await _planned(orjson.dumps({"send": send, "spare": spare, "niceness": NICENESS}) + b"\n")


async def _planned(job: bytes) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.sends.plan.child"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=MAX_ANSWER_BYTES,
        cwd=ROOT,
        env=child_environment(),
    )
    try:
        async with asyncio.timeout(PLAN_SECONDS):
            said, _ = await child.communicate(job)
    except TimeoutError:
        raise TryLater(f"The plan was not ready within {PLAN_SECONDS:g} s. Try again in a moment.") from None
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode:
        raise TryLater("The planner failed. The command `personalize-connect plan` says why.")
    answer: dict[str, Any] = orjson.loads(said)
    return answer
