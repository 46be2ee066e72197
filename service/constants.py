"""Limits set by Amazon and Braze, defaults that rooms share, and the few numbers that no operator would change."""

from typing import Final

MAX_ID_CHARACTERS: Final = 256
"""Longest userId and itemId. The SDK does not check it. Source: Personalize API reference, GetRecommendations."""

MAX_NUM_RESULTS: Final = 100
"""Most items of one answer. Ours: with 100 items of 1 kB an answer stays far below Braze's limit of 1 MB."""

DEFAULT_NUM_RESULTS: Final = 10
"""Items of an answer when the caller names no number."""

DEFAULT_FRESH_SECONDS: Final = 900
"""CACHE_FRESH_SECONDS when the operator names none."""

DEFAULT_STALE_SECONDS: Final = 604_800
"""CACHE_STALE_SECONDS when the operator names none: a week."""

DEFAULT_DEADLINE_SECONDS: Final = 1.5
"""REQUEST_DEADLINE_SECONDS when the operator names none: Braze gives a call up after 2 s, and the way takes time."""

MAX_PORT: Final = 65_535
"""Highest TCP port."""

MAX_EXCLUDED_IDS: Final = 500
"""Most ids in `exclude`: as many as a list can hold, so that more could not change an answer."""

MAX_ROTATE: Final = 10
"""Most sends in `rotate`. Ours: what each user was shown in them is kept, about 50 bytes a send of ten items."""

MAX_FIELDS: Final = 20
"""Most further catalogue columns in one request."""

MAX_FILTER_VALUES: Final = 25
"""Most placeholders of a filter. Source: Personalize API reference, filterValues."""

MAX_FILTER_NAME_CHARACTERS: Final = 50
"""Longest placeholder name. Source: Personalize API reference, filterValues."""

MAX_FILTER_VALUE_CHARACTERS: Final = 1000
"""Longest value of one placeholder, quotes included. Source: Personalize API reference, filterValues."""

MAX_CONTEXT_VALUE_CHARACTERS: Final = 1000
"""Longest value of context. Source: Personalize API reference, context."""

MAX_RANKED_IDS: Final = 500
"""Most items of one ranking. Source: Personalize API reference, GetPersonalizedRanking, inputList."""

MAX_LISTS_WITH_VALUES: Final = 20
"""Lists with `filter_values` that are kept of one user. Ours: as many as there are shelves in a shop; a template whose
value never comes twice, such as the time, must not take the room of everybody else's."""

PERSONALIZE_MAX_RESULTS: Final = 500
"""Most items of one GetRecommendations call. Source: Personalize API reference, numResults."""

PERSONALIZE_DEFAULT_RESULTS: Final = 25
"""Items fetched at least, whatever was asked: what the API itself answers when no number is given."""

PERSONALIZE_MAX_TPS: Final = 2500
"""Transactions per second of one account. Source: Personalize quotas."""

PIN_SECONDS: Final = 5.0
"""How long a degraded answer is repeated to the same user, so that the HTML, plain-text and AMP parts of one
message agree. Braze renders the parts of a message within moments of each other."""

MAX_REFRESHES: Final = 10_000
"""Users with a stale list that may wait for a refresh in one replica; about 5 MB. The next ask queues again."""

SPENT_SHARE: Final = 0.98
"""Of PERSONALIZE_TPS: slots are spaced this much wider, so that transactions that leave a little late do not make a
second hold more than TPS + 1 of them at Personalize's side."""

BUDGET_PROMISE: Final = (
    "In any second the replicas spend at most `PERSONALIZE_TPS + 1` transactions; while some miss Redis, "
    "`1.25 x PERSONALIZE_TPS + 1 + replicas`, and the shares of those that Redis does not know."
)
"""What all replicas of one Redis hold to. Redis does not know a replica that started while it was down, nor one that it
has not heard from for 20 s. README, SECURITY, docs and the metric's help have the same sentence."""

MAX_PREWARM_USERS: Final = 250
"""Users of one prewarm call: with ids of 256 characters of 4 bytes each they fit into a body."""

MAX_PREWARM_SECONDS: Final = 4.0
"""Longest wait of such a call for slots: what a replica that is stopped waits for, less a transaction's time."""

MAX_WAITING_CALLERS: Final = 2_000
"""Callers of one replica that wait for a live list at a time; 20 MB or so, and what a core answers in 1.5 s."""

RECOMMENDATIONS_PATH: Final = "/recommendations"
SIMILAR_ITEMS_PATH: Final = "/similar-items"
RANKING_PATH: Final = "/ranking"

FOLDERS: Final = frozenset({"console", "docs", "events", "go", "items", "sample", "users"})
"""First parts of paths that have more behind them; a proxy's prefix would be taken for one."""

QUIET_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines; no access line and no span."""
