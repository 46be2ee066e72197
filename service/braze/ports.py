"""What this room asks of others, and the values that it passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

UNREACHABLE: Final = 598
"""The status that Braze acts upon when a host did not answer in time or could not be reached."""

CALL_SECONDS: Final = 2.0
"""The whole call. Source: braze.com/docs, Make a Connected Content API call."""

MAX_ANSWER_BYTES: Final = 1_000_000
"""A longer answer is not used. Source: braze.com/docs, Make a Connected Content API call."""


@dataclass(frozen=True, slots=True)
class Call:
    """One Connected Content call, with all Liquid in it rendered."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of `:headers` and `:content_type`; no credential that Braze keeps."""
    body: str = ""
    credential: str | None = None
    """The name behind `:basic_auth` or `:auth_credentials`."""
    cache_seconds: int | None = None
    """How long Braze keeps the answer; None: not at all."""
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, and the text if it is a 2XX."""

    status: int
    text: str = ""
    problem: str = ""
    """Why there is no answer, in words for the author of the template."""


class Caller(Protocol):
    """Answers calls. It raises nothing: what went wrong is a status."""

    def __call__(self, call: Call, /) -> Answer:
        """The answer; `UNREACHABLE` where there is none in time."""


@dataclass(frozen=True, slots=True)
class Made:
    """A call and its answer, as a report shows them."""

    url: str
    status: int
    problem: str


@dataclass(frozen=True, slots=True)
class Message:
    """What one user gets."""

    text: str
    aborted: str | None = None
    """Why the template sends nothing; None: it is sent."""
    calls: tuple[Made, ...] = ()
    is_cut: bool = False
    """Whether the text goes on, beyond what the job wanted to see."""


@dataclass(frozen=True, slots=True)
class Job:
    """A template to render for one user.

    Attributes:
        template: As it stands in Braze.
        attributes: What `${name}` stands for.
        namespaces: What `custom_attribute.${name}` and the like stand for, by namespace.
        blocks: The Content Blocks, by name.
        most_characters: Of the message that are shown; None: all.
    """

    template: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    namespaces: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    blocks: Mapping[str, str] = field(default_factory=dict)
    most_characters: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the service said to a call: the answer as Braze has it, and what only we look at."""

    answer: Answer
    seconds: float
    source: str = ""
    """`X-Recommendation-Source`; empty if the answer names none."""
    reason: str = ""
    """`X-Degraded-Reason`."""


class Service(Protocol):
    """The service that is called. It raises nothing: what went wrong is a status."""

    async def call(self, call: Call) -> Heard:
        """What it said, in Braze's 2 seconds."""


class Renderer(Protocol):
    """Renders templates for one user at a time."""

    async def render(self, job: Job, answers: Sequence[Answer]) -> Message | Call:
        """The message, or the first call that has no answer yet.

        Raises:
            TemplateError: Braze would send nothing.
        """
