"""Who did what: users, items, events and their figures over all interactions."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from service.pipeline.data.tables import Dataset, Workspace

PERIODS: Final = 40
"""Columns of the picture of activity over time."""

RECENT_SHARE: Final = 0.1
"""Items that first show up in the newest tenth of the time are called new."""

ROWS_A_PART: Final = 1_500_000

SECONDS: Final = "TRY_CAST(trim(TIMESTAMP) AS BIGINT)"

_QUANTILES: Final = (0.1, 0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the interactions look like."""

    interactions: int
    users: int
    returning_users: int
    """With two interactions or more."""

    items: int
    pairs: int
    """Distinct pairs of a user and an item."""

    duplicates: int
    """Rows that repeat another in user, item, event type and second."""

    first_duplicate: int | None
    """Its row."""

    event_types: dict[str, int]
    oldest: int | None
    newest: int | None
    activity: list[int]
    """Interactions in each of `PERIODS` equal parts of the time between the two."""

    lengths: dict[str, int]
    """Quantiles of the users' interactions: `p50`."""

    popularity: dict[str, float]
    """Share of all interactions that the most popular items have: `top 1%`."""

    new_items: int

    @property
    def sparsity(self) -> float:
        """Share of all pairs of a user and an item that never met."""
        return 1 - self.pairs / (self.users * self.items) if self.users and self.items else 1.0

    def as_json(self) -> dict[str, Any]:
        """The figures as values."""
        return {**asdict(self), "sparsity": self.sparsity}


def measure(workspace: Workspace, dataset: Dataset) -> History:
    """Figures over interactions that have all required columns. It makes the tables `known_users`, `known_items`."""
    has_types = "EVENT_TYPE" in dataset.names
    event_type = "EVENT_TYPE" if has_types else "''"
    workspace.ask(
        "CREATE OR REPLACE TABLE known_users AS SELECT trim(USER_ID) AS id, count(*) AS n FROM interactions"
        " WHERE trim(USER_ID) <> '' GROUP BY 1"
    )
    workspace.ask(
        f"CREATE OR REPLACE TABLE known_items AS SELECT trim(ITEM_ID) AS id, count(*) AS n, min({SECONDS}) AS since"
        " FROM interactions WHERE trim(ITEM_ID) <> '' GROUP BY 1"
    )
    [(oldest, newest)] = workspace.ask(f"SELECT min({SECONDS}), max({SECONDS}) FROM interactions")
    [(users, returning)] = workspace.ask("SELECT count(*), count(*) FILTER (n >= 2) FROM known_users")
    quantiles = ", ".join(map(str, _QUANTILES))
    [(lengths,)] = workspace.ask(f"SELECT quantile_disc(n, [{quantiles}]) FROM known_users")
    pairs, duplicates, first = _repeats(workspace, dataset.rows, event_type)
    types = workspace.ask(
        "SELECT trim(EVENT_TYPE), count(*) FROM interactions WHERE trim(EVENT_TYPE) <> '' GROUP BY 1 ORDER BY 2 DESC, 1"
        " LIMIT 1000"
        if has_types
        else "SELECT '', 0 WHERE false"
    )
    [(items,)] = workspace.ask("SELECT count(*) FROM known_items")
    recent = (newest - (newest - oldest) * RECENT_SHARE) if oldest is not None and newest > oldest else None
    [(new_items,)] = (
        workspace.ask(f"SELECT count(*) FROM known_items WHERE since > {recent}") if recent is not None else [(0,)]
    )
    return History(
        interactions=dataset.rows,
        users=users,
        returning_users=returning,
        items=items,
        pairs=pairs,
        duplicates=duplicates,
        first_duplicate=first,
        event_types=dict(types),
        oldest=oldest,
        newest=newest,
        activity=_activity(workspace, oldest, newest),
        lengths={f"p{share * 100:g}": n for share, n in zip(_QUANTILES, lengths or (), strict=False)},
        popularity=_popularity(workspace, items),
        new_items=new_items,
    )


def _repeats(workspace: Workspace, rows: int, event_type: str) -> tuple[int, int, int | None]:
    """Distinct pairs, rows that repeat another, and the first of these.

    What is distinct has to be kept to be counted. So it goes by parts, each of `ROWS_A_PART` rows or so. The hashes are
    written down first, in the order of the rows: otherwise each part would make them again.
    """
    workspace.ask(
        "CREATE OR REPLACE TABLE hashes AS SELECT hash(trim(USER_ID), trim(ITEM_ID)) AS pair,"
        f" hash(TIMESTAMP, {event_type}) AS rest FROM interactions"
    )
    pairs = duplicates = 0
    firsts = []
    parts = rows // ROWS_A_PART + 1
    for part in range(parts):
        [(here, repeated, first)] = workspace.ask(
            "SELECT count(DISTINCT pair), coalesce(sum(n - 1), 0), min(r) FILTER (n > 1) FROM (SELECT pair,"
            f" count(*) AS n, max(rowid) AS r FROM hashes WHERE pair % {parts} = {part} GROUP BY pair, rest)"
        )
        pairs += here
        duplicates += int(repeated)
        firsts += [first] if first is not None else []
    workspace.ask("DROP TABLE hashes")
    return pairs, duplicates, min(firsts, default=None)


def _activity(workspace: Workspace, oldest: int | None, newest: int | None) -> list[int]:
    if oldest is None or newest is None:
        return []
    width = max((newest - oldest) / PERIODS, 1)
    counts = [0] * PERIODS
    for period, count in workspace.ask(
        f"SELECT least(floor(({SECONDS} - {oldest}) / {width}), {PERIODS - 1}), count(*) FROM interactions"
        f" WHERE {SECONDS} IS NOT NULL GROUP BY 1"
    ):
        counts[int(period)] = count
    return counts


def _popularity(workspace: Workspace, items: int) -> dict[str, float]:
    shares = {}
    for percent in (1, 10, 50):
        top = max(items * percent // 100, 1)
        [(share,)] = workspace.ask(
            "SELECT sum(n) / (SELECT sum(n) FROM known_items)"
            f" FROM (SELECT n FROM known_items ORDER BY n DESC LIMIT {top})"
        )
        shares[f"top {percent}%"] = round(float(share or 0), 4)
    return shares
