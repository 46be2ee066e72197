"""Files at `s3://BUCKET/KEY` and `file:///PATH`: one, or all of a folder.

S3 is what the SDK's environment says, such as AWS_ENDPOINT_URL_S3; so any server of its protocol will do.
"""

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final
from urllib.parse import unquote

from service.local_personalize.work.failure import JobFailed

_NO_ACCESS: Final = "Insufficient privileges for accessing data in Amazon S3."


def list_files(location: str) -> list[str]:
    """The locations of the files at a location, by name; a folder's are those that end in `.csv` or `.json`.

    Raises:
        JobFailed: There is none, or it cannot be read.
    """
    if location.startswith("file://"):
        path = _path(location)
        found = [f"file://{one}" for one in sorted(path.iterdir()) if one.is_file()] if path.is_dir() else [location]
    elif location.startswith("s3://"):
        found = _s3_files(location) if location.endswith("/") or "." not in location.rpartition("/")[2] else [location]
    else:
        raise JobFailed(f"Invalid Data location. {location}")
    if not found:
        raise JobFailed(f"Invalid Data location. There are no files at {location}")
    return found


@contextmanager
def open_text(location: str) -> Iterator[TextIOWrapper]:
    """The text of a file in UTF-8, unpacked where it is gzip.

    Raises:
        JobFailed: It cannot be read.
    """
    with _open_bytes(location) as stream:
        head = stream.read(2)
        stream.seek(0)
        plain: Any = gzip.GzipFile(fileobj=stream) if head == b"\x1f\x8b" else stream
        with TextIOWrapper(plain, encoding="utf-8-sig", newline="") as text:
            yield text


def write_text(location: str, text: str) -> None:
    """Write a file, in folders that are made where they are not there.

    Raises:
        JobFailed: It cannot be written.
    """
    data = text.encode()
    if location.startswith("file://"):
        path = _path(location)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise JobFailed(f"{_NO_ACCESS} {location}: {error.strerror}") from error
        return
    bucket, key = _bucket_and_key(location)
    with _translated(location):
        _s3().put_object(Bucket=bucket, Key=key, Body=data)


@contextmanager
def _open_bytes(location: str) -> Iterator[BinaryIO]:
    if location.startswith("file://"):
        try:
            with _path(location).open("rb") as stream:
                yield stream
        except OSError as error:
            raise JobFailed(f"{_NO_ACCESS} {location}: {error.strerror}") from error
        return
    bucket, key = _bucket_and_key(location)
    # On disk, since it may be some gigabytes.
    with TemporaryFile() as copy:
        with _translated(location):
            _s3().download_fileobj(bucket, key, copy)
        copy.seek(0)
        yield copy


def _path(location: str) -> Path:
    return Path(unquote(location.removeprefix("file://")))


def _bucket_and_key(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return bucket, key


def _s3_files(location: str) -> list[str]:
    bucket, prefix = _bucket_and_key(location)
    prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    with _translated(location):
        pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    return [f"s3://{bucket}/{key}" for key in keys if not key.endswith("/")]


@contextmanager
def _translated(location: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  # only for who reads from S3

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise JobFailed(f"{_NO_ACCESS} {location}: {error}") from error


def _s3() -> Any:  # noqa: ANN401  # botocore makes the client's class at run time
    import boto3  # noqa: PLC0415  # only for who reads from S3

    # Servers other than Amazon's rarely answer at a host name for each bucket.
    is_amazon = not (os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    style = "auto" if is_amazon else "path"
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return boto3.client("s3", region_name=region, config=boto3.session.Config(s3={"addressing_style": style}))
