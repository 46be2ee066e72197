"""What came of a rehearsed send: counts, shares, latencies, and some messages to look at."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, TypeVar

from service.braze.ports import CALL_SECONDS, Heard
from service.braze.rehearsal.flaws import WARNINGS, flaws_of
from service.braze.rehearsal.ports import Played

MAX_SECONDS_KEPT: Final = 100_000
"""Latencies that the percentiles are taken from; of more calls, a random part."""

MAX_WHYS: Final = 10
"""Reasons that a report names."""

_Kept = TypeVar("_Kept")

NOWHERE: Final = "no answer"
"""The source of a message whose call came to nothing, or that made none."""

KEPT: Final = "kept by Braze"
"""The source of a message for which nothing was called."""


@dataclass(slots=True)
class Outcome:
    """Of all messages so far.

    Args:
        channel: What the messages are.
        sample_size: Messages that are kept to look at, chosen at random with an equal chance.
        chance: Chooses; a seed makes a rehearsal the same again.
    """

    channel: str
    sample_size: int
    chance: random.Random
    messages: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    whys: Counter[str] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Messages by source and degraded reason of their first answer."""
    flaws: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    """Messages whose parts show different items."""
    calls: int = 0
    late: int = 0
    """Calls that Braze gave up."""
    statuses: Counter[int] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    """What went wrong with calls, in words."""
    lists: set[int] = field(default_factory=set)
    """Hashes of the distinct lists."""
    items: Counter[str] = field(default_factory=Counter)
    """Messages that an item stands in."""
    sample: list[Played] = field(default_factory=list)
    _seconds: list[float] = field(default_factory=list)

    def add(self, played: Played) -> None:
        """A message is over."""
        self.messages += 1
        # Passes mostly come out alike.
        flaws = {flaw for text in set(played.texts) for flaw in flaws_of(text, self.channel)}
        self.flaws.update(flaws)
        if played.fate == "rendered" and not flaws <= WARNINGS:
            played.fate = "flawed"
        self.fates[played.fate] += 1
        if played.why:
            self.whys[played.why] += 1
        for heard in played.heard:
            self._hear(heard)
        first = next((heard for heard in played.heard if heard.source), None)
        if first is not None:
            self.sources[first.source, first.reason] += 1
        else:
            self.sources[NOWHERE if played.heard or not played.items else KEPT, ""] += 1
        self._look(played)
        self._keep(played)

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the calls was answered; 0 without calls."""
        ordered = sorted(self._seconds)
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    @property
    def good_share(self) -> float:
        """The share of messages that Braze would send, and that hold no mistake; 0 without messages."""
        return self.fates["rendered"] / self.messages if self.messages else 0.0

    @property
    def most_shown(self) -> tuple[str, float]:
        """The item that stands in most messages, and their share; blank and 0 if there is none."""
        if not self.items:
            return "", 0.0
        [(item, count)] = self.items.most_common(1)
        return item, count / self.messages

    def source_shares(self) -> dict[str, float]:
        """The share of messages by source, the largest first."""
        by_source: Counter[str] = Counter()
        for (source, _), count in self.sources.items():
            by_source[source] += count
        total = by_source.total()
        return {source: count / total for source, count in by_source.most_common()}

    def _hear(self, heard: Heard) -> None:
        self.calls += 1
        self.statuses[heard.answer.status] += 1
        if heard.answer.problem:
            self.problems[heard.answer.problem] += 1
        self.late += heard.seconds >= CALL_SECONDS
        _sample_into(self._seconds, heard.seconds, self.calls, MAX_SECONDS_KEPT, self.chance)

    def _look(self, played: Played) -> None:
        shown = [ids for ids in played.items if ids]
        # Parts may ask for different counts of one list.
        self.differing += any(a[: len(b)] != b[: len(a)] for a in shown[:1] for b in shown[1:])
        self.lists.update(hash(ids) for ids in shown)
        self.items.update({item for ids in shown for item in ids})

    def _keep(self, played: Played) -> None:
        # Without what was heard, which the sheet does not show and which may be long.
        light = Played(played.user, played.fate, played.why, played.texts)
        _sample_into(self.sample, light, self.messages, self.sample_size, self.chance)


def _sample_into(kept: list[_Kept], one: _Kept, count: int, most: int, chance: random.Random) -> None:
    """Keep a random part of a stream, of which this is the n-th."""
    if len(kept) < most:
        kept.append(one)
    elif (place := chance.randrange(count)) < most:
        kept[place] = one
