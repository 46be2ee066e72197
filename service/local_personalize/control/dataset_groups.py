"""Dataset groups."""

from collections.abc import Iterator
from typing import Any, ClassVar

from service.local_personalize.control.refused import invalid_input
from service.local_personalize.control.resources import Call, Resources
from service.local_personalize.control.store import Record

_MEMBERS = ("Dataset", "Solution", "Recommender", "Filter", "EventTracker", "MetricAttribution")


class DatasetGroups(Resources):
    """CreateDatasetGroup and its siblings."""

    noun: ClassVar[str] = "DatasetGroup"

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        if ("roleArn" in call.fields) != ("kmsKeyArn" in call.fields):
            raise invalid_input("roleArn and kmsKeyArn go together.")
        record = self.new(call, call.fields["name"])
        self.plane.quotas.check("dataset-groups", self.noun)
        self.begin(record)
        return record

    def users(self, record: Record) -> Iterator[Record]:
        """All that is in the group."""
        for noun in _MEMBERS:
            yield from self.plane.store.of(noun, datasetGroupArn=record["_arn"])
