"""What `personalize.toml` may say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.filters import FilterError, parse_filter
from service.pipeline.data.limits import KINDS, DatasetKind, Domain
from service.pipeline.train.recipes import RECIPES, USE_CASES

MAX_EXPRESSION_CHARACTERS: Final = 2_500
MAX_WEIGHTS: Final = 10

Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9-]{0,25}$")]
"""Short enough that Personalize, which takes 63 characters, has room for the group's name and a hash."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Addresses = Annotated[list[str], BeforeValidator(_listed)]
"""One address, or a list of them."""


class Terms(BaseModel):
    """A table of the file; a key that it does not have is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)


class DataTerms(Terms):
    """Where the data is."""

    interactions: Addresses = []
    items: Addresses = []
    users: Addresses = []

    schemas: dict[DatasetKind, str] = {}
    """Files with Avro schemas; without one it is inferred."""

    def of(self, kind: DatasetKind) -> Sequence[str]:
        """The addresses of a dataset."""
        addresses: Sequence[str] = getattr(self, kind)
        return addresses


class IntegerRange(Terms):
    """Whole numbers that HPO tries."""

    name: str
    min: int
    max: int


class ContinuousRange(Terms):
    """Numbers that HPO tries."""

    name: str
    min: float
    max: float


class CategoricalRange(Terms):
    """Values that HPO tries."""

    name: str
    values: list[str] = Field(min_length=1)


class HpoTerms(Terms):
    """The search for hyperparameters."""

    jobs: int = Field(4, ge=1, le=40)
    parallel: int = Field(2, ge=1, le=10)
    integer: list[IntegerRange] = []
    continuous: list[ContinuousRange] = []
    categorical: list[CategoricalRange] = []


class ObjectiveTerms(Terms):
    """A numeric column of the items to have more of."""

    column: str
    sensitivity: Literal["LOW", "MEDIUM", "HIGH", "OFF"] = "LOW"


class SolutionTerms(Terms):
    """How to train."""

    recipe: str
    hpo: HpoTerms | None = None
    hyperparameters: dict[str, str | int | float | bool] = {}

    history_percentiles: dict[
        Literal[
            "min_user_history_length_percentile",
            "max_user_history_length_percentile",
            "min_item_interaction_count_percentile",
            "max_item_interaction_count_percentile",
        ],
        Annotated[float, Field(ge=0, le=1)],
    ] = {}

    event_type: str | None = None
    event_value_threshold: float | None = None
    event_weights: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field({}, max_length=MAX_WEIGHTS)
    objective: ObjectiveTerms | None = None

    automatic_training_days: int | None = Field(None, ge=1, le=30)
    """Absent: off. Personalize itself would train every seven days, and bill it."""

    excluded_columns: dict[DatasetKind, list[str]] = {}


class ExplorationTerms(Terms):
    """How much is tried that was not yet shown."""

    weight: float = Field(0.3, ge=0, le=1)
    item_age_cut_off: float = Field(30, gt=0)
    """In days."""


class InfluenceTerms(Terms):
    """What else similar items are ranked by."""

    popularity: float = Field(0, ge=0, le=1)
    freshness: float = Field(0, ge=0, le=1)


class AskingTerms(Terms):
    """What campaigns and recommenders share."""

    min_tps: int = Field(1, ge=1, le=2_500)
    exploration: ExplorationTerms | None = None
    metadata: bool = False
    filter: str | None = None
    """Of this file, for the placement."""

    placement: str | None = Field(None, pattern=r"^[a-z0-9-]{1,63}$")
    """Its name in `placements.toml`; its own if absent."""


class CampaignTerms(AskingTerms):
    """A version that answers."""

    solution: str
    ranking_influence: InfluenceTerms | None = None


class RecommenderTerms(AskingTerms):
    """A use case of a domain."""

    use_case: str


class BatchTerms(Terms):
    """A batch job."""

    solution: str
    results: int = Field(25, ge=1, le=500)
    filter: str | None = None
    output: str = Field(pattern=r"^(s3|file)://.+/$")


class PriceTerms(Terms):
    """What Amazon charges, as its page of prices says for the region; 0 leaves a part out."""

    data_gb: float = Field(0, ge=0)
    training_hour: float = Field(0, ge=0)
    training_1000_interactions: float = Field(0, ge=0)
    tps_hour: float = Field(0, ge=0)
    batch_1000: float = Field(0, ge=0)


class PipelineTerms(Terms):
    """The whole file."""

    name: Name
    """Of the dataset group, and the beginning of all names."""

    domain: Domain | None = None
    role_arn: str | None = Field(None, pattern=r"^arn:[a-z-]+:iam::\d{12}:role/.+$")
    upload: str | None = Field(None, pattern=r"^(s3|file)://.+/$")
    data: DataTerms
    event_tracker: bool = False
    filters: dict[Name, Annotated[str, Field(max_length=MAX_EXPRESSION_CHARACTERS)]] = {}
    solutions: dict[Name, SolutionTerms] = {}
    campaigns: dict[Name, CampaignTerms] = {}
    recommenders: dict[Name, RecommenderTerms] = {}
    batch: dict[Name, BatchTerms] = {}
    prices: PriceTerms | None = None

    @property
    def kinds(self) -> tuple[DatasetKind, ...]:
        """The datasets that have data."""
        return tuple(kind for kind in KINDS if self.data.of(kind))


_Terms = TypeVar("_Terms", bound=Terms)


def problems_of(terms: PipelineTerms) -> Iterator[str]:
    """What is wrong though each value is fine by itself."""
    if not terms.kinds:
        yield "data: names no file; interactions are needed, items and users are welcome"
    for name, text in terms.filters.items():
        try:
            parse_filter(text)
        except FilterError as error:
            yield f"filters.{name}: {str(error).splitlines()[0]}"
    if terms.upload is None and any("://" not in one for kind in terms.kinds for one in terms.data.of(kind)):
        yield 'upload: is missing; files on this disk need a place for Personalize to read them: "s3://bucket/prefix/"'
    yield from _each("solutions", terms.solutions, lambda one: _solution_problems(terms, one))
    yield from _each("campaigns", terms.campaigns, lambda one: _campaign_problems(terms, one))
    yield from _each("recommenders", terms.recommenders, lambda one: _recommender_problems(terms, one))
    yield from _each("batch", terms.batch, lambda one: _batch_problems(terms, one))
    yield from _placement_problems(terms)


def _each(table: str, named: Mapping[str, _Terms], problems: Callable[[_Terms], Iterator[str]]) -> Iterator[str]:
    return (f"{table}.{name}.{problem}" for name, one in named.items() for problem in problems(one))


def _solution_problems(terms: PipelineTerms, solution: SolutionTerms) -> Iterator[str]:
    recipe = RECIPES.get(solution.recipe.removeprefix("aws-"))
    if recipe is None:
        yield f"recipe: {solution.recipe!r} is none; there are {', '.join(RECIPES)}"
        return
    takes: Mapping[str, tuple[Any, bool]] = {
        "hpo": (solution.hpo, recipe.hpo),
        "event_weights": (solution.event_weights, recipe.event_weights),
    }
    for key, (value, is_taken) in takes.items():
        if value and not is_taken:
            able = [name for name, one in RECIPES.items() if getattr(one, key)]
            yield f"{key}: {recipe.name} has none; these have it: {', '.join(able)}"
    if recipe.needs_items and not terms.data.items:
        yield f"recipe: {recipe.name} learns from items, and data.items names no file"
    elif not recipe.needs_items and not terms.data.interactions:
        yield f"recipe: {recipe.name} learns from interactions, and data.interactions names no file"
    if solution.event_value_threshold is not None and solution.event_type is None:
        yield "event_value_threshold: needs event_type"
    if solution.hpo is not None and solution.hpo.parallel > solution.hpo.jobs:
        yield f"hpo.parallel: {solution.hpo.parallel} is above hpo.jobs, {solution.hpo.jobs}"


def _campaign_problems(terms: PipelineTerms, campaign: CampaignTerms) -> Iterator[str]:
    yield from _filter_problem(terms, campaign.filter)
    solution = terms.solutions.get(campaign.solution)
    if solution is None:
        yield f"solution: there is no [solutions.{campaign.solution}]"
        return
    recipe = RECIPES.get(solution.recipe.removeprefix("aws-"))
    if recipe is not None and campaign.exploration is not None and not recipe.exploration:
        yield f"exploration: {recipe.name} does not explore by request; remove it"
    if recipe is not None and campaign.ranking_influence is not None and not recipe.ranking_influence:
        yield f"ranking_influence: {recipe.name} has none; remove it"


def _recommender_problems(terms: PipelineTerms, recommender: RecommenderTerms) -> Iterator[str]:
    yield from _filter_problem(terms, recommender.filter)
    if recommender.use_case not in USE_CASES:
        yield f"use_case: {recommender.use_case!r} is none; there are {', '.join(USE_CASES)}"
    elif terms.domain != USE_CASES[recommender.use_case][0]:
        yield f'use_case: {recommender.use_case} needs domain = "{USE_CASES[recommender.use_case][0]}"'


def _batch_problems(terms: PipelineTerms, batch: BatchTerms) -> Iterator[str]:
    yield from _filter_problem(terms, batch.filter)
    solution = terms.solutions.get(batch.solution)
    if solution is None:
        yield f"solution: there is no [solutions.{batch.solution}]"
    else:
        recipe = RECIPES.get(solution.recipe.removeprefix("aws-"))
        if recipe is not None and not recipe.batch:
            yield f"solution: {recipe.name} makes no batch jobs"


def _filter_problem(terms: PipelineTerms, name: str | None) -> Iterator[str]:
    if name is not None and name not in terms.filters:
        yield f"filter: there is no {name!r} in [filters]"


def _placement_problems(terms: PipelineTerms) -> Iterator[str]:
    seen: set[str] = set()
    asking = [*terms.campaigns.items(), *terms.recommenders.items()]
    for name, one in asking:
        placement = one.placement or name.lower()
        if placement in seen:
            yield f"{name}.placement: {placement} is there twice; give one of them another name"
        seen.add(placement)
