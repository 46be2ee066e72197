"""Hits of every kind against raw ASGI with the same bytes, and what rules at answer time cost.

One replica has a placement of each kind, and more on the campaign of the first, each with other rules. Each way to ask
is flooded in turn. Beside each kind a raw ASGI application sends the very same answer.
"""

import csv
import statistics
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.load import FOR_YOU
from bench.quiet_machine import Quiet
from bench.speed import DATA, LOAD_CORE, USERS, Answers, Figure, flooded, reference, replica_of
from service.local_personalize.arns import RANKING_ARN, SIMILAR_ITEMS_ARN
from tests.support.processes import CAMPAIGN_ARN, Process, local_personalize

RANKED: Final = 20
"""Items of a ranking: an edit of a newsletter."""

PREFIX: Final = "1"
"""Of users whom the retail data know: each has a list of its own."""

LEAST: Final = 0.9
"""Of raw ASGI's processor time to a hit's, for every kind."""

MOST: Final = 1.1
"""Of a hit's processor time with rules to one of a placement without, which is asked for in the same words."""

PLAIN: Final = "/recommendations"

NO_RULES: Final = "no rules"

RULES: Final = {
    NO_RULES: "",
    "max_per": "max_per = { category = 2 }",
    "max_per and boost": """
max_per = { category = 2 }
boost = 'INCLUDE ItemID WHERE Items.PRICE < 50'
""",
    "max_per of two columns": "max_per = { category = 3, style = 2 }",
    "exclusion_filter": """exclusion_filter = 'EXCLUDE ItemID WHERE Items.PRICE > 200'""",
    "pin": """pin = [{ item = "@", slot = 2 }]""",
}
"""Name, and lines of the placements file; `@` is an item of the catalogue."""

FILE: Final = f"""
[placements.for-you]
campaign_arn = "{CAMPAIGN_ARN}"
tps = 400
[placements.similar]
kind = "similar-items"
campaign_arn = "{SIMILAR_ITEMS_ARN}"
tps = 400
[placements.ranking]
kind = "ranking"
campaign_arn = "{RANKING_ARN}"
tps = 400
"""


def placements_file(item_id: str) -> str:
    """One placement of each kind, and one for each of `RULES`: `ruled0`, `ruled1`, ..."""
    ruled = (
        f'[placements.ruled{number}]\ncampaign_arn = "{CAMPAIGN_ARN}"\ntps = 400\n{lines}\n'
        for number, lines in enumerate(RULES.values())
    )
    return FILE + "".join(ruled).replace("@", item_id)


def paths_of(ids: Sequence[str]) -> dict[str, str]:
    """What stands in front of a user's id, by the name of the kind.

    Args:
        ids: Of the catalogue.
    """
    return {
        PLAIN: FOR_YOU,
        "/similar-items": f"/similar-items?item_id={ids[0]}&user_id=",
        "/ranking": f"/ranking?item_ids={','.join(ids[:RANKED])}&user_id=",
        **{rules: f"/recommendations?placement=ruled{number}&user_id=" for number, rules in enumerate(RULES)},
    }


def hits_of_all_kinds(repeats: int) -> list[Figure]:
    """The ratio to raw ASGI of each kind, and of rules to none, by processor time."""
    with (DATA / "items.csv").open(newline="", encoding="utf-8") as rows:
        ids = [row["id"] for row in csv.DictReader(rows)]
    paths = paths_of(ids)
    kinds = [name for name in paths if name not in RULES]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "placements.toml"
        file.write_text(placements_file(ids[-1]), "utf-8")
        personalize = stack.enter_context(local_personalize(DATA, core=LOAD_CORE))
        replica = stack.enter_context(
            replica_of(personalize, PLACEMENTS_FILE=str(file), PERSONALIZE_CAMPAIGN_ARN="", CACHE_MAX_MB="512")
        )
        for path in paths.values():
            _warm(replica, path)
        raw = {
            name: stack.enter_context(reference("raw", replica, path=paths[name], user=f"{PREFIX}0")) for name in kinds
        }

        def turn(number: int) -> dict[str, Answers]:
            # The other way round in every second turn, so that nothing has the same neighbour each time.
            done = {}
            for name in list(paths)[:: 1 if number % 2 else -1]:
                done[name] = flooded(replica, connections=32, seconds=1, prefix=PREFIX, path=paths[name])
                if name in raw:
                    done[_raw(name)] = flooded(raw[name], connections=32, seconds=1, prefix=PREFIX, path=paths[name])
            return done

        quiet: Quiet[dict[str, Answers]] = Quiet([*raw.values(), replica, personalize])
        turns = quiet.turns(repeats, turn)
    figures = [_ratio(turns, f"raw ASGI's CPU / a hit's of {name}", _raw(name), name) for name in kinds]
    figures += [
        _ratio(turns, f"a hit's CPU with {rules} / without", rules, NO_RULES) for rules in RULES if rules != NO_RULES
    ]
    return [*figures, Figure("other work meanwhile", statistics.median(quiet.shares), "cores")]


def _raw(name: str) -> str:
    return f"raw {name}"


def _ratio(turns: Sequence[Mapping[str, Answers]], what: str, of: str, to: str) -> Figure:
    ratios = sorted(one[of].cpu_us / one[to].cpu_us for one in turns)
    ratio = statistics.median(ratios)
    wanted, kept = (f"<= {MOST:g}", ratio <= MOST) if of in RULES else (f">= {LEAST:g}", ratio >= LEAST)
    costs = " and ".join(f"{statistics.median(one[name].cpu_us for one in turns):.1f}" for name in (of, to))
    return Figure(what, ratio, "", wanted, kept, f"{ratios[0]:.2f} to {ratios[-1]:.2f}; {costs} us")


def _warm(replica: Process, path: str) -> None:
    """Have a list for each user, and with it what the rules choose of it."""
    for number in range(USERS):
        with urllib.request.urlopen(f"{replica.url}{path}{PREFIX}{number}", timeout=10) as answer:  # noqa: S310  # loopback only
            answer.read()
