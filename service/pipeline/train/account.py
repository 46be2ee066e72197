"""What there is in Personalize: found by name, described, waited for."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from service.errors import PipelineError
from service.pipeline.ports import ControlPlane, Display, NotFound
from service.pipeline.train.nouns import VERSION, Noun

MAX_WAIT_SECONDS: Final = 24 * 3600.0
"""Trainings of very large data take many hours."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that exists, as Personalize describes it."""

    noun: Noun
    name: str
    described: Mapping[str, Any]

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.described[self.noun.arn])

    @property
    def status(self) -> str:
        """Of its latest update, if one is under way or failed; else its own. A schema is always ACTIVE."""
        own = str(self.described.get("status", "ACTIVE"))
        update = str(self.update.get("status", ""))
        return update if own == "ACTIVE" and update and update != "ACTIVE" else own

    @property
    def update(self) -> Mapping[str, Any]:
        """The latest update; empty if there never was one."""
        return self.described.get(self.noun.update) or {}

    @property
    def is_pending(self) -> bool:
        """Whether its status will change by itself."""
        return self.status.endswith(("PENDING", "IN_PROGRESS", "STOPPING"))

    @property
    def has_failed(self) -> bool:
        """Whether it was never made."""
        return str(self.described.get("status", "")) in {"CREATE FAILED", "CREATE STOPPED", "FAILED"}

    @property
    def failure(self) -> str:
        """Why, in Amazon's words."""
        reason = self.update.get("failureReason") or self.described.get("failureReason")
        return str(reason or "Personalize gives no reason")


@dataclass(slots=True, kw_only=True)
class Account:
    """One region of one account.

    Args:
        plane: Personalize.
        display: Shows waits.
        poll_seconds: Between two looks at what is under way.
    """

    plane: ControlPlane
    display: Display
    poll_seconds: float = 20.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _noted: dict[str, str] = field(default_factory=dict)

    def listed(self, noun: Noun, **by: str) -> Iterator[Mapping[str, Any]]:
        """The summaries of a kind, all pages."""
        token: dict[str, str] = {}
        while True:
            answer = self.plane.call(f"list_{noun.plural}", maxResults=100, **by, **token)
            yield from answer[noun.listed]
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}

    def describe(self, noun: Noun, arn: str) -> Resource:
        """A resource of a known ARN.

        Raises:
            NotFound: It is not there.
        """
        described = self.plane.call(f"describe_{noun.operation}", **{noun.arn: arn})[noun.key]
        return Resource(noun, str(described.get(noun.name, "")), described)

    def find(self, noun: Noun, name: str, **by: str) -> Resource | None:
        """The resource of a name; of the latest attempt, where those that failed stay."""
        return self.attempt(noun, name, **by)[0]

    def attempt(self, noun: Noun, name: str, **by: str) -> tuple[Resource | None, str]:
        """The resource of a name, and the name that one made now gets.

        Both come from one look. Whatever is made in between takes that name first, and the second creation is refused.
        """
        names = self._attempts(noun, **by)
        for attempt in _attempt_names(noun, name):
            arn = names.get(attempt)
            if arn is None:
                return None, attempt
            with suppress(NotFound):
                found = self.describe(noun, arn)
                if not (noun.is_repeatable and found.has_failed):
                    return found, attempt
        return None, name

    def all(self, noun: Noun, **by: str) -> list[Resource]:
        """Everything of a kind, described."""
        found = []
        for summary in self.listed(noun, **by):
            with suppress(NotFound):
                found.append(self.describe(noun, summary[noun.arn]))
        return found

    def wait(self, resources: Sequence[tuple[Noun, str]], *, until_gone: bool = False) -> None:
        """Wait until nothing is under way any more.

        Raises:
            PipelineError: At least one has failed; a line with the reason for each.
        """
        waiting = list(resources)
        failed: list[str] = []
        began = self.clock()
        least, most = (max((noun.minutes[at] for noun, _ in waiting), default=0) for at in (0, 1))
        usual = f"usually {least} to {most} min" if most and not until_gone else ""
        with self.display.track("wait", "resources", len(waiting)) as track:
            while waiting:
                still = []
                for noun, arn in waiting:
                    resource = self._now(noun, arn)
                    if resource is None:
                        if not until_gone:
                            failed.append(f"{noun.word} {arn}: is gone; something else deleted it")
                    elif resource.is_pending or (until_gone and not resource.status.endswith("FAILED")):
                        still.append((noun, arn))
                        self._note(resource, began, usual)
                    elif resource.status.endswith(("FAILED", "STOPPED")):
                        failed.append(f"{noun.word} {resource.name}: {resource.status}: {resource.failure}")
                waiting = still
                track.reach(len(resources) - len(waiting), f"{self.clock() - began:,.0f} s; {usual}")
                if waiting:
                    if self.clock() - began > MAX_WAIT_SECONDS:
                        raise PipelineError(*(f"{noun.word} {arn}: takes too long" for noun, arn in waiting))
                    self.sleep(self.poll_seconds)
        if failed:
            raise PipelineError(*failed)

    def _now(self, noun: Noun, arn: str) -> Resource | None:
        try:
            return self.describe(noun, arn)
        except NotFound:
            return None

    def _note(self, resource: Resource, began: float, usual: str) -> None:
        """Say a status once, when it is new."""
        if self._noted.get(resource.arn) != resource.status:
            self._noted[resource.arn] = resource.status
            minutes = (self.clock() - began) / 60
            after = f", {minutes:.0f} min" if minutes >= 1 else ""
            self.display.say(f"{resource.noun.word} {resource.name}: {resource.status}{after}; {usual}".rstrip("; "))

    def _attempts(self, noun: Noun, **by: str) -> dict[str, str]:
        """ARNs by name. The list of versions holds no names, so each is asked for its own."""
        if noun is VERSION:
            return {resource.name: resource.arn for resource in self.all(noun, **by) if resource.name}
        return {str(summary[noun.name]): str(summary[noun.arn]) for summary in self.listed(noun, **by)}


def _attempt_names(noun: Noun, name: str) -> Iterator[str]:
    yield name
    number = 2
    while noun.is_repeatable:
        yield f"{name}-{number}"
        number += 1
