"""What the local Personalize's trained models are worth on a real shop, beside popularity.

    python -m bench.local_models --data DIR

Each user's last item is held out: all its occurrences leave that user's history before anything is learned. A ranking
gets the held-out item among 49 others drawn at random. Exit status 1 when a promise is not kept.
"""

import argparse
import csv
import json
import math
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.local_personalize.data import Dataset, read_dataset
from service.local_personalize.evaluate import HeldOut, hold_out_last_items
from service.local_personalize.serving.lists import TrainedLists
from service.local_personalize.work.trainings import train

LENGTH = 10
CANDIDATES = 50
LEAST_HIT_RATE = 0.30
LEAST_GAIN = 4.0
"""How many times popularity's NDCG@10 the personal one must be, whether popularity counts users or interactions."""

RECIPES = (
    "aws-user-personalization",
    "aws-personalized-ranking",
    "aws-similar-items",
    "aws-sims",
    "aws-popularity-count",
)
COLUMNS = ("CATEGORY", "STYLE", "GENDER_AFFINITY")
"""Categorical columns of the retail data's items."""


@dataclass(frozen=True)
class Worth:
    """Means over users, between 0 and 1."""

    hit_rate: float
    ndcg: float


def main() -> None:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    held_out, models = trained(parser.parse_args().data, RECIPES)
    sys.exit(0 if _judge(held_out, models) else 1)


def trained(data: Path, recipes: Iterable[str]) -> tuple[HeldOut, dict[str, TrainedLists]]:
    """The data without each user's last item, and the models that learned from them."""
    held_out = hold_out_last_items(read_dataset(data))
    with tempfile.TemporaryDirectory() as folder:
        group = _written(held_out.training, Path(folder))
        return held_out, {recipe: _trained(recipe, group, Path(folder)) for recipe in recipes}


def worth_of_popularity(held_out: HeldOut) -> dict[str, Worth]:
    """What the popular list is worth, by what it counts, and whether it leaves out what its user already had.

    What a user had is never the answer here, so a list without it has the better chances.
    """
    histories = held_out.training.histories
    users = Counter(item for rows in histories.values() for item in {row.item_id for row in rows})
    interactions = Counter(row.item_id for rows in histories.values() for row in rows)
    found = {}
    for name, counts in (("by users", users), ("by interactions", interactions)):
        lists = _PopularLists(held_out, counts)
        found[name] = _worth(held_out.last_items, held_out.last_items, lists.for_anybody)
        found[f"{name}, without own items"] = _worth(held_out.last_items, held_out.last_items, lists.without_own)
    return found


class _PopularLists:
    """Items by how often they were counted, equal ones by their ids."""

    def __init__(self, held_out: HeldOut, counts: Counter[str]) -> None:
        self._histories = held_out.training.histories
        self._items = sorted(counts, key=lambda item: (-counts[item], item))[:100]

    def for_anybody(self, _: str) -> list[str]:
        return self._items

    def without_own(self, user: str) -> list[str]:
        own = {row.item_id for row in self._histories.get(user, ())}
        return [item for item in self._items if item not in own]


def worth_of_users(lists: TrainedLists, held_out: HeldOut) -> Worth:
    """What the lists of all users are worth."""

    def list_for(user: str) -> list[str]:
        return [one.item_id for one in lists.for_user(user, held_out.training, count=LENGTH)]

    return _worth(held_out.last_items, list(held_out.last_items), list_for)


