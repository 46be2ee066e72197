"""Whether a send is planned well, in one sentence, and what to do if it is not."""

import math
from dataclasses import dataclass

from service.constants import PERSONALIZE_MAX_TPS
from service.sends.plan.course import Course
from service.sends.plan.limits import ALL_SHARE, MIN_MESSAGES_PER_MINUTE
from service.sends.plan.prewarm_plan import PrewarmPlan
from service.sends.plan.send import MINUTE_SECONDS, Send
from service.sends.words import duration


@dataclass(frozen=True, slots=True)
class Verdict:
    """What people read first.

    Attributes:
        all_fresh: Whether all recipients get a live or a fresh list.
        sentence: The verdict.
        ways_out: Three sentences with figures: slower, with more TPS, with lists made before; none if all is well.
    """

    all_fresh: bool
    sentence: str
    ways_out: tuple[str, ...] = ()


def verdict_on(course: Course, *, per_minute: int, tps: int, prewarm: PrewarmPlan) -> Verdict:
    """The verdict on a simulated send.

    Args:
        course: What came of it.
        per_minute: Highest messages a minute at which all have a live or fresh list; 0 if there is no such rate.
        tps: Lowest TPS at which all have one in the send's time.
        prewarm: What it takes to have all lists before.
    """
    send = course.send
    fresh = course.recipients["personalize"] + course.recipients["cache"]
    if fresh >= ALL_SHARE * send.recipients:
        return Verdict(all_fresh=True, sentence="Good: all recipients get a live or a fresh list.")
    popular, older = course.recipients["popular"], course.recipients["stale"] + course.recipients["batch"]
    of = f"of {send.recipients:,} recipients "
    parts = []
    if popular:
        parts.append(f"{_share(popular, send, of)} get popular items, which are not personal")
    if older:
        parts.append(f"{_share(older, send, '' if parts else of)} get an older list")
    sentence = f"{'Too fast' if popular else 'Good enough'} for {send.tps:g} TPS: {'; '.join(parts)}."
    return Verdict(
        all_fresh=False,
        sentence=sentence,
        ways_out=(
            _slower(send, per_minute),
            _more_tps(tps),
            _lists_before(send, prewarm),
        ),
    )


def _share(count: int, send: Send, of: str) -> str:
    share = count / send.recipients
    percent = f"{share:.0%}" if share >= 0.01 else "less than 1%"  # noqa: PLR2004  # 0 % would be wrong
    return f"{count:,} {of}({percent})"


def _slower(send: Send, per_minute: int) -> str:
    if per_minute < MIN_MESSAGES_PER_MINUTE:
        return (
            f"Slower: no. All would be live at {per_minute:,} messages a minute, and Braze's lowest rate limit is"
            f" {MIN_MESSAGES_PER_MINUTE}."
        )
    return (
        f"Slower: limit the send to {per_minute:,} messages a minute in Braze. It takes"
        f" {duration(send.recipients / per_minute * MINUTE_SECONDS)} then, instead of {duration(send.seconds)}."
    )


def _more_tps(tps: int) -> str:
    if tps > PERSONALIZE_MAX_TPS:
        return f"More TPS: no. It would take {tps:,}, and an AWS account has {PERSONALIZE_MAX_TPS:,}."
    return f"More TPS: raise the campaign's provisioned TPS and PERSONALIZE_TPS to {tps:,}."


def _lists_before(send: Send, prewarm: PrewarmPlan) -> str:
    of, option = ("items", " --items") if send.items else ("recipients", "")
    if not prewarm.all_usable:
        return (
            f"Lists before: prewarm would take {duration(prewarm.seconds)}, longer than lists are served. Load batch"
            f" lists for {prewarm.recipients:,} {of} with `personalize-connect batch load`."
        )
    needed = math.ceil(prewarm.fresh_seconds_needed)
    fresh = "" if prewarm.all_fresh else f" With CACHE_FRESH_SECONDS={needed} they are fresh to its end."
    return (
        f"Lists before: start `personalize-connect prewarm{option}` {duration(prewarm.seconds)} before the send, for"
        f" {prewarm.recipients:,} lists.{fresh}"
    )
