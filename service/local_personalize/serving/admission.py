"""Who may have an answer of a campaign or recommender now, and who is throttled."""

from collections.abc import Callable
from functools import partial

from service.local_personalize.access_keys import AccessKeys
from service.local_personalize.faults import Fault, FaultMode
from service.local_personalize.http import Request
from service.local_personalize.refusals import check_signed, throttled
from service.local_personalize.serving.calls import RuntimeCall
from service.local_personalize.serving.capacity import LAG_SECONDS, Capacity
from service.local_personalize.serving.targets import Target
from service.local_personalize.stats import CallStats


class Admission:
    """Lets calls in as fast as their campaign allows, and counts all of them.

    Args:
        access_keys: Which callers are refused.
        fault: May throttle everybody.
        stats: Counts.
        speed: Amazon's seconds in one of ours, for capacity that follows traffic.
        clock: Seconds that never run backwards.
        wall_clock: Epoch seconds of the arrivals in the counts.
    """

    def __init__(
        self,
        *,
        access_keys: AccessKeys,
        fault: Fault,
        stats: CallStats,
        speed: float,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._access_keys = access_keys
        self._fault = fault
        self._stats = stats
        self._new_capacity = partial(Capacity, clock=clock, lag_seconds=LAG_SECONDS / speed)
        self._wall_clock = wall_clock
        self._capacities: dict[str, Capacity] = {}

    def check_caller(self, request: Request) -> None:
        """Raise a `Refusal` for a call that is not signed, or signed with a key that is refused."""
        authorization = request.header(b"authorization")
        check_signed(authorization)
        self._access_keys.check(authorization)

    def count_refused(self) -> None:
        """A call that is no transaction."""
        self._stats.count_refused()

    def admit(self, call: RuntimeCall, target: Target, *, signed_at: str) -> None:
        """Count a transaction, signed in that second, or raise ThrottlingException."""
        arrived_at = self._wall_clock()
        self._stats.count_signed(signed_at)
        capacity = self._capacities.setdefault(target.arn, self._new_capacity())
        if self._fault.mode is FaultMode.THROTTLE or not capacity.try_take(target.minimum_tps):
            self._stats.count_throttled(arrived_at=arrived_at)
            raise throttled()
        self._stats.count_transaction(call.user_id, arrived_at=arrived_at)
