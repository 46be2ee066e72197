"""Placements: named ways to ask Personalize and to answer."""

import datetime as dt
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.constants import MAX_ID_CHARACTERS, MAX_NUM_RESULTS, PERSONALIZE_MAX_TPS

Arn = Annotated[
    str,
    StringConstraints(
        pattern=r"^arn:aws[a-z-]*:personalize:[a-z]{2}[a-z0-9-]+:[0-9]{12}:(campaign|recommender|filter)/"
        r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
    ),
]
"""Source: the Arn shape of the Personalize API reference, narrowed to the three kinds that are asked for."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}$")]
ContextName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z\d_]{1,150}$")]
ContextValue = Annotated[str, StringConstraints(max_length=1000)]
ItemId = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_CHARACTERS)]
Tps = Annotated[float, Field(gt=0, le=PERSONALIZE_MAX_TPS)]
Count = Annotated[int, Field(ge=1, le=MAX_NUM_RESULTS)]

MAX_PLACEMENTS: Final = 50
MAX_VARIANTS: Final = 10
MAX_RULES: Final = 20


CONTROL: Final = "control"
"""What the placement's own arm is called where there are variants."""


class _Strict(BaseModel):
    # Built when it is first used: most of them only as a part of a placement.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class PromotionTerms(_Strict):
    """Items that Personalize mixes into a list.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/promoting-items.html
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$")]
    percent: Annotated[int, Field(ge=1, le=100)]
    filter_arn: Arn


class PinTerms(_Strict):
    """An item at a place of every answer."""

    item: ItemId
    slot: Count
    until: dt.datetime | None = None
    """With a time zone; None: for as long as it stands here."""


class RuleTerms(_Strict):
    """What is done to an answer when it is rendered, at no transaction."""

    exclusion_filter: str | None = None
    max_per: Annotated[dict[str, Count], Field(max_length=MAX_RULES)] = Field(default_factory=dict)
    pin: Annotated[list[PinTerms], Field(max_length=MAX_RULES)] = Field(default_factory=list)
    boost: str | None = None
    bury: str | None = None


class VariantTerms(RuleTerms):
    """One arm of an experiment; what it does not name is the placement's."""

    name: Name
    share: Annotated[float, Field(ge=0.0001, le=1)]
    campaign_arn: Arn | None = None
    recommender_arn: Arn | None = None
    tps: Tps | None = None
    filter_arn: Arn | None = None
    popular: bool = False
    """The holdout: non-personalised, at no transaction."""

    @property
    def arn(self) -> str:
        """The campaign or recommender that answers instead of the placement's; empty for the placement's own."""
        return self.campaign_arn or self.recommender_arn or ""


class PlacementTerms(RuleTerms):
    """What one placement asks, and how it answers."""

    kind: Literal["recommendations", "similar-items", "ranking"] = "recommendations"
    campaign_arn: Arn | None = None
    recommender_arn: Arn | None = None
    tps: Tps = 1.0
    filter_arn: Arn | None = None
    fresh_seconds: Annotated[float, Field(ge=0, le=2_592_000)] | None = None
    stale_seconds: Annotated[float, Field(ge=0, le=31_536_000)] | None = None
    context: Annotated[dict[ContextName, ContextValue], Field(max_length=150)] = Field(default_factory=dict)
    context_names: Annotated[list[ContextName], Field(max_length=150)] = Field(default_factory=list)
    promotion: PromotionTerms | None = None
    variants: Annotated[list[VariantTerms], Field(max_length=MAX_VARIANTS)] = Field(default_factory=list)
    needs_user: bool = False
    item_from: str | None = None
    fallback: Annotated[list[Name], Field(max_length=MAX_PLACEMENTS)] = Field(default_factory=list)
    category_column: str | None = None
    top_up: bool | None = None

    @property
    def arn(self) -> str:
        """Who answers, campaign or recommender."""
        return self.campaign_arn or self.recommender_arn or ""
