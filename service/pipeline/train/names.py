"""What resources are called in Personalize: what cannot be changed later is part of the name, as a hash."""

import json
from hashlib import sha256
from typing import Final

from service.pipeline.data.limits import DatasetKind
from service.pipeline.train.solution_config import solution_fields
from service.pipeline.train.terms import PipelineTerms

HASH_CHARACTERS: Final = 6

TAG_PREFIX: Final = "personalize-connect:"
"""Of the tags at import jobs that say what was imported."""


def solution_name(terms: PipelineTerms, name: str) -> str:
    """The name of a solution in Personalize."""
    return f"{terms.name}-{name}-{hash_of(solution_fields(terms.solutions[name]))}"


def filter_name(terms: PipelineTerms, name: str) -> str:
    """The name of a filter in Personalize."""
    return f"{terms.name}-{name}-{hash_of(terms.filters[name])}"


def schema_name(terms: PipelineTerms, kind: DatasetKind, schema_hash: str) -> str:
    """The name of a schema in Personalize; an inferred one has no hash, since the first one stays."""
    return "-".join(filter(None, (terms.name, kind, schema_hash)))


def campaign_name(terms: PipelineTerms, name: str) -> str:
    """The name of a campaign in Personalize. It serves versions of one solution only, so it has that one's hash."""
    return f"{terms.name}-{name}-{solution_name(terms, terms.campaigns[name].solution).rpartition('-')[2]}"


def hash_of(value: object) -> str:
    """A few characters that change with a value of JSON."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:HASH_CHARACTERS]
