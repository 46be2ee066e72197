"""Hits of every kind against raw ASGI with the same bytes, and what rules at answer time cost.

One replica has a placement of each kind, and two more on the campaign of the first: one with rules, and one whose rule
changes nothing. Each way to ask is flooded in turn, beside a raw ASGI application that sends the very same answer.
"""

import csv
import statistics
import tempfile
import urllib.request
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

from bench.load import FOR_YOU
from bench.quiet_machine import Quiet
from bench.speed import DATA, LOAD_CORE, USERS, Answers, Figure, flooded, reference, replica_of
from service.local_personalize.arns import RANKING_ARN, SIMILAR_ITEMS_ARN
from tests.support.processes import CAMPAIGN_ARN, Process, local_personalize

RANKED: Final = 20
"""Items of a ranking: an edit of a newsletter."""

LEAST: Final = {
    "/recommendations": 0.9,
    "/recommendations with rules": 0.5,
    "/similar-items": 0.9,
    "/ranking": 0.0,
}
"""Promised; a ranking is made item by item each time, and has no promise."""

FILE: Final = f"""
[placements.for-you]
campaign_arn = "{CAMPAIGN_ARN}"
tps = 400
[placements.ruled]
campaign_arn = "{CAMPAIGN_ARN}"
tps = 400
max_per = {{ category = 2 }}
boost = 'INCLUDE ItemID WHERE Items.PRICE < 50'
[placements.similar]
kind = "similar-items"
campaign_arn = "{SIMILAR_ITEMS_ARN}"
tps = 400
[placements.ranking]
kind = "ranking"
campaign_arn = "{RANKING_ARN}"
tps = 400
"""


def hits_of_all_kinds(repeats: int) -> list[Figure]:
    """The ratio to raw ASGI of each kind, by processor time."""
    with (DATA / "items.csv").open(newline="", encoding="utf-8") as rows:
        ids = [row["id"] for row in islice(csv.DictReader(rows), RANKED)]
    paths = {
        "/recommendations": FOR_YOU,
        "/recommendations with rules": "/recommendations?placement=ruled&user_id=",
        "/similar-items": f"/similar-items?item_id={ids[0]}&user_id=",
        "/ranking": f"/ranking?item_ids={','.join(ids)}&user_id=",
    }
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "placements.toml"
        file.write_text(FILE)
        personalize = stack.enter_context(local_personalize(DATA, core=LOAD_CORE))
        replica = stack.enter_context(
            replica_of(personalize, PLACEMENTS_FILE=str(file), PERSONALIZE_CAMPAIGN_ARN="", CACHE_MAX_MB="512")
        )
        for path in paths.values():
            _warm(replica, path)
        raw = {name: stack.enter_context(reference("raw", replica, path=path)) for name, path in paths.items()}

        def turn(number: int) -> dict[str, tuple[Answers, Answers]]:
            # The other way round in every second turn, so that nothing has the same neighbour each time.
            order = list(paths.items())[:: 1 if number % 2 else -1]
            return {
                name: (
                    flooded(replica, connections=32, seconds=1, path=path),
                    flooded(raw[name], connections=32, seconds=1, path=path),
                )
                for name, path in order
            }

        quiet: Quiet[dict[str, tuple[Answers, Answers]]] = Quiet([*raw.values(), replica, personalize])
        turns = quiet.turns(repeats, turn)
    figures = []
    for name in paths:
        ratios = sorted(one[name][1].cpu_us / one[name][0].cpu_us for one in turns)
        ratio, least = statistics.median(ratios), LEAST[name]
        cost, raw_cost = (statistics.median(one[name][place].cpu_us for one in turns) for place in (0, 1))
        span = f"{ratios[0]:.2f} to {ratios[-1]:.2f}; {cost:.0f} and {raw_cost:.0f} us; {quiet}"
        promise = f">= {least:g}" if least else ""
        figures.append(
            Figure(f"raw ASGI's CPU / a hit's of {name}", ratio, "", promise, ratio >= least if least else None, span)
        )
    return figures


def _warm(replica: Process, path: str) -> None:
    """Have a list for each user, and the answer rendered."""
    for number in range(USERS):
        with urllib.request.urlopen(f"{replica.url}{path}u{number}", timeout=10) as answer:  # noqa: S310  # loopback only
            answer.read()
