"""Event trackers: one for each dataset group, whose id PutEvents names."""

from typing import Any, ClassVar
from uuid import uuid4

from service.local_personalize.control import avro
from service.local_personalize.control.names import ACCOUNT, short_id
from service.local_personalize.control.refused import already_exists, invalid_input
from service.local_personalize.control.resources import Call, Resources


class EventTrackers(Resources):
    """CreateEventTracker and its siblings."""

    noun: ClassVar[str] = "EventTracker"

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        group = self.plane.ready("DatasetGroup", call.fields["datasetGroupArn"])["_arn"]
        datasets = self.plane.store.of("Dataset", datasetGroupArn=group, datasetType=avro.INTERACTIONS)
        if next(datasets, None) is None:
            raise invalid_input(f"Dataset group {group} has no Interactions dataset.")
        for other in self.plane.store.of(self.noun, datasetGroupArn=group):
            if other["name"] == call.fields["name"]:
                raise already_exists(self.noun, other["_arn"])
        self.plane.quotas.check("event-trackers", self.noun, datasetGroupArn=group)
        record = self.new(call, short_id(), trackingId=str(uuid4()), accountId=ACCOUNT)
        self.begin(record)
        return record
