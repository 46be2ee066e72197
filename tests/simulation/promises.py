"""What the service promises, checked with every answer, every second, whenever a world is at rest, and at its end.

Longer than 300 lines: a promise is a method.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from service.constants import PIN_SECONDS
from service.lists.keys import UserKey, prefix_of
from service.models import Answer, ListRequest
from service.personalize.flight import Flight
from service.sends.ports import PrewarmReport
from tests.simulation.member import Member
from tests.simulation.personalize import Personalize
from tests.simulation.plan import OF_PEOPLE, OF_PERSONALIZE, OF_REDIS, Plan
from tests.support.calls import most_in_a_second
from tests.support.redis_model import RedisModel
from tests.support.virtual_time import VirtualClock

if TYPE_CHECKING:
    from tests.simulation.world import Message

FRESH_SECONDS: Final = 12.0
STALE_SECONDS: Final = 900.0
HEARD_SECONDS: Final = 1.0
"""Within so long every replica in touch knows what another one has confirmed."""

OF_RULES: Final = ("block", "unblock", "reload", "buy")
"""They change what is shown of a list, and nothing else."""

CLIMB_SECONDS: Final = 35.0
"""Until the rate is whole again, whatever happened."""

WAYS_AT_ONCE: Final = 12
"""To Redis and back, of one who waits for nothing else."""

SKEW_SECONDS: Final = 3.1
"""A list may be so much older than it seems: by the step of a clock that nobody can see."""


@dataclass
class Window:
    """Something is felt, from and until."""

    since: float
    until: float
    what: str


@dataclass(frozen=True)
class Shown:
    """An answer, and how it came."""

    user: str
    member: Member
    began: float
    within: float
    answer: Answer
    is_current: bool
    """Whether the catalogue allows all its items."""


@dataclass
class Promises:
    plan: Plan
    clock: VirtualClock
    personalize: Personalize
    began: float = 0.0
    windows: list[Window] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    asked_at: dict[str, list[float]] = field(default_factory=dict)
    blocked: dict[str, float] = field(default_factory=dict)
    """Since when a block is confirmed."""
    bought: dict[tuple[str, str], float] = field(default_factory=dict)
    bought_at: dict[str, float] = field(default_factory=dict)
    """When each user bought last, whatever became of it."""
    forgotten: dict[str, float] = field(default_factory=dict)
    prewarmed: set[str] = field(default_factory=set)
    most_members: int = 0
    strangers: int = 0
    """Members that began without Redis."""
    longest_freeze: float = 0.0
    """A list that came while its replica stood still is as old as its replica knows."""
    _keys: dict[UserKey, str] = field(default_factory=dict)
    _user_keys: dict[str, UserKey] = field(default_factory=dict)
    _pin_ends: dict[str, float] = field(default_factory=dict)
    _degraded_at: dict[str, list[float]] = field(default_factory=dict)

    def break_(self, promise: str, seen: str, *, at: float | None = None) -> None:
        moment = (self.clock.monotonic() if at is None else at) - self.began
        self.broken.append(f"{moment:.3f}: {promise}: {seen}")

    def forget_bought(self, user: str) -> None:
        """What the user bought may be shown again."""
        for one in [one for one in self.bought if one[0] == user]:
            del self.bought[one]

    def is_calm(self, begin: float, end: float, *but: str) -> bool:
        """Whether nothing is felt of anything between these moments."""
        return not any(begin <= one.until and one.since <= end and one.what not in but for one in self.windows)

    # With every answer

    def see(self, shown: Shown) -> None:
        answer, user, now = shown.answer, shown.user, self.clock.monotonic()
        took = now - shown.began
        self.key_of(shown.member, user)
        if took > shown.within + 1e-6:
            self.break_("an answer in time", f"after {took:.3f} of {shown.within} s", at=shown.began)
        if len(set(answer.shown)) != 10 or len(answer.shown) != 10:  # as asked
            self.break_("a full answer", f"{len(set(answer.shown))} items", at=shown.began)
        if not shown.is_current:
            self.break_("only items of the catalogue", f"{user} sees others")
        self._see_rules(shown)
        self._see_list(shown)
        if answer.degraded_reason:
            self._degraded_at.setdefault(user, []).append(now)
            if now > self._pin_ends.get(user, float("-inf")):
                self._pin_ends[user] = now + PIN_SECONDS
            self._see_reason(shown)
        self._see_pins(shown.member)

    def see_refreshed(self, user: str, began: float, made: float, refresh: Flight) -> None:
        """An answer to a user with a list of `made`, which another replica renewed for nobody when the call came."""
        now = self.clock.monotonic()
        if now - began < WAYS_AT_ONCE * self.plan.way_seconds or began - made > STALE_SECONDS:
            return
        # Without a list at its end, the caller has to ask for one.
        ended_well = refresh.landed.done() and not refresh.landed.cancelled() and refresh.landed.result().envelope
        undisturbed = self.is_calm(made - 2, now, *OF_PERSONALIZE, *OF_RULES, "prewarm")
        if undisturbed and (ended_well or not refresh.landed.done()):
            self.break_("who has a list waits for nobody", f"{user} waited {now - began:.3f} s", at=began)

    def _see_rules(self, shown: Shown) -> None:
        if shown.member.up_since + HEARD_SECONDS > shown.began:
            return
        for item in shown.answer.shown:
            if self.blocked.get(item, float("inf")) + HEARD_SECONDS < shown.began:
                self.break_("no blocked item", f"{item} is shown to {shown.user}")
            if self.bought.get((shown.user, item), float("inf")) + HEARD_SECONDS < shown.began:
                self.break_("no bought item", f"{item} is shown to {shown.user}")

    def _see_list(self, shown: Shown) -> None:
        answer = shown.answer
        made = self.personalize.made.get(answer.recommendation_id)
        if made is None:
            return
        age = shown.began - made
        if answer.source == "cache" and age > FRESH_SECONDS + SKEW_SECONDS + self.longest_freeze:
            self.break_("a fresh list is fresh", f"{age:.1f} s old for {shown.user}")
        since = self.forgotten.get(shown.user, float("inf"))
        in_touch = shown.member.up_since + HEARD_SECONDS < shown.began
        if made < since and since + HEARD_SECONDS < shown.began and in_touch:
            self.break_("nothing of a forgotten user", f"{shown.user} sees a list of before")

    def _see_reason(self, shown: Shown) -> None:
        reason = shown.answer.degraded_reason
        if reason not in ("timeout", "error", "breaker") or self.plan.hurried:
            return
        if self.plan.deadline_seconds < 1 and shown.answer.source == "stale":
            # A slot lasts as long as all of its time.
            return
        if self.is_calm(shown.began - FRESH_SECONDS, self.clock.monotonic(), *OF_PEOPLE):
            self.break_("a live list in calm", f"{shown.user} got {shown.answer.source}, {reason}")

    def _see_pins(self, member: Member) -> None:
        now, pins = self.clock.monotonic(), member.wired.pins
        if pins._last_ends <= now:
            return
        # The cache's own dict: to walk through the cache takes ten times as long.
        for key, (_, until) in vars(pins._pins)["_Cache__data"].items():
            user = self._keys.get(key)
            if user is None or until <= now or until <= self._pin_ends.get(user, float("-inf")) + 0.3:
                continue
            # Whatever Personalize does: a pin follows an answer.
            is_calm = self.is_calm(now - PIN_SECONDS, now, *OF_PEOPLE, *OF_PERSONALIZE)
            if is_calm and not self._is_asking(user):
                self.break_("a pin follows an answer, for 5 s", f"{user} is pinned for {until - now:.1f} s")

    def _is_asking(self, user: str) -> bool:
        """Whether a call of the user may be under way: its pin is there before its answer."""
        now = self.clock.monotonic()
        return any(now - at < self.plan.deadline_seconds + 0.1 for at in self.asked_at.get(user, ())[-3:])

    def key_of(self, member: Member, user: str) -> UserKey:
        """The key of a user's list."""
        key = self._user_keys.get(user)
        if key is None:
            key = member.arm.key_of_request(ListRequest(user))
            self._user_keys[user] = key
            self._keys[key] = user
        return key

    # At rest

    def look_at(self, member: Member, redis: RedisModel, *, at_rest: bool = True) -> None:
        """Nothing is kept of a forgotten user who was not asked for again."""
        now = self.clock.monotonic()
        for user, since in self.forgotten.items():
            if not at_rest and not (
                since + 2 * self.plan.deadline_seconds < now and self._were_all_in_touch(since, now)
            ):
                continue
            if self.asked_at.get(user, [0.0])[-1] > since - 2 * self.plan.deadline_seconds or user in self.prewarmed:
                continue
            key = self.key_of(member, user)
            kept: list[object] = [one for one in (member.stores.memory.get(key), member.wired.pins.get(key)) if one]
            user_prefix = prefix_of(key)
            names = (user_prefix.hex().encode(), b":k:" + user_prefix)
            found = [one for one in redis.names() if any(name in one for name in names) and one[-7:] != b":flight"]
            if self.bought_at.get(user, 0.0) > since - 2 * self.plan.deadline_seconds:
                found = [one for one in found if names[1] not in one]
            elif member.events is not None:
                kept += [one for one in [member.events.known.here(user)] if one is not None]
                kept += redis.entries_with(b":events", user_prefix)
            kept += found
            if kept:
                self.break_("nothing of a forgotten user", f"{len(kept)} things of {user} are kept")

    def _were_all_in_touch(self, since: float, now: float) -> bool:
        """Whether all replicas have been in touch with Redis, and with themselves."""
        return self.is_calm(since - CLIMB_SECONDS, now, *OF_PEOPLE, *OF_PERSONALIZE, "skew", "join", "stop", "lag")

    def saw_join(self, members: int, *, up: bool) -> None:
        """A replica has started."""
        self.most_members = max(self.most_members, members)
        self.strangers += not up

    def saw_prewarm(self, began: float, report: PrewarmReport, users: int) -> None:
        """A prewarm has ended."""
        is_fast = self.plan.tps >= 100  # there are slots for all of them
        now = self.clock.monotonic()
        undisturbed = not any(
            one.what == "burst" and began - 1 < self.began + one.at + one.seconds and self.began + one.at < now
            for one in self.plan.happenings
        )
        if is_fast and undisturbed and self.is_calm(began - CLIMB_SECONDS, now, *OF_PEOPLE) and report.left:
            self.break_("a prewarm uses what nobody wants", f"{len(report.left)} of {users} are left")

    # At the end

    def check(self, messages: Sequence["Message"]) -> None:
        """What shows only in everything that was seen."""
        self.broken += [
            *self._spent_too_much(),
            *self._disagreements(messages),
            *self._spent_twice(),
            *self._lanes(messages),
        ]

    def _spent_too_much(self) -> Iterator[str]:
        plan, most = self.plan, most_in_a_second(one.at for one in self.personalize.seen)
        promised = plan.tps + 1
        if any(one.what in OF_REDIS and one.what not in ("clock", "full", "odd message") for one in plan.happenings):
            promised = 1.25 * plan.tps + 1 + self.most_members + self.strangers * plan.tps / (plan.replicas + 1)
        if most > promised:
            yield f"{most} transactions in a second, {promised:g} promised"

    def _disagreements(self, messages: Sequence["Message"]) -> Iterator[str]:
        for message in messages:
            end = message.at + self.plan.deadline_seconds
            bodies = {one.body for one in message.answers}
            if len(bodies) > 1 and self.is_calm(message.at, end) and not self._pin_ended(message.user, message.at, end):
                shown = Counter((one.source, one.degraded_reason) for one in message.answers)
                yield f"{message.at - self.began:.3f}: the parts for {message.user} differ: {dict(shown)}"

    def _pin_ended(self, user: str, begin: float, end: float) -> bool:
        """Whether what an earlier message of the user was shown is repeated to some parts of this one only."""
        return any(begin <= at + PIN_SECONDS <= end for at in self._degraded_at.get(user, ()))

    def _spent_twice(self) -> Iterator[str]:
        last: dict[str, float] = {}
        for one in self.personalize.seen:
            if self.is_calm(one.at - FRESH_SECONDS, one.at, *OF_RULES, "prewarm"):
                if one.together > 1:
                    yield f"{one.at - self.began:.3f}: {one.together} transactions at a time for {one.user}"
                elif one.at - last.get(one.user, float("-inf")) < FRESH_SECONDS:
                    yield f"{one.at - self.began:.3f}: a second transaction for {one.user}, whose list is fresh"
            last[one.user] = one.at

    def _lanes(self, messages: Sequence["Message"]) -> Iterator[str]:
        """A caller without a list was refused, so all slots within its time are of callers without a list."""
        if self.plan.hurried:
            return
        for message in messages:
            if ("popular", "budget") not in {(one.source, one.degraded_reason) for one in message.answers}:
                continue
            # What repeats an earlier answer says nothing of this moment.
            if any(0 < message.at - at < PIN_SECONDS + 0.1 for at in self._degraded_at.get(message.user, ())):
                continue
            if not self.is_calm(message.at - CLIMB_SECONDS, message.at + 1.0, *OF_PEOPLE, "lag"):
                continue
            yield from self._refused(message.user, message.at)

    def _refused(self, user: str, at: float) -> Iterator[str]:
        begun = [one for one in self.personalize.seen if at - 0.5 <= one.at <= at + 0.8]
        moment = f"{at - self.began:.3f}: {user} was refused, and "
        if self.plan.deadline_seconds < 1:
            # It waits for hardly a slot, but there must have been one.
            if not any(one.at <= at + 0.1 for one in begun):
                yield f"{moment}no slot was used"
            return
        used = [one for one in begun if at - 0.05 <= one.at]  # in the order of time
        if len(used) < 0.8 * self.plan.tps * 0.98 - 2:
            yield f"{moment}{len(used)} slots were used"
        lower = [one.user for one in used if one.at > at + 0.2 and self._is_lower(one)]
        if lower:
            yield f"{moment}{lower[0]}, whose list could wait, got a slot before it"

    def _is_lower(self, one: Any) -> bool:  # noqa: ANN401  # a Transaction
        # A list may have been lost with Redis, or with a replica, or have been forgotten.
        untouched = self.is_calm(one.had_list_at - 2, one.at, *OF_PERSONALIZE, *OF_RULES, "prewarm")
        if untouched and one.at - one.had_list_at < STALE_SECONDS:
            return True
        asked = any(one.at - 2 * self.plan.deadline_seconds < at <= one.at for at in self.asked_at.get(one.user, ()))
        return one.user in self.prewarmed and not asked
