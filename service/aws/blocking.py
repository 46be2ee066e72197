"""Clients of the SDK for commands without an event loop; they read credentials again when AWS refuses them."""

from collections.abc import Mapping
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials, ReadOnlyCredentials

from service.aws.credentials import REFUSALS, MissingCredentialsError
from service.aws.region import region_name

MAX_ATTEMPTS: Final = 3
"""Of one call: a role gives another access key at every look, also where a right is missing."""


def blocking_client(service: str, config: Config) -> Any:  # noqa: ANN401  # the SDK makes its clients' classes at run time
    """A client of a service that outlives its credentials: what AWS refuses is sent once more with new ones.

    A load of hours must not end because a file or a token was written anew meanwhile.
    """
    credentials = _Reread()
    core = botocore.session.get_session()
    core.register_component("credential_provider", credentials)
    client = boto3.session.Session(botocore_session=core, region_name=region_name()).client(service, config=config)
    # The first that answers decides, and the SDK's own answers "no" to a refusal.
    event = f"needs-retry.{client.meta.service_model.service_id.hyphenize()}"
    client.meta.events.register_first(event, credentials.needs_retry, unique_id="service-aws-credentials")
    return client


class _Reread:
    """The SDK's own credentials, looked for anew when AWS refuses them."""

    method = "service"

    def __init__(self) -> None:
        self._found: Credentials | None = None

    def load_credentials(self) -> "_Reread":
        """The component that the SDK asks is also what it signs with."""
        return self

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """What to sign with, refreshed where the source gives credentials that end.

        Raises:
            MissingCredentialsError: No source has any.
        """
        if self._found is None:
            self._found = botocore.session.get_session().get_credentials()
        if self._found is None:
            raise MissingCredentialsError(problem="no AWS credentials in the environment, a profile or a role")
        return self._found.get_frozen_credentials()

    def get_deferred_property(self, name: str) -> Any:  # noqa: ANN401  # the SDK's
        """A function that gives the account when it is needed."""
        return lambda: getattr(self._found, name, None)

    def needs_retry(self, response: tuple[Any, Mapping[str, Any]] | None, attempts: int, **_: object) -> float | None:
        """Send it once more if AWS has refused it and there are other credentials by now; None leaves it to the SDK."""
        code = str(response[1].get("Error", {}).get("Code", "")) if response is not None else ""
        if code not in REFUSALS or self._found is None or attempts >= MAX_ATTEMPTS:
            return None
        before = self._found.get_frozen_credentials()
        found = botocore.session.get_session().get_credentials()
        if found is None or found.get_frozen_credentials().access_key == before.access_key:
            return None
        self._found = found
        return 0
