"""How much better the personalised lists are than the popular one.

    python -m service.local_personalize.evaluate --data DIR

Each user's last item is held out: all its occurrences leave that user's history before the model
learns. A list of ten scores a hit when the held-out item is in it. Users whose whole history was that
one item are left with nothing to personalise by, so the figures are given by what remains.
"""

import math
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from service.local_personalize.data import Dataset, read_dataset
from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.learn import learn

_LIST_LENGTH = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """A dataset without each user's last item."""

    training: Dataset
    """Users with nothing left are not in it."""
    last_items: dict[str, str]
    """The item each user must be recommended, by user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """Means over users, between 0 and 1."""

    hit_rate: float
    ndcg: float
    """1 / log2(rank + 1) of the held-out item, 0 where it is not in the list."""


def hold_out_last_items(dataset: Dataset) -> HeldOut:
    """Takes the item of each user's latest interaction out of that user's history."""
    last_items = {user_id: history[-1].item_id for user_id, history in dataset.histories.items()}
    remaining = {
        user_id: [row for row in history if row.item_id != last_items[user_id]]
        for user_id, history in dataset.histories.items()
    }
    training = replace(dataset, histories={user_id: history for user_id, history in remaining.items() if history})
    return HeldOut(training=training, last_items=last_items)


def measure(last_items: dict[str, str], user_ids: Iterable[str], list_for: Callable[[str], list[str]]) -> Quality:
    """The quality of `list_for` over these users; of no users at all, zero."""
    gains: list[float] = []
    for user_id in user_ids:
        items, wanted = list_for(user_id)[:_LIST_LENGTH], last_items[user_id]
        gains.append(1 / math.log2(items.index(wanted) + 2) if wanted in items else 0.0)
    users = max(1, len(gains))
    return Quality(hit_rate=sum(gain > 0 for gain in gains) / users, ndcg=sum(gains) / users)


def most_interacted(dataset: Dataset) -> list[str]:
    """The items with the most interactions: the other common reading of "popular"."""
    counts = Counter(row.item_id for history in dataset.histories.values() for row in history)
    return sorted(counts, key=lambda item_id: (-counts[item_id], item_id))[:_LIST_LENGTH]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Directory of interactions.csv.")
def main(data: Path) -> None:
    """Print hit rate@10 and NDCG@10 of personalised and popular lists."""
    started = time.perf_counter()
    try:
        held_out = hold_out_last_items(read_dataset(data))
    except LocalPersonalizeError as error:
        raise click.ClickException(str(error)) from error
    model = learn(held_out.training)
    learned = time.perf_counter()
    popular = [item.item_id for item in model.popular(count=_LIST_LENGTH)]
    interacted = most_interacted(held_out.training)
    personalised = {
        user_id: [item.item_id for item in model.recommend(user_id, count=_LIST_LENGTH)]
        for user_id in held_out.last_items
    }
    evaluated = time.perf_counter()
    click.echo(f"{'users':34} {'list':24} {'hit rate@10':>11} {'NDCG@10':>8}")
    for title, user_ids in _groups(held_out):
        lists: dict[str, Callable[[str], list[str]]] = {
            "personalised": personalised.__getitem__,
            "popular (most users)": lambda _: popular,
            "most interactions": lambda _: interacted,
        }
        for name, list_for in lists.items():
            quality = measure(held_out.last_items, user_ids, list_for)
            label = f"{len(user_ids):,} {title}"
            click.echo(f"{label:34} {name:24} {quality.hit_rate:11.4f} {quality.ndcg:8.4f}")
    click.echo(
        f"read and learned in {learned - started:.2f} s, {len(personalised):,} lists in "
        f"{evaluated - learned:.2f} s, peak memory {_peak_mebibytes():.0f} MiB"
    )


def _groups(held_out: HeldOut) -> list[tuple[str, list[str]]]:
    """All users, and those left with one item, and with two, to personalise by."""
    left = {user_id: len({row.item_id for row in history}) for user_id, history in held_out.training.histories.items()}
    at_least_two = [user_id for user_id, items in left.items() if items > 1]
    return [
        ("(all)", list(held_out.last_items)),
        ("with an item left", list(left)),
        ("with two or more items left", at_least_two),
    ]


def _peak_mebibytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
