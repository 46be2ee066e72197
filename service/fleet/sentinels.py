"""Whom the sentinels name as the master, and how long it may be used.

A master that was replaced by command answers and takes writes for eleven seconds more. It hands out slots of the budget
that the new one knows nothing of. So a master is used on a lease::

    the sentinels name it            +-----------+   they name another one, or
    at least every two seconds  ---> |   used    |   have not named it for two seconds
                                     +-----------+ ----------------------------------+
                                           ^                                         v
                                           | every lease of the old one is over      +--------+
                                           | and every slot that it gave has begun   |  left  |
                                           +-----------------------------------------+--------+

More than half of the sentinels must name a new one before anybody uses it. From then on no look can find the old one
named, so the last lease of it ends two seconds later.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from redis.exceptions import InvalidResponse

from service.fleet.address import HostPort, RedisAddress
from service.fleet.causes import FAILURES, Refusal
from service.fleet.connections import Connector

SENTINEL_SECONDS: Final = 1.0
"""Between two looks at whom the sentinels name."""

SENTINEL_PAUSE_SECONDS: Final = 0.25
"""After a look that brought no answer."""

LOOK_SECONDS: Final = 2.0
"""For one look."""

NAMED_SECONDS: Final = 2.0
"""A master is used for so long from the beginning of the last look that found it named."""


class Sentinels:
    """Those that `REDIS_URL` names.

    Args:
        address: Of `REDIS_URL`.
        connector: Makes their clients.
    """

    def __init__(self, address: RedisAddress, connector: Connector) -> None:
        self._address = address
        self._connector = connector

    async def master(self) -> HostPort:
        """The master's address, as more than half of the sentinels say, or most of those that answer.

        They hear of a failover one after another, and one that was cut off names the old master.

        Raises:
            Refusal: The sentinels know no such master, or do not agree.
            RedisError, OSError, TimeoutError: No sentinel answers.
        """
        asking = [asyncio.create_task(self._ask(at), name="redis-sentinel") for at in self._address.hosts]
        named = Counter[HostPort]()
        error: BaseException | None = None
        try:
            for one in asyncio.as_completed(asking):
                try:
                    found = await one
                except (Refusal, *FAILURES) as failure:
                    error = error or failure
                    continue
                if found is not None:
                    named[found] += 1
                    if 2 * named[found] > len(asking):
                        return found
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        if not named and error is not None:
            raise error
        return self._named_most(named)

    def _named_most(self, named: Counter[HostPort]) -> HostPort:
        match named.most_common(2):
            case [(one, votes), (other, as_many)] if votes == as_many:
                raise Refusal("master", f"the sentinels do not agree on the master: {one} or {other}", lasting=False)
            case [(one, _), *_]:
                return one
        raise Refusal("master", f"the sentinels know no master named {self._address.service}", lasting=False)

    async def _ask(self, at: HostPort) -> HostPort | None:
        async with self._connector.sentinel(at) as client:
            found: Any = await client.execute_command(  # type: ignore[no-untyped-call]  # the library's
                "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service
            )
        if found is None:
            return None
        try:
            host, port = found
            return HostPort(host.decode(), int(port))
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidResponse("Protocol error: no address of a master") from error


class MasterLease:
    """Whether the master may be used now. Without sentinels it has no end.

    Args:
        slots_seconds: How long after the end of a lease the last slot begins that the old master handed out.
        now: Monotonic time.
    """

    def __init__(self, slots_seconds: float, now: Callable[[], float]) -> None:
        self._slots_seconds = slots_seconds
        self._now = now
        self._until = float("inf")
        self._not_before = float("-inf")

    @property
    def is_over(self) -> bool:
        """Whether the master was not named for too long, or another one is."""
        return self._now() >= self._until

    @property
    def has_begun(self) -> bool:
        """Whether nobody uses the master before, nor a slot of it."""
        return self._now() >= self._not_before

    @property
    def refusal(self) -> Refusal:
        """Why the master is left."""
        return Refusal("unnamed", f"the sentinels have not named it for {NAMED_SECONDS:g} s", lasting=False)

    def named(self, looked_at: float) -> None:
        """A look that began then found the master named."""
        self._until = looked_at + NAMED_SECONDS

    def begin_with_another(self) -> None:
        """Another master was found; others may still use the one before."""
        self._not_before = self._now() + NAMED_SECONDS + self._slots_seconds

    async def keep_asking(
        self, sentinels: Sentinels, in_use: Callable[[], HostPort | None], leave: Callable[[Refusal], None]
    ) -> None:
        """Look whom the sentinels name, as long as this runs.

        Args:
            sentinels: To be asked.
            in_use: The master that is used now; nobody is asked while there is none.
            leave: Called when it is no longer to be used.
        """
        pause = SENTINEL_SECONDS
        while True:
            await asyncio.sleep(pause)
            master, looked_at, pause = in_use(), self._now(), SENTINEL_SECONDS
            if master is None:
                continue
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    named = await sentinels.master()
            except (Refusal, *FAILURES):
                pause = SENTINEL_PAUSE_SECONDS
                if self.is_over:
                    leave(self.refusal)
                continue
            if master != in_use():
                continue
            if master == named:
                self.named(looked_at)
            else:
                self._until = float("-inf")
                leave(Refusal("master", f"the sentinels name another master, {named}", lasting=False))
