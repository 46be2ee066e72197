from pathlib import Path

import pytest
from click.testing import CliRunner

from service.local_personalize.data import Dataset, Interaction, read_dataset
from service.local_personalize.evaluate import hold_out_last_items, main, measure
from service.local_personalize.learn import learn
from tests.support.processes import RETAIL

pytestmark = pytest.mark.long


def test_the_last_item_leaves_its_own_users_history_altogether() -> None:
    histories = {
        "ann": [Interaction("a", 1, ""), Interaction("b", 2, ""), Interaction("a", 3, "")],
        "bob": [Interaction("a", 1, ""), Interaction("b", 2, "")],
        "once": [Interaction("a", 1, "")],
    }

    held_out = hold_out_last_items(Dataset(histories=histories, items={}, users={}))

    assert held_out.last_items == {"ann": "a", "bob": "b", "once": "a"}
    assert held_out.training.histories == {
        "ann": [Interaction("b", 2, "")],
        "bob": [Interaction("a", 1, "")],
    }


def test_a_hit_counts_once_and_gains_less_the_lower_it_stands() -> None:
    last_items = {"first": "a", "third": "c", "missed": "z", "eleventh": "k"}

    quality = measure(last_items, last_items, lambda _: list("abcdefghijk"))

    assert quality.hit_rate == 0.5
    assert quality.ndcg == pytest.approx((1 + 0.5) / 4)


def test_the_script_prints_both_lists(shop: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(shop)])

    assert result.exit_code == 0
    assert "personalised" in result.output
    assert "popular (most users)" in result.output
    assert "peak memory" in result.output


def test_the_script_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path)])

    assert result.exit_code == 1
    assert result.output.count("\n") == 1


@pytest.mark.skipif(not RETAIL.is_dir(), reason="the retail data set is not beside the repository")
def test_retail_users_with_a_history_left_are_hit_five_times_as_often_as_by_the_popular_list() -> None:
    held_out = hold_out_last_items(read_dataset(RETAIL))
    model = learn(held_out.training)
    popular = [item.item_id for item in model.popular(count=10)]
    users = held_out.training.histories

    ours = measure(held_out.last_items, users, lambda user: [item.item_id for item in model.recommend(user, count=10)])
    theirs = measure(held_out.last_items, users, lambda _: popular)

    assert ours.hit_rate > 0.25
    assert ours.hit_rate >= 5 * theirs.hit_rate
    assert ours.ndcg >= 5 * theirs.ndcg
