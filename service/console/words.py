"""What the words of an explanation mean, for people who send campaigns."""

from collections.abc import Mapping
from typing import Any, Final

from service.console.spare import MAX_WAIT_SECONDS

DROPPED: Final[Mapping[str, str]] = {
    "requested": "the call itself excludes it",
    "blocked": "somebody has blocked it here",
    "unknown": "the catalogue has no complete item of this id",
    "excluded": "an exclusion filter keeps it out",
    "max_per": "enough others have the same value in a column (max_per)",
    "bought": "the user has bought it, or a variant of it",
    "num_results": "enough better ones are shown",
}
"""Why an item is not shown, by the rule that drops it."""

MOVED: Final[Mapping[str, str]] = {
    "pin": "pinned to this place by the operator",
    "boost": "moved up by the boost rule",
    "bury": "moved down by the bury rule",
    "rotate": "shown in a recent send, so at the end",
}
"""Why an item is not where Personalize put it, by the rule that moves it."""

SOURCES: Final[Mapping[str, str]] = {
    "personalize": "a list that Personalize has just made",
    "cache": "a fresh list",
    "stale": "an older list, since no new one could be had",
    "batch": "a list that a batch job made",
    "popular": "popular items, the same for everybody",
    "unranked": "the given items in the order given",
    "empty": "nothing: no item may be shown",
}
"""Where an answer is from."""

REASONS: Final[Mapping[str, str]] = {
    "budget": "the budget has no slot",
    "throttled": "Personalize refused a call for its rate",
    "timeout": "Personalize did not answer in time",
    "error": "no live list is kept",
    "breaker": "Personalize fails and is not asked for a moment",
    "no_user": "no user was named",
    "no_item": "no item is known to start from",
    "short": "fewer items may be shown than were asked for",
}
"""Why an answer is less than wanted."""

FETCHED: Final[Mapping[str, str]] = {
    "fetched": "A fresh list was fetched in a spare slot of the budget.",
    "no_spare_slot": f"No list was fetched: the budget had no spare slot within {MAX_WAIT_SECONDS:g} s. Try again.",
    "no_list": "There is no list to fetch: this user and placement get none from Personalize.",
    "breaker": "No list was fetched: Personalize fails, and is not asked for a moment.",
    "failed": "A list was asked for, and none came. The log says why.",
}
"""What came of fetching a list."""


def why(item: Mapping[str, Any]) -> str:
    """Why an item of an explanation is where it is, or why it is not shown."""
    dropped_by = item["dropped_by"]
    if dropped_by is not None:
        return DROPPED.get(dropped_by, str(dropped_by))
    parts = []
    if item["rank"] is not None:
        parts.append(f"place {item['rank']} in the list")
    elif item["from"] == "popular":
        parts.append("a popular item, which fills up what is missing")
    if item["moved_by"] is not None:
        parts.append(MOVED.get(item["moved_by"], str(item["moved_by"])))
    return "; ".join(parts)


def summary(found: Mapping[str, Any]) -> str:
    """What the next call would get, in a sentence or two."""
    next_call = found["next_call"]
    shown = sum(one["place"] is not None for one in found["items"])
    source, reason = next_call["source"], next_call["reason"]
    items = "1 item" if shown == 1 else f"{shown} items"
    gets = SOURCES.get(source, source) if source == "empty" else f"{items} from {SOURCES.get(source, source)}"
    because = f" ({REASONS.get(reason, reason)})" if reason else ""
    if next_call["does"] == "ask":
        return f"The next call asks Personalize. If no list comes in time, it gets {gets}{because}."
    if next_call["does"] == "repeat":
        return f"The next call repeats what this user was shown before: {gets}{because}."
    return f"The next call gets {gets}{because}."
