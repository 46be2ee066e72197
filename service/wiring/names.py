"""Names that the processes of one deployment must agree on, made from its settings."""

import hashlib
from pathlib import Path

from service.lists.freshness import Freshness
from service.lists.keys import UserKeys
from service.settings import Settings
from service.wiring.addresses import Address, address_of


def deployment_of(settings: Settings) -> str:
    """Replicas share lists, blocked items and batch lists with those whose first placement is the same."""
    return _hashed(address_of(settings.first_placement).scope)


def budget_group_of(address: Address) -> str:
    """Everybody who asks one ARN shares its budget."""
    return _hashed(address.arn)


def redis_prefix(settings: Settings) -> str:
    """What the names of this deployment's lists begin with in Redis."""
    return f"pc:{deployment_of(settings)}"


def blocked_key(settings: Settings) -> str:
    """Where the replicas of this deployment keep which items are blocked."""
    return f"pc:{{{deployment_of(settings)}}}:blocked"


def columns_key(settings: Settings) -> str:
    """Where the replicas of this deployment keep which columns their catalogue has had."""
    return f"pc:{{{deployment_of(settings)}}}:columns:{_hashed(settings.catalog_url)}"


def columns_file(settings: Settings) -> Path:
    """The same of an embedded replica."""
    return settings.data_dir / f"catalog-columns-{_hashed(settings.catalog_url)}.json"


def forgotten_key(settings: Settings) -> str:
    """Where the replicas of this deployment keep which users were forgotten."""
    return f"pc:{{{deployment_of(settings)}}}:forgotten"


def batch_prefix(settings: Settings, placement: str) -> str:
    """What the names of a placement's batch lists begin with in Redis."""
    # A hash tag, so that a cluster keeps all of it in one slot.
    prefix = f"pc:{{{deployment_of(settings)}}}:batch"
    return prefix if placement == next(iter(settings.placements)) else f"{prefix}:{placement}"


def asked_key(settings: Settings, placement: str) -> str:
    """Where the replicas keep which items a placement was asked for lately."""
    return f"pc:{{{deployment_of(settings)}}}:asked:{placement}"


def batch_dir(settings: Settings, placement: str) -> Path:
    """Where an embedded replica keeps a placement's batch lists."""
    data_dir = settings.data_dir
    return data_dir if placement == next(iter(settings.placements)) else data_dir / "placements" / placement


def user_keys(settings: Settings, placement: str = "") -> UserKeys:
    """Makes the keys under which the replicas keep a placement's lists; empty: the first one's."""
    terms = settings.placements[placement] if placement else settings.first_placement
    return UserKeys(secret=settings.user_key, scope=address_of(terms).scope)


def freshness(settings: Settings) -> Freshness:
    """How long lists are good where the placement does not say."""
    return Freshness(fresh_seconds=settings.cache_fresh_seconds, stale_seconds=settings.cache_stale_seconds)


def max_stale_seconds(settings: Settings) -> float:
    """How long a list of any placement may be served."""
    named = [terms.stale_seconds for terms in settings.placements.values() if terms.stale_seconds is not None]
    return max([settings.cache_stale_seconds, *named])


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
