"""Whether every ARN answers, with its filter, and whether what it recommends is in the catalogue."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from service.catalog.ports import ItemCatalog
from service.doctor.asking import Asking, Refusal
from service.doctor.findings import Finding, error, ok, warning
from service.doctor.targets import USER, Target
from service.errors import BudgetExhausted
from service.models import ItemList

RANKED_ITEMS: Final = 10
"""Of the catalogue, for a ranking."""

MIN_OVERLAP: Final = 0.5
"""Of what is recommended; with less of it in the catalogue, popular items fill most answers."""

PREFETCH_SECONDS: Final = 5.0

_FILTER_CODES: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "InvalidInputException",
        "ResourceNotFoundException",
        "ValidationException",
    }
)
"""Refusals that the filter may be the reason for, and not the ARN."""


class PersonalizeCheck:
    """Asks the targets, one after the other.

    Args:
        asking: Spends the transactions.
        catalog: What could be shown; None if it cannot be read.
        users: Whose lists are asked for.
        max_transactions: For each target.
    """

    def __init__(
        self, asking: Asking, catalog: ItemCatalog | None, users: Sequence[str], max_transactions: int
    ) -> None:
        self._asking = asking
        self._catalog = catalog
        self._users = tuple(users) or (USER,)
        self._max_transactions = max_transactions

    async def check(self, target: Target) -> AsyncIterator[Finding]:
        """Whether it answers, and what of its answers can be shown."""
        items = self._some_items()
        if target.terms.kind != "recommendations" and not items:
            yield warning(target.name, "is not asked, since no item of the catalogue is known")
            return
        lists: list[ItemList] = []
        try:
            for user in self._users[: self._max_transactions]:
                answer = await self._asking.ask(target, target.request(user, items))
                if isinstance(answer, Refusal):
                    yield await self._explained(target, answer, items)
                    return
                lists.append(answer)
        except BudgetExhausted:
            yield warning(target.name, "is not asked: the budget has no free slot", "ask again when no send runs")
            if not lists:
                return
        yield ok(target.name, f"{target.arn} answers")
        yield await self._overlap(target, lists)

    def _some_items(self) -> tuple[str, ...]:
        found: list[str] = []
        for item_id in self._catalog.first_ids() if self._catalog is not None else ():
            found.append(item_id)
            if len(found) == RANKED_ITEMS:
                break
        return tuple(found)

    async def _explained(self, target: Target, refusal: Refusal, items: tuple[str, ...]) -> Finding:
        """Which of the ARNs is refused, and why; a second transaction without the filter tells them apart."""
        if refusal.reason == "throttled":
            return warning(
                target.name,
                f"{target.arn} answers that it is asked too often",
                "is the TPS above what is provisioned, or does somebody else ask it?",
            )
        if not target.filter_arns or refusal.code not in _FILTER_CODES or self._max_transactions < 2:  # noqa: PLR2004
            return _refused(target, target.arn, refusal)
        named = [arn for arn in target.filter_arns if arn in refusal.problem]
        without = await self._asking.ask(target, target.request(self._users[0], items, plain=True), with_filter=False)
        if isinstance(without, Refusal):
            return _refused(target, target.arn, without)
        filter_arn = named[0] if named else " or ".join(target.filter_arns)
        if refusal.code in ("InvalidInputException", "ValidationException"):
            return warning(target.name, f"the filter {filter_arn} wants more: {refusal.problem}", refusal.advice)
        return _refused(target, f"the filter {filter_arn}", refusal)

    async def _overlap(self, target: Target, lists: Sequence[ItemList]) -> Finding:
        ids = list(dict.fromkeys(item_id for one in lists for item_id in one.item_ids))
        if not ids:
            return warning(
                target.name,
                "the list is empty",
                "the filter leaves nothing, or the campaign was trained without items",
            )
        if self._catalog is None:
            return warning(target.name, f"recommends {len(ids)} items, and there is no catalogue to look them up in")
        await self._catalog.prefetch(ids, PREFETCH_SECONDS)
        rows = self._catalog.rows(ids)
        there = sum(row is not None for row in rows)
        shown = sum(row is not None and row.eligible for row in rows)
        what = f"{there} of {len(ids)} recommended items are in the catalogue"
        if not there:
            example = next(iter(self._catalog.first_ids()), "")
            return error(
                target.name,
                f"{what}: Personalize says {ids[0]!r}, the catalogue {example!r}",
                "use the ids of the interactions: CATALOG_COLUMNS=id=..., case, leading zeros, variants",
            )
        if not shown:
            return error(target.name, f"{what}, and EXCLUSION_FILTER takes out all of them", "correct the filter")
        if there < MIN_OVERLAP * len(ids):
            gone = next(item_id for item_id, row in zip(ids, rows, strict=True) if row is None)
            return warning(target.name, f"{what}; {gone!r} is not", "is the catalogue whole, and of the same shop?")
        return ok(target.name, what if shown == there else f"{what}, {shown} of them pass EXCLUSION_FILTER")


def _refused(target: Target, what: str, refusal: Refusal) -> Finding:
    return error(target.name, f"{what} is refused: {' '.join(refusal.problem.split())}", refusal.advice)
