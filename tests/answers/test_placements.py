"""Similar items, ranking, variants, fallbacks and rules, through the placements that the wiring builds."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from service.errors import RecommenderError
from service.lists.envelope import seal
from service.lists.ports import Outcome
from service.models import ItemList, RecommendationQuery
from service.settings.placements import PinTerms, PlacementTerms, PromotionTerms, VariantTerms
from tests.support.fakes import HANG, FakeCatalog
from tests.support.replica import ARN, DEADLINE_SECONDS, FRESH_SECONDS, ITEMS, Replica, ids_of, open_replica
from tests.support.virtual_time import run_virtual

SIMILAR = "arn:aws:personalize:us-east-1:000000000000:campaign/similar"
RANKING = "arn:aws:personalize:us-east-1:000000000000:campaign/ranking"
OTHER = "arn:aws:personalize:us-east-1:000000000000:campaign/other"
FILTER = "arn:aws:personalize:us-east-1:000000000000:filter/some"


def similar(item_id: str, user_id: str = "", **more: Any) -> RecommendationQuery:  # noqa: ANN401  # keywords of the value
    return RecommendationQuery(user_id, 10, kind="similar-items", item_id=item_id, **more)


def ranking(user_id: str, *item_ids: str, **more: Any) -> RecommendationQuery:  # noqa: ANN401  # keywords of the value
    return RecommendationQuery(user_id, len(item_ids), kind="ranking", item_ids=item_ids, **more)


def terms(**more: Any) -> dict[str, PlacementTerms]:  # noqa: ANN401  # keywords of the value
    return {
        "for-you": PlacementTerms(campaign_arn=ARN, tps=100.0),
        "similar": PlacementTerms(**{"kind": "similar-items", "campaign_arn": SIMILAR, "tps": 2.0, **more}),
    }


def test_a_thousand_callers_of_one_item_cost_one_transaction_and_keep_their_own_exclusions() -> None:
    async def run() -> None:
        async with open_replica(placements=terms()) as replica:
            queries = [similar("item7", f"user{n}", exclude=frozenset({ITEMS[n % 50]})) for n in range(1_000)]
            answers = await asyncio.gather(*(replica.answer(query) for query in queries))
            assert replica.personalize.transactions.total() == 1
            for number, answer in enumerate(answers):
                ids = ids_of(answer)
                assert len(ids) == 10
                assert "item7" not in ids
                assert ITEMS[number % 50] not in ids

    run_virtual(run())


def test_where_the_campaign_needs_the_user_each_pair_has_a_list_of_its_own() -> None:
    async def run() -> None:
        async with open_replica(placements=terms(needs_user=True, tps=50.0)) as replica:
            for user in ("ann", "bob", "ann"):
                await replica.answer(similar("item7", user))
            await replica.answer(similar("item8", "ann"))
            assert [(one.user_id, one.item_id) for one in replica.personalize.requests] == [
                ("ann", "item7"),
                ("bob", "item7"),
                ("ann", "item8"),
            ]
            assert (await replica.answer(similar("item7"))).degraded_reason == "no_user"

    run_virtual(run())


def test_a_fallbacks_kept_list_is_shown_before_the_popular_one_at_no_transaction() -> None:
    async def run() -> None:
        async with open_replica(placements=terms(fallback=["for-you"])) as replica:
            await replica.ask("ann")
            spent = replica.personalize.transactions.total()
            replica.personalize.failure = RecommenderError
            answer = await replica.answer(similar("item7", "ann", answer_format="object"))
            assert (answer.source, answer.placement, answer.degraded_reason) == ("cache", "for-you", "error")
            assert json.loads(answer.body)["placement"] == "for-you"
            assert (await replica.answer(similar("item7", "stranger"))).placement == "similar"
            assert replica.personalize.transactions.total() <= spent + 2

    run_virtual(run())


def test_a_fallbacks_list_is_shown_neither_before_a_stale_one_nor_to_a_holdout() -> None:
    async def run() -> None:
        holdout = [VariantTerms(name="holdout", share=0.5, popular=True)]
        async with open_replica(placements=terms(fallback=["for-you"], tps=100.0, variants=holdout)) as replica:
            shown = set()
            for user in ("ann", "bob", "eve", "joe"):
                await replica.ask(user)
                await replica.answer(similar("item7", user))
            await asyncio.sleep(FRESH_SECONDS + 1)
            replica.personalize.failure = RecommenderError
            for user in ("ann", "bob", "eve", "joe"):
                answer = await replica.answer(similar("item7", user))
                shown.add((answer.variant, answer.placement, answer.source, answer.degraded_reason))
            assert shown == {("control", "similar", "stale", "error"), ("holdout", "similar", "popular", None)}

    run_virtual(run())


def test_a_ranking_holds_the_given_items_in_personalizes_order_and_costs_one_transaction() -> None:
    async def run() -> None:
        placements = {"ranking": PlacementTerms(kind="ranking", campaign_arn=RANKING, tps=5.0)}
        given = [f"item{number}" for number in range(500)]
        async with open_replica(placements=placements, catalog=FakeCatalog(given)) as replica:
            order = tuple(reversed(given[5:]))
            replica.personalize.lists["ann"] = order
            answers = await asyncio.gather(*(replica.answer(ranking("ann", *given)) for _ in range(3)))
            for answer in answers:
                # What Personalize leaves out follows at the end in the order given.
                assert ids_of(answer) == [*order, *given[:5]]
            assert replica.personalize.transactions.total() == 1
            assert ids_of(await replica.answer(ranking("ann", *reversed(given)))) == [*order, *reversed(given[:5])]
            assert replica.personalize.transactions.total() == 1
            # Personalize hangs: the order given, before the deadline.
            replica.personalize.failure = HANG
            began = replica.clock.monotonic()
            late = await replica.answer(ranking("bob", *given))
            assert (late.source, late.degraded_reason, ids_of(late)) == ("unranked", "timeout", given)
            assert replica.clock.monotonic() - began <= DEADLINE_SECONDS

    run_virtual(run())


def test_a_ranking_that_cannot_be_had_is_the_order_given() -> None:
    async def run() -> None:
        placements = {"ranking": PlacementTerms(kind="ranking", campaign_arn=RANKING, tps=5.0)}
        async with open_replica(placements=placements) as replica:
            replica.personalize.failure = RecommenderError
            answer = await replica.answer(
                ranking("ann", "item3", "gone", "item1", "item2", exclude=frozenset({"item1"}))
            )
            assert (answer.source, answer.degraded_reason) == ("unranked", "error")
            assert ids_of(answer) == ["item3", "item2"]
            assert (await replica.answer(ranking("", "item3", "item1"))).degraded_reason == "no_user"

    run_virtual(run())


def test_a_share_that_grows_moves_only_users_of_the_placements_own_arm() -> None:
    async def arms(share: float) -> dict[str, str]:
        variants = [
            VariantTerms(name="v2", share=share, campaign_arn=OTHER, tps=1000.0),
            VariantTerms(name="holdout", share=0.1, popular=True),
        ]
        placements = {"for-you": PlacementTerms(campaign_arn=ARN, tps=1000.0, variants=variants)}
        async with open_replica(placements=placements) as replica:
            found = {}
            for number in range(5_000):
                query = RecommendationQuery(f"user{number}", 5)
                arm = replica.placement.arm_of(query)
                found[query.user_id] = ("control", "v2", "holdout")[replica.placement.arms.index(arm)]
            return found

    async def run() -> None:
        before, after = await arms(0.2), await arms(0.3)
        moved = {user for user in before if before[user] != after[user]}
        assert len(moved) / len(before) == pytest.approx(0.1, abs=0.01)
        assert {before[user] for user in moved} == {"control"}

    run_virtual(run())


def test_a_holdout_gets_the_popular_list_at_no_transaction_and_says_so() -> None:
    async def run() -> None:
        variants = [VariantTerms(name="holdout", share=1.0, popular=True)]
        placements = {"for-you": PlacementTerms(campaign_arn=ARN, variants=variants)}
        async with open_replica(placements=placements) as replica:
            answer = await replica.ask("ann")
            assert (answer.source, answer.variant, answer.degraded_reason) == ("popular", "holdout", None)
            assert not replica.personalize.transactions
            # Nobody is in a holdout who cannot be recognised.
            assert (await replica.answer(RecommendationQuery("", 10))).variant == "control"

    run_virtual(run())


def test_each_arm_has_lists_of_its_own() -> None:
    async def run() -> None:
        variants = [VariantTerms(name="v2", share=0.5, campaign_arn=OTHER, tps=100.0)]
        placements = {"for-you": PlacementTerms(campaign_arn=ARN, tps=100.0, variants=variants)}
        async with open_replica(placements=placements) as replica:
            seen = Counter([(await replica.ask(f"user{n}")).variant for n in range(40)])
            assert set(seen) == {"v2", "control"}
            assert len(replica.wired.budgets) == 2

    run_virtual(run())


def test_context_and_promotion_go_to_personalize_and_make_a_list_of_their_own() -> None:
    async def run() -> None:
        promotion = PromotionTerms(name="sale", percent=20, filter_arn=FILTER)
        placements = {
            "for-you": PlacementTerms(
                campaign_arn=ARN,
                tps=100.0,
                context={"DEVICE": "email"},
                context_names=["SEASON"],
                promotion=promotion,
            )
        }
        async with open_replica(placements=placements) as replica:
            for season in ("winter", "summer", "winter"):
                query = RecommendationQuery("ann", 10, context=(("OTHER", "x"), ("SEASON", season)))
                await replica.answer(query)
            contexts = [one.context for one in replica.personalize.requests]
            assert contexts == [
                (("DEVICE", "email"), ("SEASON", "winter")),
                (("DEVICE", "email"), ("SEASON", "summer")),
            ]
            assert {one.promotion.name for one in replica.personalize.requests if one.promotion} == {"sale"}

    run_virtual(run())


@pytest.mark.parametrize(("filter_arn", "sent"), [(FILTER, ("x", "y")), (None, ())])
def test_filter_values_make_lists_of_their_own_where_personalize_filters(
    filter_arn: str | None, sent: tuple[str, ...]
) -> None:
    async def run() -> None:
        placements = {"for-you": PlacementTerms(campaign_arn=ARN, tps=100.0, filter_arn=filter_arn)}
        async with open_replica(placements=placements) as replica:
            for value in ("x", "y", "x"):
                await replica.answer(RecommendationQuery("ann", 10, filter_values=(("KIND", value),)))
            requests = replica.personalize.requests
            assert [one.filter_values for one in requests] == [(("KIND", value),) for value in sent] or [()]
            assert len(requests) == max(len(sent), 1)

    run_virtual(run())


def test_promoted_items_are_marked_where_a_template_asks() -> None:
    async def run() -> None:
        async with open_replica() as replica:
            arm = replica.arm
            query = RecommendationQuery("ann", 3, fields=("promoted",))
            key = arm.key_of(query)
            assert key is not None
            kept = seal(ItemList(("item1", "item2", "item3"), "RID", replica.clock.time(), frozenset({"item2"})))
            arm.lists.keep(key, Outcome(kept, "personalize"))
            items = json.loads((await replica.answer(query)).body)
            assert [(one["id"], one["promoted"]) for one in items] == [
                ("item1", False),
                ("item2", True),
                ("item3", False),
            ]
            # What we exclude is not shown, promoted or not.
            without = await replica.answer(replace(query, exclude=frozenset({"item2"})))
            assert [(one["id"], one["promoted"]) for one in json.loads(without.body)][:2] == [
                ("item1", False),
                ("item3", False),
            ]

    run_virtual(run())


async def _shown(replica: Replica, **more: Any) -> list[str]:  # noqa: ANN401  # keywords of the value
    return ids_of(await replica.answer(RecommendationQuery("ann", 10, **more)))


def test_pins_stand_at_their_slots_unless_they_may_not_be_shown() -> None:
    async def run() -> None:
        pins = [PinTerms(item="item150", slot=1), PinTerms(item="item151", slot=3), PinTerms(item="gone", slot=5)]
        placements = {"for-you": PlacementTerms(campaign_arn=ARN, tps=100.0, pin=pins)}
        async with open_replica(placements=placements) as replica:
            shown = await _shown(replica)
            assert (shown[0], shown[2], len(set(shown))) == ("item150", "item151", 10)
            assert "item150" not in await _shown(replica, exclude=frozenset({"item150"}))
            await replica.blocked.block("item151")
            assert "item151" not in await _shown(replica)

    run_virtual(run())


def test_items_without_top_up_are_fewer_and_the_answer_says_short() -> None:
    """G2: a filter in Personalize left eight of the ten items asked for."""

    async def run() -> None:
        placements = {"for-you": PlacementTerms(campaign_arn=ARN, tps=100.0, filter_arn=FILTER)}
        async with open_replica(placements=placements) as replica:
            replica.personalize.lists["ann"] = ITEMS[:8]
            answer = await replica.answer(RecommendationQuery("ann", 10))
            assert (answer.source, answer.degraded_reason, len(ids_of(answer))) == ("personalize", "short", 8)
        async with open_replica() as replica:
            replica.personalize.lists["ann"] = ITEMS[:8]
            answer = await replica.answer(RecommendationQuery("ann", 10, answer_format="object"))
            assert json.loads(answer.body)["topped_up"] == 2
            assert answer.degraded_reason is None

    run_virtual(run())


def test_a_catalogue_that_runs_out_is_short() -> None:
    async def run() -> None:
        async with open_replica(catalog=FakeCatalog(ITEMS[:4])) as replica:
            replica.personalize.lists["ann"] = ITEMS[:4]
            answer = await replica.answer(RecommendationQuery("ann", 10))
            assert (answer.degraded_reason, len(ids_of(answer))) == ("short", 4)

    run_virtual(run())
