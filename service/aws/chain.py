"""Asking the SDK's own credential chain, in a thread and an event loop of their own.

The chain reads files, starts processes, asks endpoints and makes clients of other services, which takes up to 180 ms of
computing. None of that may hold up a request. Each look is a new session, since a session remembers what it has found.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from service.aws.own_thread import in_own_thread
from service.aws.region import region_name
from service.errors import CredentialsUnavailable

MAX_LOOK_SECONDS: Final = 20.0
"""For one look. The SDK's own timeouts end most of them sooner; a process that prints credentials has none."""

MAX_PROBLEM_CHARACTERS: Final = 300
"""Of a source's own words: a container endpoint may answer with a page of HTML."""

_NESTED: Final = AioConfig(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
"""How the chain itself asks STS and SSO; the SDK would wait for a minute, five times."""

# They log each refresh that fails with its traceback, and raise the same. Here it is one line when it begins.
for _name in ("aiobotocore.credentials", "aiobotocore.tokens"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class FoundCredentials:
    """What the chain has found."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    source: str
    """The SDK's name of where they were found, such as `iam-role` or `shared-credentials-file`."""

    expires_at: float | None
    """Unix seconds; None where the source names no end."""

    account_id: str | None = None
    """Where the source tells it."""


Look = Callable[[], Awaitable[FoundCredentials]]
"""One look for credentials.

Raises:
    CredentialsUnavailable: No source has any, or one that is configured fails.
"""


async def ask_chain(region_hint: str | None = None, *, timeout_seconds: float = MAX_LOOK_SECONDS) -> FoundCredentials:
    """What the SDK's credential chain finds now.

    Args:
        region_hint: Where STS is asked if nothing else says it.
        timeout_seconds: For all of it.

    Raises:
        CredentialsUnavailable: No source has any, or one that is configured fails or does not answer in time.
    """
    try:
        found = await in_own_thread(lambda: _look(region_hint), timeout_seconds=timeout_seconds)
    except TimeoutError:
        raise CredentialsUnavailable(f"no source of credentials has answered within {timeout_seconds:g} s") from None
    except ClientError as error:
        details = error.response.get("Error", {})
        text = f"{error.operation_name}: {details.get('Code', '')}: {details.get('Message', '')}"
        raise CredentialsUnavailable(_one_line(text)) from error
    except KeyError as error:
        raise CredentialsUnavailable(f"a source of credentials answered without {error}") from error
    except BotoCoreError as error:
        raise CredentialsUnavailable(_one_line(str(error))) from error
    except JSONDecodeError as error:
        raise CredentialsUnavailable("a source of credentials answered with something that is not JSON") from error
    except OSError as error:
        raise CredentialsUnavailable(_one_line(f"{error.filename or 'a source'}: {error.strerror or error}")) from error
    # Sources are files, programs and endpoints of others: what they give makes the SDK fail with whatever Python
    # raises. The next look may succeed, so this must not end the looking.
    except Exception as error:
        raise CredentialsUnavailable(_one_line(f"{type(error).__name__}: {error}")) from error
    if found is None:
        raise CredentialsUnavailable(_nothing_found())
    return found


def _nothing_found() -> str:
    """Where the chain has looked in vain, in words."""
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    off = os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    instance = "the instance metadata service is off (AWS_EC2_METADATA_DISABLED)" if off else "no instance role answers"
    return f"no AWS credentials: none in the environment, none in profile {profile}, no container role, and {instance}"


def missing_profile() -> str | None:
    """The name of a profile that is asked for and that stands in no file, though there is a file; else None.

    Without any file the profile may still be on its way, for example from a container beside this one.
    """
    # Only files are read: without the handlers of requests, a session costs a tenth.
    session = AioSession(include_builtin_handlers=False)
    try:
        session.get_scoped_config()
    except ProfileNotFound:
        names = ("config_file", "credentials_file")
        paths = (os.path.expanduser(session.get_config_variable(name) or "") for name in names)  # noqa: PTH111  # as the SDK does
        return str(session.profile) if any(map(os.path.isfile, paths)) else None
    return None


async def _look(region_hint: str | None) -> FoundCredentials | None:
    session = get_session()
    session.set_default_client_config(_NESTED)
    region = region_name() or session.get_config_variable("region") or region_hint
    if region:
        session.set_config_variable("region", region)
    found = await session.get_credentials()
    if found is None:
        return None
    # What was just found needs no refresh, which `get_frozen_credentials` would make if the end is near. Only a role
    # that is yet to be assumed holds nothing so far.
    frozen = getattr(found, "_frozen_credentials", None) or await found.get_frozen_credentials()
    expires = getattr(found, "_expiry_time", None)
    return FoundCredentials(
        access_key=frozen.access_key,
        secret_key=frozen.secret_key,
        token=frozen.token,
        source=str(found.method),
        expires_at=None if expires is None else expires.timestamp(),
        account_id=frozen.account_id,
    )


def _one_line(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= MAX_PROBLEM_CHARACTERS else f"{joined[:MAX_PROBLEM_CHARACTERS]}..."
