"""Transactions: what every call to one campaign goes through, in this order: breaker, budget, call, bookkeeping."""

from typing import Final

from service.budget.budget import Budget
from service.budget.ports import Lane
from service.clock import Clock, margin_seconds
from service.errors import RecommenderError, RecommenderRefused, RecommenderThrottled, RecommenderTimeout
from service.models import NOBODY, ItemList, ListRequest, Sender
from service.personalize.breaker import Breaker
from service.personalize.ports import Recommender, Recorder
from service.spans import span

FIRST_LATENCY_SECONDS: Final = 0.1
"""A transaction's usual latency before there was one."""

MIN_TRANSACTION_SECONDS: Final = 0.2
"""Left for a transaction at least when its slot is waited for."""


def patience_seconds(deadline_seconds: float) -> float:
    """How long a caller with this much time waits for a live list; the rest is to step down and to write the answer."""
    left = deadline_seconds - margin_seconds(deadline_seconds)
    return left - margin_seconds(left)


def usual_latency(so_far: float, took: float) -> float:
    """The usual latency after one more transaction."""
    return so_far + 0.1 * (took - so_far)


def lane_and_patience(*, has_list: bool, began: float, deadline: float, latency_seconds: float) -> tuple[Lane, float]:
    """The lane for a caller's transaction, and until when a slot is of use."""
    if has_list:
        return Lane.STALE, began
    # Thrice the usual latency is left for the transaction, so that a slot is not spent in vain.
    return Lane.NO_LIST, deadline - min(max(MIN_TRANSACTION_SECONDS, 3 * latency_seconds), (deadline - began) / 2)


class Transactions:
    """Spends the transactions of one campaign.

    Args:
        clock: Times the transactions.
        recommender: The campaign.
        budget: Its slots.
        breaker: Keeps everybody from asking it while it fails.
        recorder: Counts.
        timeout_seconds: Longest wait for one transaction.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        recommender: Recommender,
        budget: Budget,
        breaker: Breaker,
        recorder: Recorder,
        timeout_seconds: float,
    ) -> None:
        self._clock = clock
        self._recommender = recommender
        self._budget = budget
        self._breaker = breaker
        self._recorder = recorder
        self.timeout_seconds = timeout_seconds
        self._latency_seconds = FIRST_LATENCY_SECONDS

    def check(self) -> None:
        """Do nothing if a transaction could be spent.

        Raises:
            BreakerOpen: Personalize has been failing and is not asked.
        """
        self._breaker.check()

    def slot_is_late(self, slot_at: float) -> bool:
        """Whether the slot that began then is lost by now."""
        return self._budget.is_late(slot_at)

    async def wait_for_slot(self, *, has_list: bool, deadline: float, sender: Sender = NOBODY) -> float:
        """Return when a slot is ours; the seconds that it took.

        Raises:
            BudgetExhausted: None can be had in time for a transaction to end by the deadline.
        """
        began = self._clock.monotonic()
        lane, until = lane_and_patience(
            has_list=has_list, began=began, deadline=deadline, latency_seconds=self._latency_seconds
        )
        await self._budget.acquire(lane, until, sender)
        waited = self._clock.monotonic() - began
        self._recorder.budget_wait(waited)
        return waited

    def admit(self) -> int:
        """Let one transaction through; `spend` must follow, with what is returned.

        Raises:
            BreakerOpen: Personalize has been failing and is not asked.
        """
        return self._breaker.admit()

    async def spend(self, request: ListRequest, era: int) -> ItemList:
        """Spend one transaction; the slot for it is ours. Its list may be empty.

        Raises:
            RecommenderError: The transaction brought no list.
        """
        began = self._clock.monotonic()
        result = "error"
        try:
            with span("personalize transaction"):
                items = await self._recommender.recommend(request, timeout_seconds=self.timeout_seconds)
        except RecommenderThrottled:
            result = "throttled"
            self._breaker.neutral(era)
            await self._budget.throttled()
            raise
        except RecommenderTimeout:
            result = "timeout"
            self._breaker.failure(era)
            raise
        except RecommenderRefused:
            self._breaker.neutral(era)
            raise
        except RecommenderError:
            self._breaker.failure(era)
            raise
        except BaseException:
            self._breaker.neutral(era)
            raise
        else:
            result = "ok" if items.item_ids else "empty"
            self._breaker.success(era)
            self._latency_seconds = usual_latency(self._latency_seconds, self._clock.monotonic() - began)
            return items
        finally:
            self._recorder.transaction(result, self._clock.monotonic() - began)
