"""The side for tests and benchmarks, without signatures: never let the port be reached from elsewhere.

- `GET /_health` answers once the model is learned.
- `GET /_stats` gives the counts, `POST /_stats/reset` sets them to zero.
- `POST /_faults` with `{"mode": "hang", "seconds": 5}` makes the process misbehave; see `faults.FaultMode`. With
  `"of": "events"` it is PutEvents that fails, with `"of": "control"` the control plane; `control.mishaps` has what
  can go wrong there besides.
- `GET /_events` gives the events taken.
- `POST /_access_keys` with `{"KEY": "ExpiredTokenException"}` refuses calls signed with a key; `*` stands for all.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.control.mishaps import Mishaps
from service.local_personalize.faults import Fault, parse_fault
from service.local_personalize.http import Answer, Handler, Request
from service.local_personalize.stats import CallStats


class AdminSurface:
    """The paths that begin with an underscore."""

    def __init__(
        self,
        *,
        stats: CallStats,
        faults: Mapping[str, Fault],
        access_keys: AccessKeys,
        mishaps: Mishaps | None = None,
    ) -> None:
        self._stats = stats
        self._mishaps = mishaps
        self._faults = faults
        self._actions: dict[tuple[str, str], Callable[[bytes], dict[str, Any]]] = {
            ("GET", "/_health"): lambda _: {"status": "ok"},
            ("GET", "/_stats"): lambda _: self._stats.snapshot(),
            ("POST", "/_stats/reset"): self._reset_stats,
            ("POST", "/_faults"): self._set_fault,
            ("POST", "/_access_keys"): lambda body: dict(access_keys.replace(body)),
        }

    def handler(self, request: Request) -> Handler | None:
        """See `Surface.handler`."""
        return self._answer if (request.method, request.path) in self._actions else None

    async def _answer(self, request: Request) -> Answer:
        action = self._actions[request.method, request.path]
        return Answer(200, orjson.dumps(action(request.body)))

    def _reset_stats(self, _: bytes) -> dict[str, Any]:
        self._stats.reset()
        return self._stats.snapshot()

    def _set_fault(self, body: bytes) -> dict[str, Any]:
        if self._mishaps is not None and (order := self._mishaps.order(body)) is not None:
            return order
        of, mode, seconds = parse_fault(body, tuple(self._faults))
        self._faults[of].set(mode, seconds=seconds)
        return {"mode": mode, "seconds": seconds}
