"""Filters of a dataset group, in Personalize's own language."""

from typing import Any, ClassVar, Final

from service.filters import Filter, FilterError, check_columns, parse_filter
from service.local_personalize.control import avro
from service.local_personalize.control.refused import invalid_input
from service.local_personalize.control.resources import Call, Resources
from service.local_personalize.filters import check_names

MAX_FIELDS: Final = 10
"""Distinct fields of one expression. Source: https://docs.aws.amazon.com/personalize/latest/dg/limits.html"""


class Filters(Resources):
    """CreateFilter and its siblings."""

    noun: ClassVar[str] = "Filter"

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        group = self.plane.ready("DatasetGroup", call.fields["datasetGroupArn"])
        self._check_expression(call.fields["filterExpression"], group["_arn"])
        record = self.new(call, call.fields["name"])
        self.plane.quotas.check("filters", self.noun, datasetGroupArn=group["_arn"])
        self.begin(record)
        return record

    def _check_expression(self, text: str, group_arn: str) -> None:
        columns = {
            dataset["datasetType"]: [one.name for one in self._columns(dataset["schemaArn"])]
            for dataset in self.plane.store.of("Dataset", datasetGroupArn=group_arn)
        }
        if avro.INTERACTIONS not in columns:
            raise invalid_input(f"Dataset group {group_arn} has no Interactions dataset.")
        try:
            parsed = parse_filter(text)
            check_names(parsed)
            check_columns(parsed, items=columns.get(avro.ITEMS, []), users=columns.get(avro.USERS, []))
        except FilterError as error:
            raise invalid_input(f"The filter expression is not valid: {error}") from error
        fields = _fields(parsed)
        if len(fields) > MAX_FIELDS:
            raise invalid_input(f"The filter expression has more than {MAX_FIELDS} distinct fields.")
        for other in self.plane.store.of(self.noun, datasetGroupArn=group_arn):
            fields |= _fields(parse_filter(other["filterExpression"]))
        self.plane.quotas.check_fields(len(fields), group_arn)

    def _columns(self, schema_arn: str) -> list[avro.Column]:
        return avro.parse_schema(self.plane.found("Schema", schema_arn)["schema"])


def _fields(parsed: Filter) -> set[tuple[str, str]]:
    return {(field.dataset, field.name.upper()) for field in parsed.fields()}
