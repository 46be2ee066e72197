"""What a seed says: the fleet, and everything that will happen to it and when."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

SECONDS: Final = 600.0
REPLICAS: Final = 3

OF_PERSONALIZE: Final = ("slow", "fails", "throttles", "hangs", "refuses")
OF_REPLICAS: Final = ("join", "stop", "kill", "skew", "freeze")
OF_REDIS: Final = ("down", "older", "pause", "cut", "clock", "full", "odd message")
OF_PEOPLE: Final = ("prewarm", "block", "unblock", "forget", "reload", "buy")
APART: Final = "apart"
"""Two replicas no longer reach each other, while there is trouble with Redis."""

OF_BOARDED: Final = ("lag", "boarded prewarm")
"""Redis takes its time, and users call in the moment in which their lists are fetched before a send."""

LAG_SECONDS: Final = 0.03
"""To Redis, or back, while it takes its time: all is answered, and the slot of a prewarm is late."""

KINDS: Final[Sequence[tuple[str, ...]]] = (
    (),
    OF_PERSONALIZE,
    OF_REPLICAS,
    OF_REDIS,
    OF_PEOPLE,
    (*OF_PEOPLE, *OF_REDIS),
    (*OF_PERSONALIZE, *OF_REPLICAS, *OF_REDIS, *OF_PEOPLE),
)

RECIPES: Final[Sequence[tuple[str, ...]]] = (
    ("block", "down", "join"),
    ("block", "older", "join"),
    ("block", "cut"),
    ("cut", "forget"),
    ("forget", "older"),
    ("forget", "full"),
    ("prewarm", "fails"),
    ("prewarm", "pause"),
    ("prewarm", "kill"),
    ("throttles", "prewarm"),
    ("clock", "join"),
    ("slow", "kill"),
    ("skew", "stop"),
    ("odd message",),
    ("freeze",),
    ("freeze", "forget"),
    ("freeze", "block"),
    ("forget", "freeze"),
    ("prewarm", "freeze"),
    ("freeze", "down"),
    ("freeze", "kill"),
)
"""What is hard on a fleet one after another, while users call."""


@dataclass(frozen=True)
class Happening:
    """Something that happens.

    Attributes:
        at: Seconds after the beginning.
        what: `burst` for calls, else one of the kinds above.
        seconds: How long it lasts.
        chance: Seed of what it decides by itself, so that one happening left out changes no other.
    """

    at: float
    what: str
    seconds: float
    chance: int


@dataclass(frozen=True)
class Plan:
    seed: int
    tps: float
    replicas: int
    users: int
    messages_a_second: float
    """In a burst."""

    deadline_seconds: float
    way_seconds: float
    """To Redis, and back."""

    hurried: bool
    """Some calls have little time."""

    shop: bool
    """Users buy, and do not see again what they bought."""

    happenings: Sequence[Happening]

    @classmethod
    def of(cls, seed: int, replicas: int = REPLICAS, seconds: float = SECONDS) -> "Plan":
        chance = random.Random(seed)
        troubles = _recipe(chance, seconds) if chance.random() < 0.4 else _anything(chance, seconds)
        if seed % 10 == 4:  # one in ten
            troubles = _boarded(chance, seconds)
        if seed % 10 == 7:  # one in ten
            troubles += [
                Happening(max(0.0, one.at - 0.3), APART, one.seconds + 2.0, one.chance)
                for one in troubles
                if one.what in OF_REDIS
            ]
        tps = chance.choice([1.0, 4.0, 10.0, 10.0, 400.0])
        deadline_seconds = chance.choice([1.5] * 7 + [0.1])
        users = chance.choice([4, 12, 60, 1000])
        rush = chance.choice([0.3, 1.0, 3.0])
        if any(one.what == "clock" for one in troubles):
            # Slots are reserved long before they begin only where many wait for them.
            users, rush = 1000, 3.0
        if seed % 3 == 0 and any(one.what == "prewarm" for one in troubles):
            # Callers meet a prewarm of stale lists only in a later burst.
            last = max(one.at for one in troubles if one.what == "burst")
            troubles = [replace(one, at=last + 0.2) if one.what == "prewarm" else one for one in troubles]
            tps, users, rush = 400.0, 60, 3.0
        if any(one.what in OF_BOARDED for one in troubles):
            tps, users, deadline_seconds = 400.0, 1000, 1.5
        return cls(
            seed=seed,
            tps=tps if deadline_seconds > 1 else 10.0,
            replicas=replicas,
            users=users,
            messages_a_second=min(tps, 10.0) * rush,
            deadline_seconds=deadline_seconds,
            way_seconds=chance.choice([0.0005, 0.001, 0.002]),
            hurried=chance.random() < 0.3 and deadline_seconds > 1,  # a short one leaves no room
            # One in seven, and wherever somebody buys: a purchase counts for nothing elsewhere.
            shop=chance.random() < 0.15 or any(one.what == "buy" for one in troubles),
            happenings=tuple(sorted(troubles, key=lambda one: one.at)),
        )

    def of_kinds(self, *kinds: str) -> list[Happening]:
        """What happens of these kinds."""
        return [one for one in self.happenings if one.what in kinds]

    def without(self, number: int) -> "Plan":
        """The same, with one happening left out."""
        return replace(self, happenings=(*self.happenings[:number], *self.happenings[number + 1 :]))


def _burst(chance: random.Random, at: float, seconds: float) -> Happening:
    return Happening(at, "burst", seconds, chance.randrange(2**32))


def _trouble(chance: random.Random, at: float, what: str) -> Happening:
    return Happening(max(0.0, at), what, chance.choice([0.2, 1.0, 3.0, 8.0]), chance.randrange(2**32))


def _recipe(chance: random.Random, seconds: float) -> list[Happening]:
    """One thing after another in a long burst, and a burst later on."""
    first = chance.uniform(0, seconds / 2)
    found = [_burst(chance, first, chance.choice([8.0, 16.0]))]
    found.append(_burst(chance, first + chance.choice([18.0, 40.0, 200.0]), 4.0))
    at = first + chance.uniform(0.5, 3)
    for what in chance.choice(RECIPES):
        found.append(_trouble(chance, at, what))
        at += chance.choice([0.1, 0.6, 2.0, 6.0])
    return found


def _boarded(chance: random.Random, seconds: float) -> list[Happening]:
    """Prewarms whose users call meanwhile, while Redis takes its time."""
    first = chance.uniform(0, seconds - 60)
    prewarms = [Happening(first + chance.uniform(0.1, 2), OF_BOARDED[1], 1.0, chance.randrange(2**32)) for _ in "123"]
    return [_burst(chance, first, 4.0), Happening(first, OF_BOARDED[0], 3.0, 0), *prewarms]


def _anything(chance: random.Random, seconds: float) -> list[Happening]:
    """Most of it comes in a burst or shortly before it; by itself it would meet nobody."""
    kinds = chance.choice(KINDS)
    bursts = [
        _burst(chance, chance.uniform(0, seconds - 15), chance.choice([2.0, 4.0, 8.0]))
        for _ in range(chance.randint(2, 4))
    ]
    count = chance.randint(1, 4) if kinds else 0
    troubles = [
        _trouble(chance, chance.choice(bursts).at + chance.uniform(-4, 8), chance.choice(kinds)) for _ in range(count)
    ]
    return [*bursts, *troubles]
