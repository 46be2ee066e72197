"""A batch's output in S3."""

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config

from service.aws.errors import readable_sdk_errors
from service.aws.region import region_name
from service.batch.files import SUFFIXES, BatchFile, StoredBytes
from service.errors import BatchError


def find_in_s3(url: str) -> tuple[list[BatchFile], int]:
    """The objects that an `s3://` address names, and how many were passed over; see `find`.

    Raises:
        BatchError: S3 does not list them.
    """
    bucket, _, prefix = url[len("s3://") :].partition("/")
    if not bucket:
        raise BatchError(f"{url}: must be s3://bucket/prefix")
    files: list[BatchFile] = []
    others = 0
    with readable_sdk_errors(url, BatchError):
        client = boto3.client(
            "s3",
            region_name=region_name(),
            config=Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard"}),
        )
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for one in page.get("Contents", ()):
                key = one["Key"]
                if key != prefix and not key.endswith(SUFFIXES):
                    others += not key.endswith("/")
                    continue
                files.append(_file(client, bucket, key, one))
    return files, others


class _ObjectBytes:
    """The rest of an object, whose errors are ours."""

    def __init__(self, body: Any, url: str) -> None:  # noqa: ANN401  # the SDK's
        self._body = body
        self._url = url

    def read(self, size: int, /) -> bytes:
        with readable_sdk_errors(f"{self._url}: cannot be read", BatchError):
            data: bytes = self._body.read(size)
            return data

    def close(self) -> None:
        self._body.close()


def _file(client: Any, bucket: str, key: str, found: Mapping[str, Any]) -> BatchFile:  # noqa: ANN401  # the SDK's
    url = f"s3://{bucket}/{key}"

    def stored_from(start: int) -> StoredBytes:
        with readable_sdk_errors(url, BatchError):
            output: dict[str, Any] = client.get_object(
                Bucket=bucket, Key=key, IfMatch=found["ETag"], Range=f"bytes={start}-"
            )
        return _ObjectBytes(output["Body"], url)

    return BatchFile(url, found["Size"], found["LastModified"].timestamp(), found["ETag"], stored_from)
