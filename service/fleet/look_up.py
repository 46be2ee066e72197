"""Looks up names in a thread of its own, one at a time, so that a slow answer starves nobody else.

The event loop's own look-ups share a few threads. While Redis's name takes seconds to fail, a look-up for each attempt
would take them all, and Amazon Personalize could not be found.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

KNOWN_SECONDS: Final = 1.0
"""An answer is used for so long without asking again; a pool that connects anew asks once."""

PATIENCE_SECONDS: Final = 0.1
"""A look-up may take this long before the last known addresses are used."""

FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 10.0
"""After a look-up that failed, the next one waits; twice as long each time, up to this."""

Resolve = Callable[[str], list[str]]


def resolve(host: str) -> list[str]:
    """The addresses of a name, in the system's order.

    Raises:
        OSError: There are none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(slots=True)
class _Name:
    addresses: list[str] = field(default_factory=list)
    known_at: float = float("-inf")
    error: OSError | None = None
    pause_seconds: float = 0.0
    not_before: float = float("-inf")
    looking: "asyncio.Task[None] | None" = None


class HostLookUp:
    """Addresses of names, remembered for when a look-up is slow or fails.

    Args:
        resolve: Asks the system; runs in a thread.
        monotonic: Seconds, for pauses and ages.
    """

    def __init__(self, resolve: Resolve = resolve, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._resolve = resolve
        self._monotonic = monotonic
        self._names: dict[str, _Name] = {}
        self._turn = asyncio.Lock()

    async def addresses(self, host: str, seconds: float) -> list[str]:
        """The addresses of a host; those known last if a look-up does not bring any in time.

        Args:
            host: A name, or an address already.
            seconds: How long to wait at most.

        Raises:
            OSError: The name is not known.
            TimeoutError: The look-up takes longer; it goes on, and its answer is there for the next one who asks.
        """
        if _is_address(host):
            return [host]
        name = self._names.setdefault(host, _Name())
        if self._monotonic() - name.known_at < KNOWN_SECONDS:
            return list(name.addresses)
        if name.looking is None and self._monotonic() >= name.not_before:
            name.looking = asyncio.create_task(self._look(host, name), name="look-up")
        if name.looking is not None:
            patience = min(seconds, PATIENCE_SECONDS) if name.addresses else seconds
            await asyncio.wait((name.looking,), timeout=patience)
        if name.addresses:
            return list(name.addresses)
        if name.error is not None:
            raise name.error
        raise TimeoutError(f"the look-up of {host} takes longer than {seconds:g} s")

    def failed(self, host: str, address: str) -> None:
        """This address did not take a connection: try it last, and ask for the name again."""
        name = self._names.get(host)
        if name is not None and address in name.addresses:
            name.addresses.remove(address)
            name.addresses.append(address)
            name.known_at = float("-inf")

    def forget(self) -> None:
        """Ask for every name again, since what it stands for may have changed."""
        for name in self._names.values():
            name.known_at = float("-inf")

    async def close(self) -> None:
        """Wait for nobody; the thread ends with its answer."""
        tasks = [name.looking for name in self._names.values() if name.looking is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, host: str, name: _Name) -> None:
        try:
            async with self._turn:
                addresses = await _in_thread(lambda: self._resolve(host))
        except OSError as error:
            name.error = error
            name.pause_seconds = min(MAX_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * name.pause_seconds))
            name.not_before = self._monotonic() + name.pause_seconds
        else:
            last = [one for one in name.addresses if one in addresses]
            # Addresses that failed lately stay behind the others.
            name.addresses = [one for one in addresses if one not in last[1:]] + last[1:] if last else addresses
            name.known_at = self._monotonic()
            name.error, name.pause_seconds = None, 0.0
        finally:
            name.looking = None


async def _in_thread(work: Callable[[], list[str]]) -> list[str]:
    """What the work returns, from a thread that holds up neither an executor nor the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str], error: OSError | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(addresses)
        else:
            done.set_exception(error)

    def run() -> None:
        addresses: list[str] = []
        error: OSError | None = None
        try:
            addresses = work()
        except OSError as failure:
            error = failure
        except UnicodeError:  # a name that IDNA cannot encode
            error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        try:
            loop.call_soon_threadsafe(settle, addresses, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    threading.Thread(target=run, name="look-up", daemon=True).start()
    return await done


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
