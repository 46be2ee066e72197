"""A rehearsal in words, for people and for programs."""

from collections.abc import Iterator
from typing import Any

from service.braze.rehearsal.flaws import words_of
from service.braze.rehearsal.outcome import MAX_WHYS, NOWHERE, Outcome
from service.braze.rehearsal.send import Send

MAX_SECONDS_BEHIND = 1.0
"""After its time the last message may begin; later, the rate was not the one that was asked for."""

MANY_SHARE = 0.5
"""An item in more than this share of the messages is named: recommendations that everybody gets are none."""


def as_text(outcome: Outcome, send: Send, transactions: float | None) -> Iterator[str]:
    """Lines for a terminal; the first one is the answer."""
    total = outcome.messages
    yield f"{outcome.good_share:.1%} of {total:,} messages would be sent, without a mistake in them."
    yield ""
    for fate, count in outcome.fates.most_common():
        yield f"  {fate:<10} {count:>9,}  {count / total:.1%}"
    for why, count in outcome.whys.most_common(MAX_WHYS):
        yield f"    {count:>9,}  {why}"
    yield "by source of the first answer:"
    for (source, reason), count in outcome.sources.most_common():
        yield f"  {source + (f' ({reason})' if reason else ''):<22} {count:>9,}  {count / total:.1%}"
    spent = "its metrics could not be read" if transactions is None else f"{transactions:,.0f} transactions here"
    yield f"calls: {outcome.calls:,} to the service, {send.cached:,} that Braze kept, {send.retries:,} retries; {spent}"
    yield (
        f"latency: p50 {outcome.percentile(0.5):.0f} ms, p99 {outcome.percentile(0.99):.0f} ms;"
        f" {outcome.late:,} calls too late for Braze"
    )
    for problem, count in outcome.problems.most_common(MAX_WHYS):
        yield f"  {count:>9,}  {problem}"
    if bad := {status: count for status, count in outcome.statuses.items() if not 200 <= status < 300}:  # noqa: PLR2004  # 2XX
        yield "refused: " + ", ".join(f"{count:,} x {status}" for status, count in sorted(bad.items()))
    item, share = outcome.most_shown
    if item:
        yield f"lists: {len(outcome.lists):,} different ones; item {item} stands in {share:.0%} of the messages"
    yield from _warnings(outcome, send, share)


def _warnings(outcome: Outcome, send: Send, most_shown: float) -> Iterator[str]:
    if send.seconds_behind > MAX_SECONDS_BEHIND:
        yield f"warning: this machine did not keep up; the last message began {send.seconds_behind:,.0f} s late"
    if send.health.pauses:
        yield f"warning: Braze would have stopped calling for a minute, {send.health.pauses} times: the host failed"
    if outcome.differing:
        yield f"warning: the parts of {outcome.differing:,} messages show different items"
    if most_shown > MANY_SHARE and len(outcome.lists) > 1:
        yield "warning: most users see the same item; are lists fetched for them?"
    for flaw, count in outcome.flaws.most_common():
        yield f"warning: {count:,} messages hold {words_of(flaw)} ({flaw})"


def as_json(outcome: Outcome, send: Send, transactions: float | None) -> dict[str, Any]:
    """The same for programs."""
    item, share = outcome.most_shown
    return {
        "messages": outcome.messages,
        "good_share": outcome.good_share,
        "fates": dict(outcome.fates),
        "reasons": dict(outcome.whys.most_common(MAX_WHYS)),
        "sources": [
            {"source": source, "degraded_reason": reason or None, "messages": count}
            for (source, reason), count in outcome.sources.most_common()
        ],
        "no_answer": sum(count for (source, _), count in outcome.sources.items() if source == NOWHERE),
        "calls": outcome.calls,
        "kept_by_braze": send.cached,
        "retries": send.retries,
        "unhealthy_minutes": send.health.pauses,
        "transactions": transactions,
        "p50_ms": outcome.percentile(0.5),
        "p99_ms": outcome.percentile(0.99),
        "late_calls": outcome.late,
        "seconds_behind": send.seconds_behind,
        "statuses": {str(status): count for status, count in sorted(outcome.statuses.items())},
        "differing_parts": outcome.differing,
        "different_lists": len(outcome.lists),
        "most_shown_item": item,
        "most_shown_share": share,
        "flaws": dict(outcome.flaws),
    }
