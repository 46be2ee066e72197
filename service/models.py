"""Frozen values that travel between the layers."""

from dataclasses import dataclass
from typing import Final, Literal, NewType, get_args

from service.constants import PERSONALIZE_DEFAULT_RESULTS
from service.errors import DegradedReason
from service.filter_values import meaning

Source = Literal["personalize", "cache", "stale", "batch", "popular", "unranked", "empty"]
"""Where the list of an answer came from; the value of `X-Recommendation-Source`."""

SOURCES: tuple[Source, ...] = get_args(Source)

AnswerFormat = Literal["array", "object"]

Attribution = Literal["", "url", "go"]

RequestKind = Literal["recommendations", "similar-items", "ranking"]

Sender = NewType("Sender", str)
"""Who sent a call: names the credential that came with it, by its place in the settings."""

NOBODY: Final = Sender("")
"""The sender of calls that came without a credential, and of what the service does by itself."""


def sender_of_key(place: int) -> Sender:
    """Who sends the API key at this place of the settings, counted from 0; admin keys follow the API keys."""
    return Sender(f"key {place}")


def sender_of_password(place: int) -> Sender:
    """Who sends the `user:password` at this place of the settings, counted from 0."""
    return Sender(f"password {place}")


@dataclass(frozen=True, slots=True)
class RecommendationQuery:
    """What one Connected Content call asks for."""

    user_id: str
    """Personalize's userId; empty for the non-personalised list."""

    num_results: int
    """Items wanted, 1..100."""

    exclude: frozenset[str] = frozenset()
    """Item ids that must not be shown."""

    fields: tuple[str, ...] = ()
    """Further catalogue columns to put into each item, in this order."""

    filter_values: tuple[tuple[str, str], ...] = ()
    """Placeholder name and value, sorted by name."""

    answer_format: AnswerFormat = "array"

    kind: RequestKind = "recommendations"

    placement: str = ""
    """Name of the placement to ask; empty for the first of the kind."""

    item_id: str = ""
    """The item to which others are similar; empty: none is known."""

    names_item: bool = True
    """Whether an item was named at all, if only as blank; otherwise the placement has to know where to find one."""

    because_of_item: bool = False
    """Whether the item was found among what the user did."""

    item_ids: tuple[str, ...] = ()
    """The items to rank, each once, in the order given."""

    context: tuple[tuple[str, str], ...] = ()
    """Name and value, sorted by name; the placement decides which go to Personalize."""

    send: str = ""
    """The message's send: all of its parts show the same; empty for none."""

    attribution: Attribution = ""
    """How the items' URLs say which list they were shown in."""

    rotate: int = 0
    """Items shown in so many of the user's last sends go to the end."""

    sender: Sender = NOBODY
    """Whose call it is; changes nothing but who waits longer for the budget."""

    @property
    def is_plain(self) -> bool:
        """Whether the answer is the first items of a list, and shows each as all answers do."""
        return self.answer_format == "array" and not (
            self.exclude or self.fields or self.because_of_item or self.send or self.attribution or self.rotate
        )


@dataclass(frozen=True, slots=True)
class ItemList:
    """A list as Personalize ranked it, before any exclusion."""

    item_ids: tuple[str, ...]
    """Best first."""

    recommendation_id: str
    """Personalize's id of this list; empty when there is none."""

    created_at: float
    """Unix seconds at which the list was made."""

    promoted: frozenset[str] = frozenset()
    """Those of the items that a promotion put into the list."""

    is_popular: bool = False
    """Whether Personalize says of every item that it is there because it is popular with everybody.

    It may say so of the list of a user whom it does not know. Only some recipes do.
    """


@dataclass(frozen=True, slots=True)
class Promotion:
    """Items that Personalize mixes into a list."""

    name: str
    """1 to 63 characters; Personalize marks the promoted items with it."""

    percent: int
    """Of the list, 1..100."""

    filter_arn: str
    """Which items are promoted."""

    filter_values: tuple[tuple[str, str], ...] = ()
    """Placeholder name and value, sorted by name."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A list that Personalize can be asked for: makes its key, and the call.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
    """

    user_id: str = ""
    """Whose list; empty where the campaign only needs an item."""

    num_results: int = PERSONALIZE_DEFAULT_RESULTS
    """Items to fetch. It changes no key: a longer list answers a shorter question."""

    kind: RequestKind = "recommendations"

    item_id: str = ""
    """The item to which others are similar."""

    item_ids: tuple[str, ...] = ()
    """The items to rank."""

    filter_values: tuple[tuple[str, str], ...] = ()
    """Placeholder name and value, sorted by name."""

    context: tuple[tuple[str, str], ...] = ()
    """Name and value, sorted by name."""

    promotion: Promotion | None = None

    def changes(self) -> tuple[tuple[str, str], ...]:
        """Everything besides the user that changes the list, by name; empty for a user's plain list.

        Names other than those of filter values begin with `@`, which no placeholder can. Values that mean the same are
        the same here, however they are written.
        """
        values = meaning(self.filter_values) if self.filter_values else ()
        if self.kind == "recommendations" and self.promotion is None and not self.context:
            return values
        changes = [*values, ("@kind", self.kind), ("@item", self.item_id)]
        # As a set: the order in which items are given changes no ranking.
        changes += (("@items", item_id) for item_id in sorted(set(self.item_ids)))
        changes += ((f"@context.{name}", value) for name, value in self.context)
        if self.promotion is not None:
            changes += (("@promotion", f"{self.promotion.percent} {self.promotion.filter_arn} {self.promotion.name}"),)
            changes += ((f"@promotion.{name}", value) for name, value in meaning(self.promotion.filter_values))
        return tuple(changes)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer ready to be written out."""

    body: bytes
    """JSON."""

    source: Source
    degraded_reason: DegradedReason | None
    recommendation_id: str
    age_seconds: int | None
    """Since the list came from Personalize; None for a list that did not."""

    timings: tuple[tuple[str, float], ...] = ()
    """Name and milliseconds of each wait, for `Server-Timing`."""

    dropped: tuple[tuple[str, int], ...] = ()
    """Why items of the list are not shown, and how many."""

    placement: str = ""
    """The placement that answered: a fallback's own name."""

    asked_placement: str = ""
    """The placement that was asked."""

    variant: str | None = None
    """The arm of the placement's experiment that the user is in; None if the placement has none."""

    shown: tuple[str, ...] = ()
    """Ids of the items, in their order."""

    promoted: tuple[str, ...] = ()
    """Those that a promotion put into the list."""

    made_at: float = 0.0
    """Unix seconds at which the list was made."""

    popular: bool = False
    """Whether the items are what is popular with everybody: ours, or by Personalize's word."""
