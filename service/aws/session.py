"""One session of the SDK for this process: all clients sign with the same credentials, and report AWS's refusals."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, Final, Self

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError

from service.aws.chain import MAX_LOOK_SECONDS, FoundCredentials, Look, ask_chain, missing_profile
from service.aws.credentials import REFUSALS, AwsCredentials
from service.aws.models import ModelLoader
from service.aws.region import region_name
from service.clock import Clock, SystemClock
from service.errors import ConfigurationError

_signed_with: Final = ContextVar("signed_with", default="")
"""Access key of the call that this task makes: by the time of a refusal there may be another one in use."""


class AwsSession:
    """Makes the SDK's clients; a context manager.

    Nothing is looked for before the first client is wanted, so a process that needs none of AWS never asks for
    credentials.

    Args:
        region_hint: Where STS is asked if nothing else says it, such as the region of the campaign.
        clock: By its Unix time credentials end.
        look: Asks for credentials; the SDK's own chain by default.
        patience_seconds: What needs credentials to begin with waits so long for them after a look that found none.

    Attributes:
        credentials: What the clients sign with.
        on_answer: Called with the parsed answer of every call of every client, also of one that AWS refuses.
    """

    def __init__(
        self,
        *,
        region_hint: str | None = None,
        clock: Clock | None = None,
        look: Look | None = None,
        patience_seconds: float = 0.0,
    ) -> None:
        async def ask() -> FoundCredentials:
            return await ask_chain(region_hint)

        self.credentials = AwsCredentials(look or ask, clock or SystemClock())
        self._patience_seconds = patience_seconds
        self.on_answer: Callable[[Mapping[str, Any]], None] | None = None
        self._models: ModelLoader | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to look for credentials; clients are closed by those who made them."""
        await self.credentials.close()

    def client(self, service: str, config: AioConfig, region: str | None = None) -> AbstractAsyncContextManager[Any]:
        """A client of a service, made when the block is entered.

        Making it waits for nothing outside. A call fails with `MissingCredentialsError` while there are no credentials.

        Args:
            service: The SDK's name of it.
            config: The client's own.
            region: By default the SDK's own, from AWS_REGION, AWS_DEFAULT_REGION or the profile.

        Raises:
            ConfigurationError: See `begin`.
        """
        self.begin()
        creating: AbstractAsyncContextManager[Any] = self._session().create_client(
            service, region_name=region or region_name(), config=config
        )
        return creating

    def begin(self) -> None:
        """Begin to look for credentials, unless that has begun.

        Raises:
            ConfigurationError: AWS_PROFILE names a profile that no file has, or a file cannot be read.
        """
        try:
            unknown = missing_profile()
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"the AWS SDK cannot start: {error}") from error
        if unknown is not None:
            raise ConfigurationError(
                f"AWS_PROFILE: {unknown!r} stands in neither file of profiles; correct its name, or unset it"
            )
        self.credentials.start()

    async def ready(self) -> None:
        """Return once there are credentials; for a start or a task of its own, never for a request.

        Raises:
            ConfigurationError: See `begin`.
            MissingCredentialsError: There are none, and the patience is over.
        """
        self.begin()
        await self.credentials.first_look(MAX_LOOK_SECONDS)
        await self.credentials.arrive(self._patience_seconds)

    def user_agent(self) -> str:
        """What the SDK says of itself."""
        # Handlers of requests would be most of what a session costs, and nothing is asked here.
        return str(AioSession(include_builtin_handlers=False).user_agent())

    def _session(self) -> AioSession:
        session = get_session()
        if self._models is None:
            self._models = ModelLoader(session.get_config_variable("data_path"))
        session.register_component("data_loader", self._models)
        session.register_component("credential_provider", _Provider(self.credentials))
        session.register("after-call", self._after_call, unique_id="service-aws-credentials")
        return session

    def _after_call(self, parsed: Mapping[str, Any], **_: object) -> None:
        if isinstance(parsed, dict):
            self.answered(parsed, signed_with=_signed_with.get())

    def answered(self, parsed: Mapping[str, Any], *, signed_with: str) -> None:
        """AWS has answered; for what asks it without a client of the SDK.

        Args:
            parsed: As the SDK's parser gives it.
            signed_with: The access key.
        """
        code = str(parsed.get("Error", {}).get("Code", ""))
        if code in REFUSALS:
            self.credentials.refused(code, signed_with)
        if self.on_answer is not None:
            self.on_answer(parsed)


class _Provider:
    """The SDK's component that is asked for credentials whenever a client is made."""

    def __init__(self, credentials: AwsCredentials) -> None:
        self._credentials = credentials

    async def load_credentials(self) -> "SigningCredentials":
        return SigningCredentials(self._credentials)


class SigningCredentials:
    """What a client holds in the place of the SDK's own credentials: it refreshes nothing and never waits."""

    method = "service"

    def __init__(self, credentials: AwsCredentials) -> None:
        self._credentials = credentials

    async def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """What to sign with now.

        Raises:
            MissingCredentialsError: There are no credentials yet.
        """
        frozen = self._credentials.frozen()
        _signed_with.set(frozen.access_key)
        return frozen

    def get_account_id(self) -> str | None:
        """The account, where the source of the credentials tells it."""
        found = self._credentials.found
        return None if found is None else found.account_id

    def get_deferred_property(self, name: str) -> Any:  # noqa: ANN401  # the SDK's
        """A function that gives the account when it is needed; the SDK asks for nothing else in this way."""
        del name
        return self.get_account_id
