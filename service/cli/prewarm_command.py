"""What `personalize-connect prewarm` does with what it is told."""

import asyncio
import datetime as dt
import os
import signal
from contextlib import AbstractAsyncContextManager

from service.clock import SystemClock
from service.errors import ConfigurationError, SharedStateUnavailable
from service.sends.ports import ListMaker, PrewarmTerms
from service.sends.prewarm.remote import open_remote
from service.sends.prewarm.run import Prewarm
from service.sends.prewarm.users_file import UsersFile
from service.settings import load_settings
from service.telemetry import configure_logging
from service.wiring.tools import open_list_maker


def prewarm(users: UsersFile, terms: PrewarmTerms, *, by: dt.datetime | None, service: str) -> int:
    """Fetch the lists of a file's users; the exit status.

    Args:
        users: Who is to have a list.
        terms: How.
        by: When the lists are wanted.
        service: The replica to go through, whose admin key is in ADMIN_KEY; empty: Redis, as the settings say.

    Raises:
        ConfigurationError: Settings, address or file cannot work.
    """
    if service:
        admin_key = os.environ.get("ADMIN_KEY", "")
        if not admin_key:
            raise ConfigurationError("ADMIN_KEY: is not set; --service needs one of the service's ADMIN_KEYS")
        maker = open_remote(service, admin_key)
    else:
        settings = load_settings()
        configure_logging("warning", "text")
        maker = open_list_maker(settings)
    return asyncio.run(_run(maker, users, terms, by))


def moment(text: str, now: dt.datetime) -> dt.datetime:
    """A time as people write it: `14:30`, the next one; or `2026-11-27T14:30`, with or without an offset.

    Args:
        text: What is written.
        now: With a time zone, which is the one meant.

    Raises:
        ValueError: It is none, or past.
    """
    try:
        time = dt.time.fromisoformat(text) if len(text) <= len("14:30:00") and ":" in text else None
        then = dt.datetime.fromisoformat(text) if time is None else dt.datetime.combine(now.date(), time)
    except ValueError:
        raise ValueError("not a time such as 14:30 or 2026-11-27T14:30") from None
    if then.tzinfo is None:
        then = then.replace(tzinfo=now.tzinfo)
    if time is not None and then <= now:
        then += dt.timedelta(days=1)
    if then <= now:
        raise ValueError("is past")
    return then


async def _run(
    maker: AbstractAsyncContextManager[ListMaker], users: UsersFile, terms: PrewarmTerms, by: dt.datetime | None
) -> int:
    loop = asyncio.get_running_loop()
    stopped_by: list[int] = []
    async with maker as opened:
        prewarm = Prewarm(opened, users, terms, by=by, clock=SystemClock())
        work = asyncio.create_task(prewarm.run())

        def stop(number: int) -> None:
            stopped_by.append(number)
            work.cancel()

        for one in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(one, stop, one)
        try:
            return await work
        except asyncio.CancelledError:
            prewarm.stopped()
            return 128 + stopped_by[0]
        except SharedStateUnavailable as error:
            raise ConfigurationError(str(error)) from error
