"""Files in S3."""

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from botocore.config import Config

from service.aws.blocking import blocking_client
from service.aws.errors import readable_sdk_errors
from service.files.names import is_hidden, is_meant
from service.files.stored import StoredBytes, StoredFile

_PATTERN = re.compile(r"[*?\[]")


def find_in_s3(
    url: str, error: Callable[[str], Exception], suffixes: tuple[str, ...] | None
) -> tuple[list[StoredFile], int]:
    """The objects that an `s3://` address names, and how many were passed over; see `find`.

    An address that is a key names this object only, though other keys may begin so. In a pattern, `*` stands for
    slashes, too.
    """
    bucket, _, wanted = url[len("s3://") :].partition("/")
    if not bucket:
        raise error(f"{url}: must be s3://bucket/prefix")
    chosen: list[StoredFile] = []
    others = 0
    with readable_sdk_errors(url, error):
        client = _client()
        for found in _listed(client, bucket, _PATTERN.split(wanted)[0]):
            key = found["Key"]
            if key.endswith("/"):
                continue
            if key == wanted:
                return [_file(client, bucket, found, error)], 0
            if key.startswith(wanted):
                # From the last folder on: a prefix may end within a name, and what follows is no name of its own.
                below = key[wanted.rfind("/") + 1 :]
                if is_meant(below, suffixes):
                    chosen.append(_file(client, bucket, found, error))
                else:
                    others += not is_hidden(below)
            elif fnmatchcase(key, wanted):
                chosen.append(_file(client, bucket, found, error))
    return chosen, others


def _client() -> Any:  # noqa: ANN401  # the SDK makes its clients' classes at run time
    return blocking_client("s3", Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard"}))


def _listed(client: Any, bucket: str, prefix: str) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401  # as above
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


class _ObjectBytes:
    """The rest of an object, whose errors are ours."""

    def __init__(self, body: Any, url: str, error: Callable[[str], Exception]) -> None:  # noqa: ANN401  # as above
        self._body = body
        self._url = url
        self._error = error

    def read(self, size: int, /) -> bytes:
        with readable_sdk_errors(f"{self._url}: cannot be read", self._error):
            data: bytes = self._body.read(size)
            return data

    def close(self) -> None:
        self._body.close()


def _file(client: Any, bucket: str, found: Mapping[str, Any], error: Callable[[str], Exception]) -> StoredFile:  # noqa: ANN401  # as above
    url = f"s3://{bucket}/{found['Key']}"

    def stored_from(start: int) -> StoredBytes:
        with readable_sdk_errors(url, error):
            output: dict[str, Any] = client.get_object(
                Bucket=bucket, Key=found["Key"], IfMatch=found["ETag"], Range=f"bytes={start}-"
            )
        return _ObjectBytes(output["Body"], url, error)

    return StoredFile(url, found["Size"], found["LastModified"].timestamp(), found["ETag"], stored_from)
