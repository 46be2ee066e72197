"""What is wanted is made, changed, or kept.

There is no file of state. Each step looks in Personalize by name first, so a run that was killed goes on where it
stopped, and two runs at once make each resource once: the one that comes second finds its name taken.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from service.errors import PipelineError
from service.pipeline.ports import AlreadyExists, InUse, LimitExceeded, NotFound
from service.pipeline.train.account import Account, Resource
from service.pipeline.train.nouns import EVENT_TRACKER, IMPORT_JOB, SCHEMA, Noun
from service.pipeline.train.wanted import Wanted

Outcome = Literal["make", "change", "keep"]

MAX_BUSY_LOOKS: Final = 180
"""Looks at a resource that is in use, or at a quota of what is pending, before it is given up: an hour, usually."""

MAX_TAKEN_LOOKS: Final = 3
"""Looks for a resource whose name is taken before it is said to be somebody else's."""


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one wanted resource."""

    wanted: Wanted
    outcome: Outcome
    why: str = ""
    arn: str = ""

    @property
    def minutes(self) -> tuple[int, int]:
        """From and to: what it usually takes."""
        noun = self.wanted.noun
        return {"make": noun.minutes, "change": noun.update_minutes, "keep": (0, 0)}[self.outcome]


@dataclass(slots=True)
class Applied:
    """What is there afterwards."""

    steps: list[Step] = field(default_factory=list)
    arns: dict[str, str] = field(default_factory=dict)
    """By the key of what is wanted."""

    @property
    def changes(self) -> list[Step]:
        """The steps that did something."""
        return [step for step in self.steps if step.outcome != "keep"]


def look(account: Account, stages: Sequence[Sequence[Wanted]]) -> Applied:
    """What would become of each resource; nothing is changed."""
    seen = Applied()
    for stage in stages:
        for wanted in stage:
            found = _found(account, wanted, seen.arns) if all(need in seen.arns for need in wanted.needs) else None
            if found is None:
                seen.steps.append(Step(wanted, "make"))
                continue
            if found.has_failed:
                seen.steps.append(Step(wanted, "make", f"failed before: {found.failure}", found.arn))
                continue
            seen.arns[wanted.key] = found.arn
            wrong = wanted.changes(found, _or_blank(seen.arns, wanted.needs)) if not found.is_pending else {}
            why = ", ".join(f"{name} becomes {value}" for name, value in wrong.items()) or _state(found)
            seen.steps.append(Step(wanted, "change" if wrong else "keep", why, found.arn))
    return seen


def apply(account: Account, stages: Sequence[Sequence[Wanted]], *, check_data: Callable[[], None]) -> Applied:
    """Make what is wanted, and wait for it.

    Args:
        account: Where.
        stages: What.
        check_data: Is called before anything is made, if data is to be imported; what it raises stops all.

    Raises:
        PipelineError: A resource was refused or has failed; a line for each. The same call goes on from there.
    """
    made = {step.wanted.noun for step in look(account, stages).changes}
    if not made.isdisjoint({SCHEMA, IMPORT_JOB}):
        check_data()
    done = Applied()
    for stage in stages:
        waiting: list[tuple[Noun, str]] = []
        refused: list[str] = []
        for wanted in stage:
            try:
                step, is_pending = _ensure(account, wanted, done.arns)
            except PipelineError as error:
                refused += [f"{wanted.title}: {problem}" for problem in error.problems]
                continue
            done.steps.append(step)
            done.arns[wanted.key] = step.arn
            if is_pending:
                waiting.append((wanted.noun, step.arn))
        try:
            account.wait(waiting)
        except PipelineError as error:
            refused += error.problems
        if refused:
            raise PipelineError(*refused)
    return done


def _ensure(account: Account, wanted: Wanted, arns: Mapping[str, str]) -> tuple[Step, bool]:  # noqa: C901  # each way a call can end
    """The step, and whether there is something to wait for."""
    noun = wanted.noun
    taken = 0
    for _ in range(MAX_BUSY_LOOKS):
        found, name = _attempt(account, wanted, arns)
        try:
            if found is None:
                answer = account.plane.call(f"create_{noun.operation}", **{noun.name: name}, **wanted.fields(arns))
                account.display.say(f"{noun.word} {name}: made")
                return Step(wanted, "make", arn=answer[noun.arn]), noun is not SCHEMA
            if found.status.startswith("DELETE"):
                account.wait([(noun, found.arn)], until_gone=True)
            elif found.has_failed:
                account.display.say(f"{wanted.title}: failed before ({found.failure}); it is made anew")
                delete(account, found)
            elif found.is_pending:
                return _after_pending(account, wanted, found, arns)
            else:
                return _change(account, wanted, found, arns)
        except AlreadyExists:
            taken += 1
            if taken > MAX_TAKEN_LOOKS:
                raise PipelineError(
                    "the name is taken in this account, by something outside of this dataset group; change `name`"
                ) from None
        except LimitExceeded as error:
            if _found(account, wanted, arns) is None and "PENDING" not in str(error):
                raise PipelineError(f"{error}; delete what is not needed, or ask AWS for a higher quota") from error
            account.sleep(account.poll_seconds)
        except InUse:
            account.sleep(account.poll_seconds)
    raise PipelineError("is still in use, or too much else is under way; run the same command again later")


def _after_pending(account: Account, wanted: Wanted, found: Resource, arns: Mapping[str, str]) -> tuple[Step, bool]:
    """What another run began, or this one before it was killed. Only one that can change is waited for at once."""
    if not found.noun.update:
        return Step(wanted, "keep", "was under way", found.arn), True
    account.wait([(found.noun, found.arn)])
    return _change(account, wanted, account.describe(found.noun, found.arn), arns)


def _change(account: Account, wanted: Wanted, found: Resource, arns: Mapping[str, str]) -> tuple[Step, bool]:
    wrong = wanted.changes(found, arns)
    if not wrong:
        return Step(wanted, "keep", found.status, found.arn), False
    account.plane.call(f"update_{found.noun.operation}", **{found.noun.arn: found.arn}, **wrong)
    why = ", ".join(f"{name} becomes {value}" for name, value in wrong.items())
    account.display.say(f"{wanted.title}: {why}")
    return Step(wanted, "change", why, found.arn), True


def delete(account: Account, resource: Resource) -> None:
    """Delete a resource, and wait until it is gone."""
    try:
        account.plane.call(f"delete_{resource.noun.operation}", **{resource.noun.arn: resource.arn})
    except NotFound:
        return
    account.wait([(resource.noun, resource.arn)], until_gone=True)


def _found(account: Account, wanted: Wanted, arns: Mapping[str, str]) -> Resource | None:
    return _attempt(account, wanted, arns)[0]


def _attempt(account: Account, wanted: Wanted, arns: Mapping[str, str]) -> tuple[Resource | None, str]:
    by = wanted.by(arns)
    if wanted.takes_any:
        for summary in account.listed(wanted.noun, **by):
            return account.describe(wanted.noun, summary[wanted.noun.arn]), wanted.name
    return account.attempt(wanted.noun, wanted.name, **by)


def _state(found: Resource) -> str:
    return f"{found.status}: {found.failure}" if found.status.endswith("FAILED") else found.status


def _or_blank(arns: Mapping[str, str], needs: Sequence[str]) -> dict[str, str]:
    return {**dict.fromkeys(needs, ""), **arns}


def tracking_id(account: Account, applied: Applied) -> str:
    """The tracking id of the event tracker; empty without one."""
    arn = applied.arns.get("tracker")
    return str(account.describe(EVENT_TRACKER, arn).described.get("trackingId", "")) if arn else ""
