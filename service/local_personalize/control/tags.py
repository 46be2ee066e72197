"""Tags of resources."""

from typing import Any, Final

from service.local_personalize.control.refused import not_found, too_many_tags
from service.local_personalize.control.resources import Call, Operation, Plane
from service.local_personalize.control.store import Record

MAX_TAGS: Final = 50


class Tags:
    """TagResource, UntagResource, ListTagsForResource.

    Args:
        plane: Has the resources.
    """

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def operations(self) -> dict[str, Operation]:
        """By name."""
        return {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": lambda call: {"tags": self._found(call)["_tags"]},
        }

    def tag(self, call: Call) -> dict[str, Any]:
        """TagResource: values of keys that are there are replaced."""
        record = self._found(call)
        tags = {tag["tagKey"]: tag["tagValue"] for tag in [*record["_tags"], *call.fields["tags"]]}
        if len(tags) > MAX_TAGS:
            raise too_many_tags()
        self._keep(record, tags)
        return {}

    def untag(self, call: Call) -> dict[str, Any]:
        """UntagResource: keys that are not there are passed over."""
        record = self._found(call)
        gone = set(call.fields["tagKeys"])
        self._keep(record, {tag["tagKey"]: tag["tagValue"] for tag in record["_tags"] if tag["tagKey"] not in gone})
        return {}

    def _keep(self, record: Record, tags: dict[str, str]) -> None:
        record["_tags"] = [{"tagKey": key, "tagValue": value} for key, value in tags.items()]
        self._plane.store.save(record["_arn"], record)

    def _found(self, call: Call) -> Record:
        arn = call.fields["resourceArn"]
        record = self._plane.store.get(arn)
        if record is None:
            raise not_found("Resource", arn)
        return record
