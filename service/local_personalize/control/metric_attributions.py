"""Metric attributions: kept and described; nothing is measured by them here."""

import re
from typing import Any, ClassVar, Final

from service.local_personalize.control.durations import UPDATE_MINUTES
from service.local_personalize.control.refused import already_exists, in_use, invalid_input
from service.local_personalize.control.resources import Call, Operation, Resources

MAX_METRICS: Final = 10
_EXPRESSION: Final = re.compile(r"SAMPLECOUNT\(\)|SUM\((Items|Interactions)\.[A-Za-z_]\w*\)", re.IGNORECASE)


class MetricAttributions(Resources):
    """CreateMetricAttribution and its siblings."""

    noun: ClassVar[str] = "MetricAttribution"

    def operations(self) -> dict[str, Operation]:
        """See `Resources.operations`."""
        return {**super().operations(), "ListMetricAttributionMetrics": self.metrics}

    def create(self, call: Call) -> dict[str, Any]:
        """See `Resources.create`."""
        group = self.plane.ready("DatasetGroup", call.fields["datasetGroupArn"])["_arn"]
        _check(call.fields["metrics"])
        record = self.new(call, call.fields["name"])
        self.plane.quotas.check("metric-attributions", self.noun, datasetGroupArn=group)
        self.begin(record)
        return record

    def update(self, call: Call) -> dict[str, Any]:
        """See `Resources.update`."""
        record = self.found(call.fields.get("metricAttributionArn", ""))
        if record["status"] != "ACTIVE":
            raise in_use(f"Metric attribution {record['_arn']} is in status {record['status']}; it must be ACTIVE.")
        removed = set(call.fields.get("removeMetrics", []))
        kept = [one for one in record["metrics"] if one["metricName"] not in removed]
        names = {one["metricName"] for one in kept}
        for one in call.fields.get("addMetrics", []):
            if one["metricName"] in names:
                raise already_exists("metric", one["metricName"])
            kept.append(one)
        _check(kept)
        record["metrics"] = kept
        record["metricsOutputConfig"] = call.fields.get("metricsOutputConfig", record["metricsOutputConfig"])
        self.plane.transitions.begin(record, verb="UPDATE", minutes=UPDATE_MINUTES)
        return record

    def metrics(self, call: Call) -> dict[str, Any]:
        """ListMetricAttributionMetrics.

        Raises:
            Refusal: There is no such attribution; the model has no ResourceNotFoundException for it.
        """
        arn = call.fields.get("metricAttributionArn", "")
        record = self.plane.store.get(arn)
        if record is None or record["_noun"] != self.noun:
            raise invalid_input(f"There is no metric attribution {arn!r}.")
        return {"metrics": record["metrics"]}


def _check(metrics: list[dict[str, str]]) -> None:
    if len(metrics) > MAX_METRICS:
        raise invalid_input(f"A metric attribution has at most {MAX_METRICS} metrics.")
    for one in metrics:
        if not _EXPRESSION.fullmatch(one["expression"]):
            raise invalid_input(
                f"The expression {one['expression']} is neither SUM(DatasetType.COLUMN) nor SAMPLECOUNT()."
            )
