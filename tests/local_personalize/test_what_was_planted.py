"""What training finds in data whose rules are known: trails within a category, and what newcomers come to."""

import random
from pathlib import Path

import numpy as np
import pytest

from service.local_personalize.training.log import History, make_log
from service.local_personalize.training.metrics import top
from service.local_personalize.training.model import Model, load_model, save_model
from service.local_personalize.training.split import split
from service.local_personalize.training.trainer import Choice, Wanted, choose, fit

pytestmark = pytest.mark.long

_DAY = 86_400
_CATEGORIES = ("tea", "mugs", "books")

_Rows = list[tuple[str, str, int, float]]


def _followers(item: str) -> list[str]:
    """What users go on to after they began with the item: three others of its category."""
    kind, number = item[:-2], int(item[-2:])
    return [f"{kind}{(number * 7 + step) % 30:02}" for step in (5, 11, 17)]


def _shop() -> tuple[dict[str, dict[str, str]], _Rows]:
    chance = random.Random(5)
    items = {f"{kind}{number:02}": {"CATEGORY": kind} for kind in _CATEGORIES for number in range(30)}
    rows: _Rows = []
    for person in range(400):
        days = iter(range(1, 100))
        for kind in chance.sample(_CATEGORIES, 2):
            begun = f"{kind}{chance.randrange(30):02}"
            for item in (begun, *chance.sample(_followers(begun), 2)):
                rows.append((f"user{person}", item, next(days) * _DAY, 1.0))
    return items, rows


def _history(model: Model, *items: str) -> History:
    numbers = np.array([model.numbers[item] for item in items])
    times = np.arange(1, len(items) + 1) * _DAY
    return History(numbers, times, times, np.ones(len(items)))


def _trained(items: dict[str, dict[str, str]], rows: _Rows) -> tuple[Model, Choice]:
    log = make_log(rows, items)
    wanted = Wanted(family="users", items=items, taste_columns=["CATEGORY"])
    choice = choose(wanted, split(log))
    return fit(wanted, log, choice), choice


def test_a_list_leads_with_what_others_went_on_to_after_the_same_beginning(tmp_path: Path) -> None:
    items, rows = _shop()
    trained, choice = _trained(items, rows)
    save_model(trained, tmp_path, {})
    model, _ = load_model(tmp_path)

    assert choice.trail_column == "CATEGORY"
    for begun in ("tea03", "mugs14", "books29"):
        first, *others = sorted(_followers(begun))
        # The item between belongs to the trails of other beginnings too.
        best = top(model.for_user(_history(model, begun, first)), 2)
        assert sorted(model.item_ids[place] for place in best) == others


def test_no_trail_is_taken_where_beginnings_say_nothing() -> None:
    chance = random.Random(5)
    items, rows = _shop()
    names = sorted(items)
    aimless = [(user, chance.choice(names), time, weight) for user, _, time, weight in rows]

    assert _trained(items, aimless)[1].trail_column == ""


def test_an_unknown_user_gets_what_newcomers_come_to() -> None:
    items, rows = _shop()
    kiosk = [f"kiosk{number}" for number in range(10)]
    for person in range(160):
        rows += [(f"passer-by{person}", kiosk[person % 10], time * _DAY, 1.0) for time in range(1, 6)]

    model, choice = _trained({**items, **{item: {"CATEGORY": "kiosk"} for item in kiosk}}, rows)

    assert choice.is_by_interactions
    assert sorted(model.item_ids[place] for place in top(model.popularity, 10)) == kiosk
