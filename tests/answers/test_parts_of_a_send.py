"""Parts of one message in a send: the first answer is pinned, and those that come later show it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from service.answers import placement as module
from service.answers.ports import NoEvents, PinnedAnswer, SendRecord
from service.clock import margin_seconds
from service.constants import PIN_SECONDS
from service.errors import InvalidQuery, RecommenderError
from service.lists.envelope import seal
from service.lists.ports import Outcome
from service.models import Answer, ItemList, RecommendationQuery, RequestKind
from service.settings.placements import PlacementTerms, VariantTerms
from tests.support.fakes import FakeCatalog
from tests.support.replica import ARN, DEADLINE_SECONDS, FRESH_SECONDS, ITEMS, Replica, items_for, open_replica, read
from tests.support.virtual_time import EPOCH, run_virtual

SIMILAR = "arn:aws:personalize:us-east-1:000000000000:campaign/similar"
LISTED = items_for("user", 25)


@dataclass
class Sends:
    """What is pinned; `others` come first, one for each that is to be kept."""

    record: SendRecord = field(default_factory=SendRecord)
    others: list[PinnedAnswer] = field(default_factory=list)
    looked: list[float] = field(default_factory=list)
    kept: list[tuple[PinnedAnswer, PinnedAnswer | None, float]] = field(default_factory=list)

    async def look(self, placement: str, query: RecommendationQuery, within_seconds: float) -> SendRecord:
        assert query.user_id
        assert placement in ("for-you", "similar")
        self.looked.append(within_seconds)
        await asyncio.sleep(0.1)
        return self.record

    async def keep(
        self,
        placement: str,
        query: RecommendationQuery,
        pinned: PinnedAnswer,
        before: PinnedAnswer | None,
        within_seconds: float,
    ) -> PinnedAnswer:
        assert query.send
        assert placement in ("for-you", "similar")
        self.kept.append((pinned, before, within_seconds))
        return self.others.pop(0) if self.others else pinned


def pin(asked: int, *ids: str, **more: Any) -> PinnedAnswer:  # noqa: ANN401  # keywords of the value
    return PinnedAnswer(asked, Outcome(seal(ItemList(ids, "RID-pinned", EPOCH)), "stale", "budget"), **more)


def play(scenario: Callable[[Replica, Sends], Awaitable[None]], **more: Any) -> None:  # noqa: ANN401  # keywords of the replica
    async def run() -> None:
        async with open_replica(**{"tps": 100.0, **more}) as replica:
            sends = Sends()
            for placement in replica.wired.placements:
                placement.sends = sends
            await scenario(replica, sends)

    run_virtual(run())


async def ask(replica: Replica, num_results: int = 3, user_id: str = "user", **more: Any) -> Answer:  # noqa: ANN401  # keywords of the query
    return await replica.answer(RecommendationQuery(user_id, num_results, **more))


def test_the_first_answer_is_pinned_as_it_was_shown() -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        replica.personalize.latency_seconds = 0.3
        answer = await ask(replica, send="s")
        assert (answer.source, list(answer.shown)) == ("personalize", LISTED[:3])
        [(pinned, before, left)] = sends.kept
        assert (pinned.asked, pinned.placement, pinned.because, before) == (3, "", "", None)
        assert pinned.outcome == replace(pinned.outcome, source="cache", degraded_reason=None)
        assert pinned.outcome.envelope is not None
        assert read(pinned.outcome.envelope) == ItemList(tuple(LISTED[:3]), "RID-1", answer.made_at)
        deadline = DEADLINE_SECONDS - margin_seconds(DEADLINE_SECONDS)
        assert sends.looked == [pytest.approx(deadline)]
        assert left == pytest.approx(deadline - 0.1 - 0.3)

    play(scenario)


@pytest.mark.parametrize(
    ("failure", "sleep", "source", "reason"),
    [(RecommenderError, 0.0, "popular", "error"), (RecommenderError, FRESH_SECONDS, "stale", "error")],
)
def test_a_degraded_answer_is_pinned_as_such(failure: type[Exception], sleep: float, source: str, reason: str) -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        if sleep:
            await ask(replica)
            await asyncio.sleep(sleep)
        replica.personalize.failure = failure
        answer = await ask(replica, send="s")
        [(pinned, _, _)] = sends.kept
        assert (pinned.outcome.source, pinned.outcome.degraded_reason) == (source, reason)
        assert pinned.item_ids == answer.shown
        # What is popular is said by the source, and not by the list.
        assert pinned.outcome.envelope is not None
        assert not read(pinned.outcome.envelope).is_popular

    play(scenario)


def test_only_a_user_in_a_send_is_looked_for_and_only_a_send_pins() -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        await ask(replica)
        await ask(replica, user_id="", send="s")
        assert sends.looked == []
        await ask(replica, rotate=1)
        assert (len(sends.looked), sends.kept) == (1, [])
        replica.catalog.change(remove=ITEMS)
        assert (await ask(replica, send="s")).shown == ()
        assert (len(sends.looked), sends.kept) == (2, [])

    play(scenario)


def test_what_is_pinned_for_as_many_items_is_shown_and_costs_nothing() -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        sends.record = SendRecord(pin(3, "item7", "item8", "item9", placement="elsewhere", because="item1"))
        for num_results in (3, 2):
            answer = await ask(replica, num_results, send="s", answer_format="object", fields=("color",))
            assert list(answer.shown) == ["item7", "item8", "item9"][:num_results]
            assert (answer.source, answer.degraded_reason, answer.recommendation_id) == (
                "stale",
                "budget",
                "RID-pinned",
            )
            assert answer.placement == "elsewhere"
        assert replica.personalize.transactions.total() == 0
        assert sends.kept == []
        # Of a pin that is too short, the first items are shown first.
        answer = await ask(replica, 4, send="s")
        assert list(answer.shown) == ["item7", "item8", "item9", LISTED[0]]
        [(pinned, before, _)] = sends.kept
        assert (pinned.asked, before) == (4, sends.record.pinned)

    play(scenario)


def test_of_a_pin_of_which_nothing_may_be_shown_any_more_the_answer_is_empty() -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        sends.record = SendRecord(pin(2, "item7", "item8"))
        answer = await ask(replica, 2, send="s", exclude=frozenset({"item7", "item8"}))
        assert (answer.shown, answer.source, answer.degraded_reason) == ((), "empty", "budget")

    play(scenario)


class Viewed(NoEvents):
    """What a user did, which is elsewhere until it is loaded."""

    def __init__(self) -> None:
        self.viewed: tuple[str, ...] = ()

    async def load(self, user_id: str, within_seconds: float) -> None:
        assert (user_id, within_seconds > 0) == ("user", True)
        self.viewed = ("item9", "item8")

    def latest(self, user_id: str, event_type: str) -> Sequence[str]:
        assert (user_id, event_type) == ("user", "View")
        return self.viewed


@pytest.mark.parametrize(("item_id", "because"), [("", "item9"), ("item5", "")])
def test_a_pin_says_because_of_which_item_it_is_if_the_users_events_named_it(item_id: str, because: str) -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        replica.arm.assembly._rules.own_events = Viewed()
        asked: dict[str, Any] = {"kind": "similar-items", "item_id": item_id, "answer_format": "object", "send": "s"}
        answer = await ask(replica, **asked)
        assert [one.item_id for one in replica.personalize.requests] == [item_id or because]
        assert (json.loads(answer.body)["because"] or {"id": ""})["id"] == because
        [(pinned, _, _)] = sends.kept
        assert pinned.because == because
        # A later part says the same, even if the user has seen something else since.
        sends.record = SendRecord(replace(pinned, because=because and "item3"))
        again = await ask(replica, **asked)
        assert (json.loads(again.body)["because"] or {"id": ""})["id"] == (because and "item3")

    similar = PlacementTerms(kind="similar-items", campaign_arn=SIMILAR, tps=100.0, item_from="View")
    play(scenario, placements={"similar": similar})


def test_what_is_pinned_is_brought_from_a_catalogue_that_is_elsewhere() -> None:
    class Elsewhere(FakeCatalog):
        fetched: tuple[str, ...] = ()

        async def prefetch(self, item_ids: Iterable[str], timeout_seconds: float) -> None:
            assert 0 < timeout_seconds < DEADLINE_SECONDS
            self.fetched = (*item_ids,)

    catalog = Elsewhere(ITEMS)

    async def scenario(replica: Replica, sends: Sends) -> None:
        sends.record = SendRecord(pin(2, "item7", "item8"))
        await ask(replica, 2, send="s")
        assert catalog.fetched[:2] == ("item7", "item8")

    play(scenario, catalog=catalog)


def test_an_answer_that_came_first_meanwhile_is_shown() -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        first, second = pin(1, "item7"), pin(3, "item7", "item8", "item9")
        sends.others = [first, second]
        answer = await ask(replica, send="s")
        assert list(answer.shown) == ["item7", "item8", "item9"]
        # The second attempt goes on from what came first.
        assert [(kept.item_ids, before) for kept, before, _ in sends.kept] == [
            (tuple(LISTED[:3]), None),
            (("item7", *LISTED[:2]), first),
        ]
        sends.kept.clear()
        # However many others are first, this one is answered; what all show first, it shows.
        sends.others = [pin(1, "item7") for _ in range(9)]
        answer = await ask(replica, send="s")
        assert (list(answer.shown), answer.source, answer.degraded_reason) == (["item7"], "stale", "budget")
        assert len(sends.kept) == module._MAX_PARTS_FIRST

    play(scenario)


def test_the_list_of_a_fallback_is_repeated_for_some_seconds_and_pinned_with_its_name() -> None:
    async def scenario(replica: Replica, sends: Sends) -> None:
        await ask(replica)
        replica.personalize.failure = RecommenderError
        query = RecommendationQuery("user", 3, kind="similar-items", item_id="item7", send="s")
        answer = await replica.answer(query)
        assert (answer.placement, answer.source) == ("for-you", "cache")
        [(pinned, _, _)] = sends.kept
        assert pinned.placement == "for-you"
        # The list goes, and the parts of a message still agree.
        replica.local.clear()
        await asyncio.sleep(PIN_SECONDS - 0.5)
        assert (await replica.answer(replace(query, send=""))).placement == "for-you"
        await asyncio.sleep(0.5)
        assert (await replica.answer(replace(query, send=""))).placement == "similar"
        # Who has nothing there either gets the popular list.
        assert (await replica.answer(replace(query, user_id="new"))).placement == "similar"
        assert sends.kept[-1][0].placement == ""

    similar = PlacementTerms(kind="similar-items", campaign_arn=SIMILAR, tps=100.0, fallback=["for-you"])
    play(scenario, placements={"for-you": PlacementTerms(campaign_arn=ARN, tps=100.0), "similar": similar})


ALL_KINDS = {
    "for-you": PlacementTerms(
        campaign_arn=ARN,
        tps=100.0,
        variants=[VariantTerms(name="none", share=0.5, popular=True), VariantTerms(name="other", share=0.2, tps=5.0)],
    ),
    "similar": PlacementTerms(kind="similar-items", campaign_arn=SIMILAR, tps=100.0),
    "both": PlacementTerms(kind="similar-items", campaign_arn=f"{SIMILAR}-2", tps=100.0, needs_user=True),
    "ranking": PlacementTerms(kind="ranking", campaign_arn=f"{ARN}-3", tps=100.0),
}


def test_keys_made_for_many_users_are_those_of_each() -> None:
    async def scenario(replica: Replica, _: Sends) -> None:
        for placement in replica.wired.placements:
            for query in (
                RecommendationQuery("ann", 3, kind=placement.kind),
                RecommendationQuery("", 3, kind=placement.kind, item_id="item1", item_ids=("item1", "item2")),
                RecommendationQuery("ann", 3, kind=placement.kind, item_id="item1", item_ids=("item1", "item2")),
            ):
                for arm in placement.arms:
                    key_of = arm.maker_of_keys(query)
                    for user_id in ("bob", "eve") if query.user_id else ("",):
                        assert key_of(user_id) == arm.key_of(replace(query, user_id=user_id)), (placement.name, query)

    play(scenario, placements=ALL_KINDS)


def test_more_is_fetched_for_answers_in_which_something_gives_way_to_what_was_shown() -> None:
    async def scenario(replica: Replica, _: Sends) -> None:
        await ask(replica, 20, "ann", rotate=2)
        await ask(replica, 20, "bob")
        # A larger question is reckoned with for a while.
        assert [request.num_results for request in replica.personalize.requests] == [60, 60]

    play(scenario)


@pytest.mark.parametrize(
    ("kind", "placement", "words", "public"),
    [
        ("recommendations", "nope", "no placement 'nope' of kind recommendations; there are: for-you", "no such"),
        (
            "similar-items",
            "for-you",
            "no placement 'for-you' of kind similar-items; there are: both, similar",
            "no such",
        ),
        ("ranking", "", "no placement of kind ranking is configured", ""),
        ("ranking", "for-you", "no placement 'for-you' of kind ranking; there are: none", "no such"),
    ],
)
def test_a_placement_that_there_is_not_is_refused_with_those_that_there_are(
    kind: RequestKind,
    placement: str,
    words: str,
    public: str,
) -> None:
    async def scenario(replica: Replica, _: Sends) -> None:
        with pytest.raises(InvalidQuery) as refused:
            replica.wired.placements.of(RecommendationQuery("ann", 1, kind=kind, placement=placement))
        assert words in str(refused.value)
        assert public in str(refused.value.__dict__)
        found = replica.wired.placements.of(RecommendationQuery("ann", 1, kind="similar-items"))
        assert found.name == "both"

    names = {"for-you": ALL_KINDS["for-you"], "both": ALL_KINDS["both"], "similar": ALL_KINDS["similar"]}
    play(scenario, placements=names)


def test_a_user_in_no_variant_is_in_the_placements_own_arm() -> None:
    async def scenario(replica: Replica, _: Sends) -> None:
        placement = replica.placement
        assert [arm.assembly.variant for arm in placement.arms] == ["control", "none", "other"]
        places = [placement.place_of_arm(one) for one in ITEMS]
        assert {place: places.count(place) / 200 for place in (0, 1, 2)} == pytest.approx(
            {0: 0.3, 1: 0.5, 2: 0.2}, abs=0.1
        )
        assert placement.place_of_arm("") == 0
        assert placement.arm_of(RecommendationQuery(ITEMS[0], 1)) is placement.arms[places[0]]

    play(scenario, placements=ALL_KINDS)
