"""Records of Avro files, as Braze's Currents puts them into S3."""

from collections.abc import Iterator
from typing import IO, Any

from service.errors import ConfigurationError, MissingPackage


def avro_records(stream: IO[bytes], label: str) -> tuple[str, Iterator[dict[str, Any]]]:
    """The full name of the records' schema, and the records, in constant memory.

    Args:
        stream: The file.
        label: Names it in errors.

    Raises:
        ConfigurationError: fastavro is not installed, or the file is damaged.
    """
    try:
        import fastavro  # noqa: PLC0415  # an extra, and of use only here
    except ImportError:
        raise MissingPackage(f"{label}: is Avro, and fastavro", "liquid") from None
    try:
        reader = fastavro.reader(stream)
        schema = reader.writer_schema
    except Exception as error:
        raise _damaged(label) from error
    name = ""
    if isinstance(schema, dict):
        name = ".".join(filter(None, (str(schema.get("namespace") or ""), str(schema.get("name") or ""))))
    return name, _records(reader, label)


def _records(reader: Any, label: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # fastavro has no type for it
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except Exception as error:  # of its codecs and of struct: a dozen kinds
            raise _damaged(label) from error
        if isinstance(record, dict):
            yield record


def _damaged(label: str) -> ConfigurationError:
    return ConfigurationError(f"{label}: the Avro data is damaged or cut short")
