"""What the operations of each kind of resource are called, and how long Amazon usually takes.

Source of the durations: the waits in the notebooks of aws-samples/retail-demo-store.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """A kind of resource in Personalize."""

    word: str
    """As people call it."""

    operation: str
    """As its operations end: `create_OPERATION`."""

    plural: str
    """As the list operation ends."""

    listed: str
    """Key of the list in its answer."""

    key: str
    """Key of a description, and with `Arn` behind it of the ARN."""

    name: str = "name"
    """Key of the name where it is created."""

    minutes: tuple[int, int] = (0, 0)
    """From and to: what making it usually takes."""

    update_minutes: tuple[int, int] = (1, 2)
    """The same of an update."""

    update: str = ""
    """Key of the latest update in a description; empty: it has none."""

    is_repeatable: bool = False
    """One that failed stays, and the next one gets another name: a job, or a version."""

    @property
    def arn(self) -> str:
        """Key of the ARN."""
        return f"{self.key}Arn"


SCHEMA: Final = Noun(word="schema", operation="schema", plural="schemas", listed="schemas", key="schema")
GROUP: Final = Noun(
    word="dataset group", operation="dataset_group", plural="dataset_groups", listed="datasetGroups",
    key="datasetGroup", minutes=(1, 2),
)  # fmt: skip
DATASET: Final = Noun(
    word="dataset", operation="dataset", plural="datasets", listed="datasets", key="dataset", minutes=(1, 2),
    update="latestDatasetUpdate",
)  # fmt: skip
IMPORT_JOB: Final = Noun(
    word="import job", operation="dataset_import_job", plural="dataset_import_jobs", listed="datasetImportJobs",
    key="datasetImportJob", name="jobName", minutes=(10, 15), is_repeatable=True,
)  # fmt: skip
EVENT_TRACKER: Final = Noun(
    word="event tracker", operation="event_tracker", plural="event_trackers", listed="eventTrackers",
    key="eventTracker", minutes=(1, 2),
)  # fmt: skip
FILTER: Final = Noun(
    word="filter", operation="filter", plural="filters", listed="Filters", key="filter", minutes=(1, 3)
)
SOLUTION: Final = Noun(
    word="solution", operation="solution", plural="solutions", listed="solutions", key="solution", minutes=(1, 2),
    update="latestSolutionUpdate",
)  # fmt: skip
VERSION: Final = Noun(
    word="solution version", operation="solution_version", plural="solution_versions", listed="solutionVersions",
    key="solutionVersion", minutes=(40, 60), is_repeatable=True,
)  # fmt: skip
CAMPAIGN: Final = Noun(
    word="campaign", operation="campaign", plural="campaigns", listed="campaigns", key="campaign", minutes=(10, 20),
    update="latestCampaignUpdate",
)  # fmt: skip
RECOMMENDER: Final = Noun(
    word="recommender", operation="recommender", plural="recommenders", listed="recommenders", key="recommender",
    minutes=(60, 120), update_minutes=(10, 60), update="latestRecommenderUpdate",
)  # fmt: skip
BATCH_JOB: Final = Noun(
    word="batch job", operation="batch_inference_job", plural="batch_inference_jobs", listed="batchInferenceJobs",
    key="batchInferenceJob", name="jobName", minutes=(15, 40), is_repeatable=True,
)  # fmt: skip
