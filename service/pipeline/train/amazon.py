"""Personalize and S3 through boto3; every error of the SDK becomes one of ours here."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from service.aws.blocking import blocking_client
from service.errors import PipelineError
from service.files.adapters.find import find
from service.pipeline.ports import AlreadyExists, InUse, LimitExceeded, NotFound, Refused

_CONFIG: Final = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 8})
"""No transaction is spent here, so the SDK may try again."""

_CODES: Final[dict[str, type[Refused]]] = {
    "ResourceAlreadyExistsException": AlreadyExists,
    "ResourceInUseException": InUse,
    "LimitExceededException": LimitExceeded,
    "ResourceNotFoundException": NotFound,
}


class AmazonControlPlane:
    """A `ControlPlane` of the region that the SDK is configured for."""

    def __init__(self) -> None:
        self._client = blocking_client("personalize", _CONFIG)

    def call(self, operation: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  # each operation has its own
        """See `ControlPlane.call`."""
        with _readable(operation.replace("_", " ")):
            answer: dict[str, Any] = getattr(self._client, operation)(**fields)
            return answer


class AmazonStorage:
    """A `Storage` in S3; `file://` is for a local Personalize."""

    def has(self, url: str) -> bool:
        """See `Storage.has`."""
        if url.startswith("file://"):
            return _path(url).exists()
        bucket, _, key = url.removeprefix("s3://").partition("/")
        try:
            with _readable(url):
                blocking_client("s3", _CONFIG).head_object(Bucket=bucket, Key=key)
        except NotFound:
            return False
        return True

    def put(self, path: Path, url: str) -> None:
        """See `Storage.put`. A file is there as a whole or not at all."""
        if url.startswith("file://"):
            target = _path(url)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                # Two runs at once may put the same file.
                part = target.with_name(f".{target.name}.{os.getpid()}")
                shutil.copyfile(path, part)
                part.replace(target)
            except OSError as error:
                raise PipelineError(f"{url}: cannot be written: {error.strerror}") from error
            return
        bucket, _, key = url.removeprefix("s3://").partition("/")
        with _readable(url):
            blocking_client("s3", _CONFIG).upload_file(str(path), bucket, key)


def has_files(url: str) -> bool:
    """Whether there is a file at or below an address."""
    try:
        files, _ = find([url], error=PipelineError)
    except PipelineError:
        return False
    return bool(files)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        message = error.response.get("Error", {}).get("Message") or "no message"
        if code in {"404", "NoSuchKey"}:
            raise NotFound(f"{what}: not found") from error
        raise _CODES.get(code, Refused)(f"{what}: {code}: {message}") from error
    except (BotoCoreError, Boto3Error, OSError) as error:
        raise PipelineError(f"{what}: {error}") from error


def _path(url: str) -> Path:
    return Path(unquote(url.removeprefix("file://")))
