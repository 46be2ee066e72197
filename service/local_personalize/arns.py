"""Which resources exist."""

from dataclasses import dataclass
from typing import Final

CAMPAIGN_ARN: Final = "arn:aws:personalize:us-east-1:000000000000:campaign/local"
"""The campaign that is always there."""

SIMILAR_ITEMS_ARN: Final = "arn:aws:personalize:us-east-1:000000000000:campaign/local-similar"
"""A second campaign, so that similar items can have a budget of their own."""

RANKING_ARN: Final = "arn:aws:personalize:us-east-1:000000000000:campaign/local-ranking"
"""A third campaign, for rankings."""

RECOMMENDER_ARN: Final = "arn:aws:personalize:us-east-1:000000000000:recommender/local"
"""The recommender that is always there."""

DATASET_ARN: Final = "arn:aws:personalize:us-east-1:000000000000:dataset/local/"
"""With ITEMS, USERS or ACTIONS behind it, a dataset that is always there."""

TRACKING_ID: Final = "local-tracker"
"""The event tracker that is always there."""


@dataclass(frozen=True, slots=True)
class KnownArns:
    """The ARNs that are answered; every other one does not exist."""

    campaigns: frozenset[str]
    recommenders: frozenset[str]
    filters: frozenset[str] = frozenset()
