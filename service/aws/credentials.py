"""The AWS credentials of this process: fetched and refreshed in a task of their own, had at once by every request.

Each client of the SDK signs with a `SigningCredentials`, which never waits: it gives what the task has found last. So
a dead or slow source delays nobody while the last credentials are good, and every client has the next ones as soon as
they are there. The states::

                 a look finds some                a look fails
    +---------+ ------------------> +---------+ ---------------> +-----------+
    | missing |                     | in hand |                  | not       |
    | (looks  | <- - never - - - -  | (looks  | <--------------- | refreshed |
    | on)     |                     | when    |  a look finds    | (looks    |
    +---------+                     | due)    |  some            | on)       |
                                    +---------+                  +-----------+

A look is due before credentials end, and soon after AWS has refused them: a file, a profile or a token may have been
written anew. Credentials in hand are kept when they have ended, since only AWS knows whether they still work.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

import structlog
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from service.aws.chain import FoundCredentials, Look
from service.clock import Clock
from service.errors import CredentialsUnavailable

REFRESH_BEFORE_SECONDS: Final = 900.0
"""Before their end new credentials are looked for, as the SDK does; sources have them by then.

Source: botocore's credentials.py, _DEFAULT_ADVISORY_REFRESH_TIMEOUT."""

MIN_LOOK_SECONDS: Final = 5.0
"""Between two looks that nothing but AWS's refusals or a near end call for."""

INSTANCE_ROLE: Final = "iam-role"
"""The SDK's name of the instance metadata service as a source."""

MAX_INSTANCE_EXTENSION_SECONDS: Final = 1500.0
"""The SDK says that credentials of an instance's role that end soon last for up to so long, whenever they really end.

Source: botocore's utils.py, InstanceMetadataFetcher._evaluate_expiration."""

INSTANCE_LOOK_SECONDS: Final = 15.0
"""Between two looks at such credentials, whose end nobody knows; the metadata service is on this machine."""

FIRST_RETRY_SECONDS: Final = 0.5
"""After the first look that failed; doubled after each further one up to `MIN_LOOK_SECONDS`."""

REFUSALS_LOGGED: Final = 2
REFUSALS_LOGGED_SECONDS: Final = 60.0
"""So many refusals in so long are logged: a role whose right is missing gives another key at each look, for ever."""

MAX_SLEEP_SECONDS: Final = 60.0
"""Then the time is read again, which may have been set meanwhile."""

_REFUSALS: Final = """
    400 403 AccessDenied AccessDeniedException AuthFailure ExpiredToken ExpiredTokenException IncompleteSignature
    IncompleteSignatureException InvalidAccessKeyId InvalidClientTokenId InvalidSignature InvalidSignatureException
    InvalidToken MissingAuthenticationToken MissingAuthenticationTokenException NotAuthorized SignatureDoesNotMatch
    TokenRefreshRequired UnrecognizedClient UnrecognizedClientException
"""
REFUSALS: Final = frozenset(_REFUSALS.split())
"""Error codes of AWS that other credentials may cure. Missing rights are among them: a profile that was gone for a
moment lets the chain find the machine's own role, which may do less. 400 and 403: S3's answer to a HEAD has no body."""

_MEANWHILE: Final = "kept lists and popular items"

_log = structlog.stdlib.get_logger(__name__)


class MissingCredentialsError(NoCredentialsError):  # type: ignore[misc]  # the SDK has no types
    """Nothing to sign with yet; says where credentials were looked for."""

    fmt = "{problem}"


