"""What the operations of every kind of resource have in common."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from botocore.model import ListShape

from service.local_personalize.control.durations import DELETE_MINUTES, MINUTES, Durations
from service.local_personalize.control.mishaps import Mishaps
from service.local_personalize.control.names import arn_of
from service.local_personalize.control.quotas import Quotas
from service.local_personalize.control.refused import already_exists, in_use, invalid_token, not_found
from service.local_personalize.control.store import Record, Store
from service.local_personalize.control.transitions import GONE, Transitions
from service.local_personalize.control.wire import service_model

MAX_RESULTS: Final = 100
"""Resources in one answer of a List operation."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that fits its operation's input."""

    fields: dict[str, Any]
    region: str


Operation = Callable[[Call], dict[str, Any]]
"""Gives the fields of the answer, and further ones that its shape drops; may raise `Refusal`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plane:
    """What every kind of resource works with."""

    store: Store
    durations: Durations
    transitions: Transitions
    quotas: Quotas
    mishaps: Mishaps

    def found(self, noun: str, arn: str) -> Record:
        """The resource of this ARN.

        Raises:
            Refusal: ResourceNotFoundException.
        """
        record = self.store.get(arn)
        if record is None or record["_noun"] != noun:
            raise not_found(noun, arn)
        return record

    def ready(self, noun: str, arn: str) -> Record:
        """The resource, which is ACTIVE.

        Raises:
            Refusal: It does not exist, or is not ACTIVE: ResourceInUseException.
        """
        record = self.found(noun, arn)
        if record["status"] != "ACTIVE":
            raise in_use(f"{noun} {arn} is in status {record['status']}; it must be ACTIVE.")
        return record


class Resources:
    """The operations of one kind of resource; a kind is a subclass with a `create`.

    Args:
        plane: What it works with.
    """

    noun: ClassVar[str]
    """As in the names of the operations."""

    name_field: ClassVar[str] = "name"

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        described = service_model().operation_model(f"Describe{self.noun}")
        self.arn_field: str = described.input_shape.required_members[0]
        self._answer_field: str = next(iter(described.output_shape.members))
        listed = service_model().operation_model(f"List{self.noun}s").output_shape.members
        self._list_field = next(name for name, shape in listed.items() if isinstance(shape, ListShape))

    def operations(self) -> dict[str, Operation]:
        """By name, those that Amazon has."""
        mine: dict[str, Operation] = {
            f"Create{self.noun}": self.create,
            f"Describe{self.noun}": self.describe,
            f"List{self.noun}s": self.list,
            f"Delete{self.noun}": self.delete,
            f"Update{self.noun}": self.update,
        }
        return {name: operation for name, operation in mine.items() if name in service_model().operation_names}

    def create(self, call: Call) -> dict[str, Any]:
        """Make one.

        Raises:
            Refusal: It cannot be made.
        """
        raise NotImplementedError

    def update(self, call: Call) -> dict[str, Any]:
        """Change one; for kinds that can be changed.

        Raises:
            Refusal: It cannot be changed.
        """
        raise NotImplementedError

    def describe(self, call: Call) -> dict[str, Any]:
        """All of one."""
        return {self._answer_field: self.found(call.fields[self.arn_field])}

    def list(self, call: Call) -> dict[str, Any]:
        """Some of those there are, the oldest first."""
        fields = dict(call.fields)
        count, start = fields.pop("maxResults", MAX_RESULTS), _position(fields.pop("nextToken", None))
        found = [one for one in self.listed(fields) if one["_arn"].split(":")[3] == call.region]
        answer: dict[str, Any] = {self._list_field: found[start : start + count]}
        if start + count < len(found):
            answer["nextToken"] = urlsafe_b64encode(str(start + count).encode()).decode()
        return answer

    def delete(self, call: Call) -> dict[str, Any]:
        """Begin to take one away.

        Raises:
            Refusal: It is not there, is changing, or something needs it.
        """
        record = self.found(call.fields[self.arn_field])
        arn = record["_arn"]
        if not self._is_at_rest(record):
            raise in_use(f"{self.noun} {arn} is in status {record['status']} and cannot be deleted.")
        if user := next(self.users(record), None):
            raise in_use(f"{self.noun} {arn} is in use by {user['_arn']}.")
        self.plane.transitions.begin(record, verb="DELETE", minutes=DELETE_MINUTES, final=GONE)
        return {}

    def found(self, arn: str) -> Record:
        """The one of this ARN.

        Raises:
            Refusal: ResourceNotFoundException.
        """
        return self.plane.found(self.noun, arn)

    def listed(self, fields: dict[str, Any]) -> Iterator[Record]:
        """Those that fit the fields of a List call."""
        return self.plane.store.of(self.noun, **fields)

    def users(self, record: Record) -> Iterator[Record]:
        """Resources that keep this one from being deleted."""
        del record
        return iter(())

    def new(self, call: Call, name: str, **more: object) -> Record:
        """A record of what the call asks for, named, dated and not yet in the store.

        Raises:
            Refusal: ResourceAlreadyExistsException.
        """
        arn = arn_of(self.noun, name, region=call.region)
        if self.plane.store.get(arn) is not None:
            raise already_exists(self.noun, arn)
        now = self.plane.durations.now()
        fields = {key: value for key, value in call.fields.items() if key != "tags" and value is not None}
        return {
            **fields,
            self.arn_field: arn,
            "creationDateTime": now,
            "lastUpdatedDateTime": now,
            "_arn": arn,
            "_noun": self.noun,
            "_tags": call.fields.get("tags") or [],
            **more,
        }

    def begin(
        self,
        record: Record,
        *,
        job: dict[str, Any] | None = None,
        failure: str | None = None,
        times: float = 1.0,
    ) -> None:
        """Begin to make it; `times` stretches the usual time."""
        minutes = MINUTES[self.noun] * times
        self.plane.transitions.begin(record, verb="CREATE", minutes=minutes, job=job, failure=failure)

    @staticmethod
    def _is_at_rest(record: Record) -> bool:
        status: str = record.get("status", "ACTIVE")
        return status in ("ACTIVE", "INACTIVE", "COMPLETED") or status.endswith(("FAILED", "STOPPED"))


def _position(token: str | None) -> int:
    if token is None:
        return 0
    try:
        return int(urlsafe_b64decode(token.encode()).decode())
    except (ValueError, Base64Error) as error:
        raise invalid_token() from error