def _judge(held_out: HeldOut, models: dict[str, TrainedLists]) -> bool:
    data, wanted = held_out.training, held_out.last_items
    popular = models["aws-popularity-count"]
    latest = {user: data.histories[user][-1].item_id for user in wanted if user in data.histories}

    def for_user(lists: TrainedLists) -> Callable[[str], list[str]]:
        return lambda user: [one.item_id for one in lists.for_user(user, data, count=LENGTH)]

    def near(lists: TrainedLists) -> Callable[[str], list[str]]:
        return lambda user: [one.item_id for one in lists.for_item(latest[user], count=LENGTH)]

    def ranked(lists: TrainedLists) -> Callable[[str], list[str]]:
        items = sorted(data.items)

        def of(user: str) -> list[str]:
            chance = random.Random(user)
            given = [wanted[user], *chance.sample(items, CANDIDATES - 1)]
            chance.shuffle(given)
            return [one.item_id for one in lists.ranking(user, given, data)]

        return of

    related, rankings = models["aws-similar-items"], models["aws-personalized-ranking"]
    with_history = list(latest)
    personal = _shown("user personalization", worth_of_users(models["aws-user-personalization"], held_out))
    baselines = {name: _shown(f"  popularity {name}", one) for name, one in worth_of_popularity(held_out).items()}
    for name, baseline in baselines.items():
        print(f"  NDCG@{LENGTH} is {personal.ndcg / baseline.ndcg:.2f} x popularity {name}")
    similar = _shown("similar items", _worth(wanted, with_history, near(related)))
    _shown("  SIMS", _worth(wanted, with_history, near(models["aws-sims"])))
    similar_baseline = _shown("  popularity", _worth(wanted, with_history, for_user(popular)))
    ranking = _shown(f"ranking of {CANDIDATES}", _worth(wanted, with_history, ranked(rankings)))
    ranking_baseline = _shown("  popularity", _worth(wanted, with_history, ranked(popular)))
    return (
        personal.hit_rate >= LEAST_HIT_RATE
        and all(personal.ndcg >= LEAST_GAIN * baseline.ndcg for baseline in baselines.values())
        and similar.ndcg > similar_baseline.ndcg
        and ranking.ndcg > ranking_baseline.ndcg
    )


def _shown(name: str, worth: Worth) -> Worth:
    print(f"{name:48} hit rate@{LENGTH} {worth.hit_rate:.4f}  NDCG@{LENGTH} {worth.ndcg:.4f}")
    return worth


def _worth(wanted: dict[str, str], users: Iterable[str], list_for: Callable[[str], list[str]]) -> Worth:
    gains = []
    for user in users:
        items = list_for(user)[:LENGTH]
        gains.append(1 / math.log2(items.index(wanted[user]) + 2) if wanted[user] in items else 0.0)
    count = max(1, len(gains))
    return Worth(sum(gain > 0 for gain in gains) / count, sum(gains) / count)


def _trained(recipe: str, group: dict[str, Any], folder: Path) -> TrainedLists:
    begun = time.process_time()
    directory = folder / recipe
    directory.mkdir()
    result = train({"recipe": recipe, "config": {}, "performHPO": False, "now": 0, **group}, directory)
    metrics = " ".join(f"{name}={value}" for name, value in result["metrics"].items() if "25" in name)
    print(f"{recipe}: {time.process_time() - begun:.1f} s of CPU; {metrics}")
    return TrainedLists.load(Path(result["model"]))


def _written(data: Dataset, folder: Path) -> dict[str, Any]:
    """The data as an import would have left them."""
    interactions, items = folder / "interactions.csv", folder / "items.csv"
    with interactions.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"])
        for user, history in data.histories.items():
            writer.writerows([user, one.item_id, one.timestamp, one.event_type] for one in history)
    with items.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ITEM_ID", *COLUMNS])
        writer.writerows([item, *(row.get(name, "") for name in COLUMNS)] for item, row in data.items.items())
    fields = [{"name": name, "type": ["string", "null"], "categorical": True} for name in COLUMNS]
    schema = {"type": "record", "name": "Items", "fields": [{"name": "ITEM_ID", "type": "string"}, *fields]}
    return {
        "datasets": {
            "INTERACTIONS": {"files": [str(interactions)], "schema": ""},
            "ITEMS": {"files": [str(items)], "schema": json.dumps(schema)},
        },
        "put": str(folder / "put"),
    }


if __name__ == "__main__":
    main()
