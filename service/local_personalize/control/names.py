"""ARNs of the resources, as Amazon builds them."""

from typing import Final
from uuid import uuid4

ACCOUNT: Final = "000000000000"
"""The account that everything here belongs to."""

_PARTS: Final = {
    "Schema": "schema",
    "DatasetGroup": "dataset-group",
    "Dataset": "dataset",
    "DatasetImportJob": "dataset-import-job",
    "DatasetExportJob": "dataset-export-job",
    "DataDeletionJob": "data-deletion-job",
    "Solution": "solution",
    "SolutionVersion": "solution",
    "Campaign": "campaign",
    "Recommender": "recommender",
    "Filter": "filter",
    "EventTracker": "event-tracker",
    "BatchInferenceJob": "batch-inference-job",
    "BatchSegmentJob": "batch-segment-job",
    "MetricAttribution": "metric-attribution",
}

LATEST: Final = "$LATEST"
"""Stands for a solution's latest version that is ready, where a campaign follows it."""


def arn_of(noun: str, name: str, *, region: str) -> str:
    """The ARN of a resource; `name` is what follows the slash."""
    return f"arn:aws:personalize:{region}:{ACCOUNT}:{_PARTS[noun]}/{name}"


def short_id() -> str:
    """Eight hexadecimal digits, as a solution version's ARN ends."""
    return uuid4().hex[:8]


def name_in(arn: str) -> str:
    """The last part of an ARN."""
    return arn.rpartition("/")[2]
