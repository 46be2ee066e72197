"""Names that the processes of one deployment must agree on, made from its settings."""

import hashlib

from service.lists.freshness import Freshness
from service.lists.keys import UserKeys
from service.settings import Settings


def group_of(settings: Settings) -> str:
    """Replicas that ask the same source of lists share budget, lists and flights."""
    return hashlib.sha256(_scope(settings).encode()).hexdigest()[:16]


def redis_prefix(settings: Settings) -> str:
    """What the names of this deployment's lists and blocked items begin with in Redis."""
    return f"pc:{group_of(settings)}"


def batch_prefix(settings: Settings) -> str:
    """What the names of this deployment's batch lists begin with in Redis."""
    return f"{redis_prefix(settings)}:batch"


def user_keys(settings: Settings) -> UserKeys:
    """Makes the keys under which the replicas keep users' lists."""
    return UserKeys(secret=settings.user_key, scope=_scope(settings))


def freshness(settings: Settings) -> Freshness:
    """How long lists are good."""
    return Freshness(fresh_seconds=settings.cache_fresh_seconds, stale_seconds=settings.cache_stale_seconds)


def _scope(settings: Settings) -> str:
    return f"{settings.arn} {settings.personalize_filter_arn or ''}"
