"""What the AWS SDK raises, as one line for the operator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp
from botocore import exceptions as sdk


@contextmanager
def readable_sdk_errors(label: str, error_type: Callable[[str], Exception]) -> Iterator[None]:
    """Turn what the SDK raises into an error of the room that calls it; cancellation passes.

    Args:
        label: Names what was asked for; the line begins with it.
        error_type: Makes the error of a line.
    """
    try:
        yield
    except sdk.ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        message = _one_line(str(details.get("Message", "")))
        raise error_type(f"{label}: {details.get('Code', 'no error code')} ({status}): {message}") from error
    except (sdk.BotoCoreError, aiohttp.ClientError, ValueError) as error:
        raise error_type(f"{label}: {_one_line(str(error)) or type(error).__name__}") from error
    except TimeoutError as error:
        raise error_type(f"{label}: no answer in time") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())
