"""Amazon Personalize's datasets for a command: their schema, and PutItems."""

from collections.abc import Sequence
from typing import Any, Final

from botocore.config import Config
from botocore.exceptions import ClientError

from service.aws.blocking import blocking_client
from service.aws.errors import readable_sdk_errors
from service.errors import ConfigurationError, RecommenderError, RecommenderRefused
from service.events.adapters.personalize import OF_THE_EVENTS, check_body
from service.personalize.sdk.errors import translated_errors

_CONFIG: Final = Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=5, read_timeout=20)

_LATER: Final = frozenset({"ResourceInUseException"})
"""Codes that pass by themselves: an import job is at work on the dataset."""


def dataset_schema(dataset_arn: str) -> str:
    """The Avro schema of a dataset.

    Raises:
        ConfigurationError: Amazon does not say; with the reason.
    """
    with readable_sdk_errors(f"{dataset_arn}: its schema cannot be read; name columns with --columns", _problem):
        client = blocking_client("personalize", _CONFIG)
        schema_arn = client.describe_dataset(datasetArn=dataset_arn)["dataset"]["schemaArn"]
        schema: str = client.describe_schema(schemaArn=schema_arn)["schema"]["schema"]
    return schema


class PersonalizeItems:
    """An `ItemTaker`.

    Args:
        dataset_arn: Of the items dataset.
    """

    def __init__(self, dataset_arn: str) -> None:
        self._dataset_arn = dataset_arn
        self._client = blocking_client("personalize-events", _CONFIG)
        self._client.meta.events.register("before-parse.personalize-events.PutItems", check_body)

    def put(self, items: Sequence[tuple[str, str]]) -> None:
        """See `ItemTaker.put`.

        Source: https://docs.aws.amazon.com/personalize/latest/dg/API_UBS_PutItems.html
        """
        listed: list[dict[str, Any]] = [{"itemId": item_id, "properties": properties} for item_id, properties in items]
        try:
            with translated_errors():
                self._client.put_items(datasetArn=self._dataset_arn, items=listed)
        except RecommenderRefused as refused:
            code = _code(refused.__cause__)
            if code in OF_THE_EVENTS:
                raise
            if code in _LATER:
                raise RecommenderError(str(refused)) from refused
            # Every item would meet it: rights, an ARN that is not there.
            raise ConfigurationError(f"{self._dataset_arn}: {refused}") from refused


def _code(error: BaseException | None) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _problem(line: str) -> ConfigurationError:
    return ConfigurationError(line)
