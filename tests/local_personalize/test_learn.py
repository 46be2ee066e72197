import math

from hypothesis import given
from hypothesis import strategies as st

from service.local_personalize.data import Dataset, Interaction
from service.local_personalize.learn import CoVisitationModel, ScoredItem, learn

DAY = 86_400

histories = st.dictionaries(
    st.sampled_from(["ann", "bob", "cy", "di"]),
    st.lists(
        st.builds(
            Interaction,
            item_id=st.sampled_from("abcdefgh"),
            timestamp=st.integers(0, 2_000 * DAY),
            event_type=st.just("View"),
        ),
        min_size=1,
        max_size=12,
    ).map(lambda rows: sorted(rows, key=lambda row: row.timestamp)),
    min_size=1,
)


def dataset(**visits: list[tuple[str, int]]) -> Dataset:
    """Visits as (item, day)."""
    return Dataset(
        histories={user: [Interaction(item, day * DAY, "View") for item, day in rows] for user, rows in visits.items()},
        items={},
        users={},
    )


def ids(items: list[ScoredItem]) -> list[str]:
    return [item.item_id for item in items]


def test_each_taste_gets_its_own_list(model: CoVisitationModel) -> None:
    # Each user has missed exactly one thing of their kind.
    assert model.recommend("camper0", count=1)[0].item_id == "tent"
    assert model.recommend("camper3", count=1)[0].item_id == "rope"
    assert model.recommend("cook1", count=1)[0].item_id == "pan"


def test_seen_items_come_back_behind_the_new_one(model: CoVisitationModel) -> None:
    found = ids(model.recommend("camper0", count=10))

    for seen in ("mug", "stove", "lamp", "rope"):
        assert found.index("tent") < found.index(seen) < found.index("dusty")


def test_the_whole_catalogue_can_be_had_and_an_item_nobody_visited_comes_last(
    model: CoVisitationModel,
) -> None:
    found = ids(model.recommend("camper0", count=500))

    assert len(found) == model.item_count == 10
    assert len(set(found)) == 10
    assert found[-1] == "dusty"


def test_an_unknown_user_gets_the_popular_list(model: CoVisitationModel) -> None:
    assert model.recommend("stranger", count=4) == model.popular(count=4)


def test_popular_counts_users_not_visits_and_ties_go_to_the_lower_id() -> None:
    model = learn(dataset(ann=[("loop", 1)] * 40 + [("b", 2), ("a", 2)], bob=[("b", 1), ("a", 2)]))

    assert ids(model.popular(count=3)) == ["a", "b", "loop"]


def test_the_closer_in_time_two_visits_are_the_nearer_the_items() -> None:
    model = learn(dataset(ann=[("far", 0), ("tent", 400), ("near", 401)]))

    assert ids(model.similar("tent", count=2)) == ["near", "far"]


def test_the_latest_visits_weigh_most() -> None:
    others: dict[str, list[tuple[str, int]]] = {
        "bob": [("pot", 0), ("pan", 1)],
        "cy": [("tent", 0), ("stove", 1)],
    }
    cook = learn(dataset(ann=[("tent", 0), ("pot", 700)], **others))
    camper = learn(dataset(ann=[("pot", 0), ("tent", 700)], **others))

    assert cook.recommend("ann", count=1)[0].item_id == "pan"
    assert camper.recommend("ann", count=1)[0].item_id == "stove"


def test_similar_items_have_no_scores_and_never_name_the_item_itself(model: CoVisitationModel) -> None:
    similar = model.similar("tent", count=500)

    assert set(ids(similar[:4])) == {"stove", "lamp", "rope", "mug"}
    assert "tent" not in ids(similar)
    assert len(similar) == model.item_count - 1
    assert all(item.score is None for item in similar)


def test_an_unknown_item_is_answered_with_popular_items(model: CoVisitationModel) -> None:
    assert model.similar("nothing", count=3) == model.popular(count=3)


def test_a_ranking_returns_all_it_was_given_once_and_the_unknown_last(model: CoVisitationModel) -> None:
    ranked = model.rank("camper0", ["nothing", "dusty", "pot", "tent", "pot"])

    assert ids(ranked) == ["tent", "pot", "dusty", "nothing"]
    assert ranked[-1].score == 0


def test_a_ranking_for_an_unknown_user_goes_by_popularity(model: CoVisitationModel) -> None:
    assert ids(model.rank("stranger", ["dusty", "tent", "mug"])) == ["mug", "tent", "dusty"]


def test_a_ranking_of_nothing_known_is_in_the_order_of_the_ids(model: CoVisitationModel) -> None:
    assert model.rank("camper0", ["y", "x"]) == [ScoredItem("x", 0.0), ScoredItem("y", 0.0)]


def test_a_user_whose_only_item_has_no_neighbours_is_still_answered() -> None:
    model = learn(dataset(ann=[("lonely", 1)], bob=[("b", 1), ("a", 1)]))

    assert set(ids(model.recommend("ann", count=9))) == {"a", "b", "lonely"}


@given(histories)
def test_the_scores_of_a_known_user_fall_and_sum_to_one_over_the_catalogue(
    visits: dict[str, list[Interaction]],
) -> None:
    model = learn(Dataset(histories=visits, items={"never": {}}, users={}))
    for user in visits:
        scores = [item.score or 0.0 for item in model.recommend(user, count=500)]
        assert len(scores) == model.item_count
        assert math.isclose(sum(scores), 1)
        assert scores == sorted(scores, reverse=True)
        assert min(scores) > 0


@given(histories, st.integers(1, 9))
def test_a_shorter_list_is_the_head_of_a_longer_one(visits: dict[str, list[Interaction]], count: int) -> None:
    model = learn(Dataset(histories=visits, items={}, users={}))
    for user in (*visits, "stranger"):
        assert model.recommend(user, count=count) == model.recommend(user, count=500)[:count]


@given(histories)
def test_ranking_the_whole_catalogue_agrees_with_recommending_it(
    visits: dict[str, list[Interaction]],
) -> None:
    model = learn(Dataset(histories=visits, items={}, users={}))
    for user in visits:
        recommended = model.recommend(user, count=500)
        ranked = model.rank(user, reversed(ids(recommended)))
        for ours, theirs in zip(recommended, ranked, strict=True):
            assert math.isclose(ours.score or 0, theirs.score or 0)


@given(histories)
def test_the_same_data_gives_the_same_lists(visits: dict[str, list[Interaction]]) -> None:
    data = Dataset(histories=visits, items={}, users={})
    first, second = learn(data), learn(data)
    for user in visits:
        assert first.recommend(user, count=9) == second.recommend(user, count=9)
