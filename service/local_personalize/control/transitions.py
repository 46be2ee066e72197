"""What is going on: each change of a status that takes time.

::

    CREATE PENDING -> CREATE IN_PROGRESS -> ACTIVE | CREATE FAILED
    UPDATE PENDING -> UPDATE IN_PROGRESS -> ACTIVE | UPDATE FAILED      of a part, such as latestCampaignUpdate
    DELETE PENDING -> DELETE IN_PROGRESS -> gone

A transition ends when its time is over and its job is done, whichever comes last. Nothing runs by a timer: the one who
asks about resources lets the time pass first, with `advance`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from service.local_personalize.control.durations import Durations
from service.local_personalize.control.store import Record, Store
from service.local_personalize.control.workers import Workers, result_of, write_job

Ending = Callable[[Record, Record, dict[str, Any]], None]
"""Takes the resource, the transition and the job's result when it ends well, before the status is written."""

GONE = "GONE"
"""The last status of a deletion."""


class Transitions:
    """All that is going on.

    Args:
        store: Keeps it.
        durations: Tells the time.
        workers: Do the jobs.
    """

    def __init__(self, store: Store, *, durations: Durations, workers: Workers) -> None:
        self._store = store
        self._durations = durations
        self._workers = workers
        self._ending_at: float | None = None
        self._endings: dict[tuple[str, str], Ending] = {}
        for _, transition in store.transitions():
            if transition["work"] and result_of(Path(transition["work"])) is None:
                workers.submit(Path(transition["work"]))

    @property
    def moment(self) -> float:
        """When what happens now happens: now, or when the change ended that has it happen."""
        return self._durations.now() if self._ending_at is None else self._ending_at

    def on_end(self, noun: str, verb: str, ending: Ending) -> None:
        """Call this whenever such a change of such a resource ends well."""
        self._endings[noun, verb] = ending

    def begin(
        self,
        record: Record,
        *,
        verb: str,
        minutes: float,
        final: str = "ACTIVE",
        part: str = "",
        job: dict[str, Any] | None = None,
        failure: str | None = None,
    ) -> None:
        """Begin a change of a resource that is in the store, and set its first status.

        Args:
            record: The resource.
            verb: `CREATE`, `UPDATE`, `DELETE`, ...; empty where the statuses have none.
            minutes: How long it takes at least, in Amazon's time.
            final: The status in which it ends well.
            part: The field whose status changes; empty for the resource itself.
            job: What has to be done.
            failure: Why it will fail; None if it need not.
        """
        name = uuid4().hex
        directory = self._store.directory / "work" / name
        steps = self._durations.steps(verb, minutes, final, begins_at=self.moment)
        target = record[part] if part else record
        target["status"] = steps[0][1]
        target["lastUpdatedDateTime"] = steps[0][0]
        target.pop("failureReason", None)
        transition: Record = {
            "arn": record["_arn"],
            "noun": record["_noun"],
            "part": part,
            "verb": verb,
            "steps": steps[1:],
            "work": None if job is None else str(directory),
            "failure": failure,
        }
        if job is not None:
            write_job(directory, job)
        self._store.save(record["_arn"], record)
        self._store.save_transition(name, transition)
        if job is not None:
            self._workers.submit(directory)

    def stop(self, arn: str) -> None:
        """Forget what is going on with a resource."""
        for name, transition in self._store.transitions():
            if transition["arn"] == arn:
                self._discard(name, transition)

    def is_going_on(self, arn: str) -> bool:
        """Whether anything of this resource is changing."""
        return any(transition["arn"] == arn for _, transition in self._store.transitions())

    def advance(self) -> None:
        """Let everything happen whose time has come, in the order of time."""
        while due := self._next_due():
            self._step(*due)

    def _next_due(self) -> tuple[str, Record] | None:
        now = self._durations.now()
        due = [(t["steps"][0][0], name, t) for name, t in self._store.transitions() if self._is_due(t, now)]
        if not due:
            return None
        _, name, transition = min(due, key=lambda one: one[:2])
        return name, transition

    @staticmethod
    def _is_due(transition: Record, now: float) -> bool:
        if transition["steps"][0][0] > now:
            return False
        is_last = len(transition["steps"]) == 1
        work = transition["work"]
        return not (is_last and work and result_of(Path(work)) is None)

    def _step(self, name: str, transition: Record) -> None:
        at, status = transition["steps"].pop(0)
        record = self._store.get(transition["arn"])
        if record is None:
            self._discard(name, transition)
            return
        if transition["steps"]:
            self._set(record, transition, status, at)
            self._store.save_transition(name, transition)
            return
        result = (result_of(Path(transition["work"])) if transition["work"] else None) or {}
        failure = transition["failure"] or result.get("failure")
        if failure:
            target = record[transition["part"]] if transition["part"] else record
            target["failureReason"] = failure
            self._set(record, transition, f"{transition['verb']} FAILED".strip(), at)
        else:
            if ending := self._endings.get((transition["noun"], transition["verb"])):
                self._ending_at = at
                try:
                    ending(record, transition, result)
                finally:
                    self._ending_at = None
            if status == GONE:
                self._store.remove(transition["arn"])
            else:
                self._set(record, transition, status, at)
        self._store.remove_transition(name)

    def _set(self, record: Record, transition: Record, status: str, at: float) -> None:
        target = record[transition["part"]] if transition["part"] else record
        target["status"], target["lastUpdatedDateTime"] = status, at
        self._store.save(record["_arn"], record)

    def _discard(self, name: str, transition: Record) -> None:
        self._store.remove_transition(name)
        if transition["work"]:
            self._workers.cancel(Path(transition["work"]))
            shutil.rmtree(transition["work"], ignore_errors=True)
