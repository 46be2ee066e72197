"""The control plane of Personalize in memory: names once each, states that advance when one looks."""

import datetime as dt
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from service.pipeline.ports import AlreadyExists, InUse, LimitExceeded, NotFound
from service.pipeline.train import nouns
from service.pipeline.train.nouns import Noun

NOUNS = {noun.operation: noun for noun in vars(nouns).values() if isinstance(noun, Noun)}
LOOKS = 2
"""Until what is under way is done."""


class Plane:
    """A `ControlPlane` one can ask.

    Attributes:
        calls: The operations, in order.
        failures: Why the next resource of a stem fails.
        scores: NDCG@10 of the next versions, in order.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.made: list[tuple[str, str]] = []
        self.failures: dict[str, str] = {}
        self.scores: list[float] = []
        self.resources: dict[str, dict[str, Any]] = {}
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self._numbers = itertools.count(1)

    def call(self, operation: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
        self.calls.append(operation)
        self.before(operation)
        verb, _, rest = operation.partition("_")
        answer = getattr(self, f"_{verb}")(rest, fields)
        self.after(operation)
        return dict(answer)

    def of(self, stem: str) -> list[dict[str, Any]]:
        return [one for one in self.resources.values() if one["_stem"] == stem]

    def changes(self) -> Counter[str]:
        return Counter(call for call in self.calls if call.partition("_")[0] in {"create", "update", "delete"})

    def _create(self, stem: str, fields: dict[str, Any]) -> dict[str, Any]:
        noun, name = NOUNS[stem], fields.get(NOUNS[stem].name)
        scope = fields.get("solutionArn") if stem == "solution_version" else None
        for other in self.of(stem):
            if other[noun.name] == name and (scope is None or other["solutionArn"] == scope):
                raise AlreadyExists(f"{name} is taken")
            if stem == "event_tracker" and other["datasetGroupArn"] == fields["datasetGroupArn"]:
                raise LimitExceeded("one tracker a group")
            pending = other.get("status", "").endswith(("PENDING", "IN_PROGRESS"))
            if stem == "dataset_import_job" and other["datasetArn"] == fields["datasetArn"] and pending:
                raise InUse("another import is under way")
        for key, value in fields.items():
            assert not key.endswith("Arn") or key == "roleArn" or ":recipe/" in value or value in self.resources, (
                stem,
                key,
                value,
            )
        number = next(self._numbers)
        arn = f"arn:aws:personalize:us-east-1:000000000000:{stem}/{name}"
        if stem == "solution_version":
            arn = f"{scope}/{number:08x}"
            fields["_score"] = self.scores.pop(0) if self.scores else 0.5
        moment = dt.datetime(2026, 11, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=number)
        record = {**fields, "_stem": stem, noun.arn: arn, "creationDateTime": moment}
        if stem == "campaign":
            record["_solutionArn"] = fields["solutionVersionArn"].rpartition("/")[0]
        if stem != "schema":
            record |= {"status": "CREATE PENDING", "_looks": 0, "_fails": self.failures.pop(stem, "")}
        self.resources[arn] = record
        self.made.append((stem, str(name)))
        return {noun.arn: arn, "trackingId": f"t-{number}"}

    def _list(self, plural: str, fields: dict[str, Any]) -> dict[str, Any]:
        if plural == "tags_for_resource":
            return {"tags": self.resources[fields["resourceArn"]].get("tags", [])}
        noun = next(one for one in NOUNS.values() if one.plural == plural)
        by = {key: value for key, value in fields.items() if key not in {"maxResults", "nextToken"}}
        found = [
            one for one in self.of(noun.operation) if all(one.get(k, one.get(f"_{k}")) == v for k, v in by.items())
        ]
        # Two a page, so that nobody forgets the next one.
        start = int(fields.get("nextToken", 0))
        keys = (noun.name, noun.arn, "status") if noun is not nouns.VERSION else (noun.arn, "status")
        page = [{key: one[key] for key in keys if key in one} for one in found[start : start + 2]]
        return {noun.listed: page, **({"nextToken": str(start + 2)} if len(found) > start + 2 else {})}

    def _describe(self, stem: str, fields: dict[str, Any]) -> dict[str, Any]:
        noun = NOUNS[stem]
        record = self._found(fields[noun.arn])
        self._advance(record, noun)
        if record.get("status") == "GONE":
            del self.resources[fields[noun.arn]]
            raise NotFound("gone")
        seen = {key: value for key, value in record.items() if not key.startswith("_")}
        if stem == "event_tracker":
            seen["trackingId"] = "t-1"
        return {noun.key: seen}

    def _advance(self, record: dict[str, Any], noun: Noun) -> None:
        update = record.get(noun.update) if noun.update else None
        target = update if update and update["status"] != "ACTIVE" else record
        if not target.get("status", "").endswith(("PENDING", "IN_PROGRESS")):
            return
        target["_looks"] = target.get("_looks", 0) + 1
        verb = target["status"].partition(" ")[0]
        if target["_looks"] < LOOKS:
            target["status"] = f"{verb} IN_PROGRESS"
        elif verb == "DELETE":
            target["status"] = "GONE"
        elif target.get("_fails"):
            target |= {"status": f"{verb} FAILED", "failureReason": target["_fails"]}
        else:
            target["status"] = "ACTIVE"
            if target is update:
                record |= {k: v for k, v in update.items() if k not in {"status", "_looks", "_fails"}}

    def _update(self, stem: str, fields: dict[str, Any]) -> dict[str, Any]:
        noun = NOUNS[stem]
        record = self._found(fields.pop(noun.arn))
        if record["status"] != "ACTIVE" or record.get(noun.update, {}).get("status", "ACTIVE").endswith("ING"):
            raise InUse("an update is under way")
        record[noun.update] = {**fields, "status": "UPDATE PENDING", "_fails": self.failures.pop(f"update {stem}", "")}
        return {noun.arn: record[noun.arn]}

    def _delete(self, stem: str, fields: dict[str, Any]) -> dict[str, Any]:
        record = self._found(fields[NOUNS[stem].arn])
        if stem == "schema":
            del self.resources[record["schemaArn"]]
        else:
            record |= {"status": "DELETE PENDING", "_looks": 0}
        return {}

    def _get(self, _: str, fields: dict[str, Any]) -> dict[str, Any]:
        score = self._found(fields["solutionVersionArn"])["_score"]
        return {"metrics": {"normalized_discounted_cumulative_gain_at_10": score, "coverage": 0.5}}

    def _found(self, arn: str) -> dict[str, Any]:
        if arn not in self.resources:
            raise NotFound(f"{arn} is not there")
        return self.resources[arn]


class Shelf:
    """A `Storage` in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.puts: list[str] = []

    def has(self, url: str) -> bool:
        return url in self.files

    def put(self, path: Path, url: str) -> None:
        self.files[url] = path.read_bytes()
        self.puts.append(url)


class Quiet:
    """A `Display` that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def track(self, what: str, unit: str, total: int | None = None) -> "Quiet":
        del what, unit, total
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def reach(self, completed: int, note: str) -> None:
        del completed, note