class AwsCredentials:
    """What all clients of this process sign with, and the task that looks for it.

    Args:
        look: Asks the sources once.
        clock: By its Unix time credentials end.
    """

    def __init__(self, look: Look, clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._looked = asyncio.Event()
        self._asked = asyncio.Event()
        self._failures = 0
        self._failing_since: float | None = None
        self._problem = "the first look for AWS credentials has not ended yet"
        self._due_monotonic = self._due_time = self._hurried_at = float("-inf")
        self._end_logged = self._awaited_logged = False
        self._patience_ends: float | None = None
        self._refused_key: str | None = None
        self._refusals_logged_at: deque[float] = deque([float("-inf")] * REFUSALS_LOGGED, maxlen=REFUSALS_LOGGED)
        self._refusal_logged = False
        self.found: FoundCredentials | None = None
        """What the last look that found something has found."""

    @property
    def problem(self) -> str:
        """What the last look failed of, in words; empty if it did not."""
        return self._problem

    @property
    def failing(self) -> bool:
        """Whether the last look found nothing, or nothing better than what is in hand."""
        return self._failing_since is not None

    @property
    def seconds_left(self) -> float:
        """Until the credentials in hand end: infinite where they never do, 0 when they have or there are none."""
        return 0.0 if self.found is None else self._left(self.found)

    def start(self) -> None:
        """Begin to look; calls after the first do nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_looking(), name="aws-credentials")

    async def close(self) -> None:
        """Stop to look, even in the middle of it."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def arrive(self, timeout_seconds: float | None) -> None:
        """Return once there are credentials.

        Raises:
            MissingCredentialsError: There are none in time.
        """
        self.start()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._arrived.wait()
        except TimeoutError:
            raise self.missing() from None

    async def first_look(self, timeout_seconds: float) -> None:
        """Return once a look has ended, whatever it has found, or when the time is over."""
        self.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._looked.wait()

    async def start_with(self, patience_seconds: float) -> None:
        """The same for a start, which waits once, however many ask, and says that it goes on without an answer."""
        self.start()
        if self._patience_ends is None:
            self._patience_ends = self._clock.monotonic() + patience_seconds
        await self.first_look(max(0.0, self._patience_ends - self._clock.monotonic()))
        if not self._looked.is_set() and not self._awaited_logged:
            self._awaited_logged = True
            _log.warning("aws_credentials_awaited", until_then=_MEANWHILE)

    def frozen(self) -> ReadOnlyCredentials:
        """What to sign with now, whether it has ended or not.

        Raises:
            MissingCredentialsError: Nothing was found so far.
        """
        found = self.found
        if found is None:
            raise self.missing()
        return ReadOnlyCredentials(found.access_key, found.secret_key, found.token, found.account_id)

    def missing(self) -> MissingCredentialsError:
        """The error of a client that has nothing to sign with."""
        return MissingCredentialsError(problem=self._problem)

    def refused(self, code: str, access_key: str) -> None:
        """AWS has refused what was signed with this key: look again, soon, but not for each refusal.

        Nothing happens if another key is in hand by now.
        """
        found = self.found
        if found is None or found.access_key != access_key:
            return
        if access_key != self._refused_key:
            self._refused_key = access_key
            now = self._clock.monotonic()
            self._refusal_logged = now - self._refusals_logged_at[0] >= REFUSALS_LOGGED_SECONDS
            if self._refusal_logged:
                self._refusals_logged_at.append(now)
                _log.warning("aws_credentials_refused", code=code, source=found.source)
        self._asked.set()

    async def _keep_looking(self) -> None:
        while True:
            # A refusal that comes during the look calls for another one: a source may have changed since it was read.
            self._asked.clear()
            try:
                found = await self._look()
            except CredentialsUnavailable as error:
                self._failed(str(error))
            else:
                self._succeeded(found)
            self._looked.set()
            await self._rest()

    async def _rest(self) -> None:
        """Wait until the next look is due, or until AWS refuses, which calls for at most one look in a while."""
        while not self._asked.is_set() and (seconds := self._seconds_to_rest()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, MAX_SLEEP_SECONDS)):
                    await self._asked.wait()
        if self._asked.is_set():
            soon = self._hurried_at + MIN_LOOK_SECONDS - self._clock.monotonic()
            await asyncio.sleep(max(0.0, min(soon, self._seconds_to_rest())))
            self._hurried_at = self._clock.monotonic()

    def _seconds_to_rest(self) -> float:
        return min(self._due_monotonic - self._clock.monotonic(), self._due_time - self._clock.time())

    def _due_in(self, seconds: float) -> None:
        # By both clocks: the Unix time may be set, and the other one stands still while the machine sleeps.
        self._due_monotonic = self._clock.monotonic() + seconds
        self._due_time = self._clock.time() + seconds

    def _succeeded(self, found: FoundCredentials) -> None:
        before, left = self.found, self._left(found)
        if left == 0 and self.seconds_left > 0 and self._refused_key is None:
            self._failed(f"{found.source} gave credentials that had ended already")
            return
        if before is not None and before.access_key != found.access_key:
            # What was refused is no longer in hand.
            self._asked.clear()
        self.found = found
        self._arrived.set()
        self._failures, self._problem = 0, ""
        replaces_refused = self._refusal_logged and self._refused_key not in (None, found.access_key)
        if before is None or found.source != before.source or replaces_refused:
            _log.info("aws_credentials_found", source=found.source, seconds_left=_finite(left))
        if self._refused_key != found.access_key:
            self._refused_key = None
        if self._failing_since is not None:
            after_seconds = round(self._clock.monotonic() - self._failing_since, 1)
            _log.info("aws_credentials_refreshed_again", source=found.source, after_seconds=after_seconds)
            self._failing_since = None
        self._log_end(left)
        self._due_in(seconds_until_refresh(left, found.source))

    def _failed(self, problem: str) -> None:
        self._failures += 1
        self._problem = problem
        left = self.seconds_left
        if self._failing_since is None:
            self._failing_since = self._clock.monotonic()
            if self.found is None:
                _log.warning("aws_credentials_missing", problem=problem, until_then=_MEANWHILE)
            else:
                _log.warning("aws_credentials_not_refreshed", problem=problem, seconds_left=_finite(left))
        self._log_end(left)
        self._due_in(min(MIN_LOOK_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(self._failures - 1, 10)))

    def _log_end(self, left: float) -> None:
        if left > 0 or self.found is None:
            self._end_logged = False
        elif not self._end_logged:
            self._end_logged = True
            _log.warning("aws_credentials_expired", source=self.found.source, problem=self._problem)

    def _left(self, found: FoundCredentials) -> float:
        return float("inf") if found.expires_at is None else max(0.0, found.expires_at - self._clock.time())


def seconds_until_refresh(left: float, source: str) -> float:
    """How long to wait with credentials of a source that end in so many seconds; short ones are renewed in time too."""
    if source == INSTANCE_ROLE and left <= MAX_INSTANCE_EXTENSION_SECONDS:
        return INSTANCE_LOOK_SECONDS
    return max(MIN_LOOK_SECONDS, left - REFRESH_BEFORE_SECONDS, min(left, REFRESH_BEFORE_SECONDS) / 2)


def _finite(seconds: float) -> float | None:
    return None if seconds == float("inf") else round(seconds)
