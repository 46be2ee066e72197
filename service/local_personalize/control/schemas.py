"""Schemas: usable at once, and never changed."""

from collections.abc import Iterator
from typing import Any, ClassVar

from service.local_personalize.control import avro
from service.local_personalize.control.refused import in_use
from service.local_personalize.control.resources import Call, Resources
from service.local_personalize.control.store import Record


class Schemas(Resources):
    """CreateSchema, DescribeSchema, ListSchemas, DeleteSchema."""

    noun: ClassVar[str] = "Schema"

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        columns = avro.parse_schema(call.fields["schema"])
        if dataset_type := avro.type_of(call.fields["schema"]):
            avro.check_for(dataset_type, columns, call.fields.get("domain"))
        record = self.new(call, call.fields["name"])
        self.plane.quotas.check("schemas", self.noun)
        self.plane.store.save(record["_arn"], record)
        return record

    def delete(self, call: Call) -> dict[str, Any]:
        """See `Resources.delete`; it is gone at once."""
        record = self.found(call.fields[self.arn_field])
        if user := next(self.users(record), None):
            raise in_use(f"Schema {record['_arn']} is in use by {user['_arn']}.")
        self.plane.store.remove(record["_arn"])
        return {}

    def users(self, record: Record) -> Iterator[Record]:
        """Datasets of this schema."""
        return self.plane.store.of("Dataset", schemaArn=record["_arn"])
