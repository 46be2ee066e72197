"""What a rehearsal asks of others, and the values that it passes."""

from dataclasses import dataclass, field
from typing import Protocol

from service.braze.ports import Answer, Call, Job, Message


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

    async def render(self, job: Job, answers: list[Answer]) -> Message | Call:
        """The message, or the first call that has no answer yet.

        Raises:
            TemplateError: Braze would send nothing.
        """


@dataclass(slots=True)
class Played:
    """What became of one part of a message, or of the whole message."""

    user: str
    fate: str
    """`rendered`, `blank`, `aborted` or `failed`; a message that holds a mistake is `flawed`."""
    why: str = ""
    """Why it was aborted or failed."""
    texts: list[str] = field(default_factory=list)
    items: list[tuple[str, ...]] = field(default_factory=list)
    """Ids of each call's answer, in order."""
    heard: list[Heard] = field(default_factory=list)
