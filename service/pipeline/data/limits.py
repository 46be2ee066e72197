"""What Amazon Personalize asks of data.

Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html and how-it-works-dataset-schema.html
"""

from collections.abc import Mapping
from typing import Final, Literal

DatasetKind = Literal["interactions", "items", "users"]
Domain = Literal["ECOMMERCE", "VIDEO_ON_DEMAND"]

KINDS: Final[tuple[DatasetKind, ...]] = ("interactions", "items", "users")

MIN_INTERACTIONS: Final = 1_000
"""After the solution's filter by event type."""

MIN_RETURNING_USERS: Final = 25
"""Users with two or more interactions."""

MIN_RETURNING_SHARE: Final = 0.01
"""Of all users, those with two or more interactions."""

GOOD_INTERACTIONS: Final = 50_000
"""From here on Amazon expects good recommendations."""

GOOD_RETURNING_USERS: Final = 1_000
"""The same of users with two or more interactions."""

MAX_ID_CHARACTERS: Final = 256
MAX_EVENT_TYPE_CHARACTERS: Final = 256
MAX_CATEGORICAL_CHARACTERS: Final = 1_000
MAX_TEXT_CHARACTERS: Final = 20_000
MAX_IMPRESSION_CHARACTERS: Final = 1_000

MAX_METADATA: Final[Mapping[DatasetKind, int]] = {"interactions": 5, "items": 100, "users": 25}
"""Columns besides those that have a meaning of their own."""

MAX_EVENT_TYPES_AND_METADATA: Final = 10
"""Distinct event types and metadata columns of the interactions, together."""

MAX_ITEMS: Final = 750_000
"""Items that a model of the first recipes considers; the v2 recipes take `MAX_ITEMS_V2`."""

MAX_ITEMS_V2: Final = 5_000_000

REQUIRED: Final[Mapping[DatasetKind, tuple[str, ...]]] = {
    "interactions": ("USER_ID", "ITEM_ID", "TIMESTAMP"),
    "items": ("ITEM_ID",),
    "users": ("USER_ID",),
}

RESERVED: Final[Mapping[DatasetKind, Mapping[str, str]]] = {
    "interactions": {
        "EVENT_TYPE": "string",
        "EVENT_VALUE": "float",
        "IMPRESSION": "string",
        "RECOMMENDATION_ID": "string",
        "EVENT_ATTRIBUTION_SOURCE": "string",
    },
    "items": {"CREATION_TIMESTAMP": "long"},
    "users": {},
}
"""Columns that need not be there; where they are, Amazon fixes their meaning and type."""

UNSENDABLE: Final = frozenset({"USERID", "SESSIONID", "EVENTTYPE", "TIMESTAMP", "RECOMMENDATIONID", "IMPRESSION"})
"""Names, without `_`, that PutEvents reserves: no event can carry such a column."""

DOMAIN_REQUIRED: Final[Mapping[Domain, Mapping[DatasetKind, tuple[str, ...]]]] = {
    "ECOMMERCE": {
        "interactions": ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"),
        "items": ("ITEM_ID", "PRICE", "CATEGORY_L1"),
        "users": ("USER_ID",),
    },
    "VIDEO_ON_DEMAND": {
        "interactions": ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"),
        "items": ("ITEM_ID", "GENRES", "CREATION_TIMESTAMP"),
        "users": ("USER_ID",),
    },
}
"""Source: https://docs.aws.amazon.com/personalize/latest/dg/domain-use-cases.html"""

EARLIEST_PLAUSIBLE: Final = 946_684_800
"""2000-01-01. An earlier interaction is more likely a mistake."""

MAX_SECONDS: Final = 100_000_000_000
"""Year 5138; a larger timestamp counts milliseconds."""
