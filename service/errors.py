"""Every error the service raises on purpose.

ServiceError
├── ConfigurationError            a setting, the catalogue or a filter cannot work; stops the start
│   ├── CatalogError              the catalogue's source cannot be read or holds no usable row
│   └── MissingPackage            a command needs a package that is not installed here
├── InvalidQuery                  the caller's parameter is wrong; names the field and the bound
├── Unauthorized                  no credential, or one we do not know
├── Degraded                      no live list; carries the one word that says why
│   ├── BudgetExhausted           no slot of PERSONALIZE_TPS before the deadline
│   ├── BreakerOpen               Personalize has been failing, so it is not asked
│   └── RecommenderError          a transaction was spent and brought nothing
│       ├── RecommenderThrottled  refused for its rate
│       ├── RecommenderTimeout    no answer in time
│       └── RecommenderRefused    it never will work as asked: wrong ARN, filter, rights or parameter
├── BatchError                    a batch's output cannot be read or loaded
├── PipelineError                 Personalize refused a step of the pipeline, or a resource failed; a line for each
├── CredentialsUnavailable        no source gives credentials of AWS; those in hand, if any, stay in use
├── BlockListFull                 no more items can be blocked
├── TryLater                      too many people look at pages at once, or it took too long
├── TemplateError                 Braze could not render a template; knows where
└── SharedStateUnavailable        Redis (or the data folder) did not answer; the caller goes on without it
    ├── SharedStateFull           Redis is there but has no memory left for this write
    └── SharedStateUnsafe         Redis is there but may drop what it takes; an operator has to mend it
"""

from typing import ClassVar, Literal

DegradedReason = Literal["budget", "throttled", "timeout", "error", "breaker", "no_user", "no_item", "short"]
"""Why an answer is less than wanted; the same word in header, metric and log."""


class ServiceError(Exception):
    """Root of the tree."""


class ConfigurationError(ServiceError):
    """The service cannot start; `problems` holds one readable line per mistake."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CatalogError(ConfigurationError):
    """The catalogue's source cannot be read, or holds nothing that could be shown."""


class MissingPackage(ConfigurationError):
    """A command needs a package that is not installed here; the line says the commands that install it.

    The project is on no index, so `pip install` of its name would find nothing, or something else.
    """

    def __init__(self, package: str, lock: str) -> None:
        """Name the package, and the file in requirements/ that holds it."""
        super().__init__(
            f"{package} is not installed. In a checkout, .venv/bin/pip install --require-hashes -r"
            f" requirements/{lock}.txt installs it, and docker build --build-arg LOCK={lock} . puts it into the image"
        )


class InvalidQuery(ServiceError):
    """A parameter of the request is wrong.

    Attributes:
        field: The parameter as the caller wrote it.
        message: What is wrong and which bound holds; safe to show to the caller.
        reason: The same for the log, without anything that the caller wrote.
    """

    def __init__(self, field: str, message: str, reason: str = "") -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.reason = reason or message


class Unauthorized(ServiceError):
    """No credential was sent, or none that we know."""


class Degraded(ServiceError):
    """No list could be had live; the ladder goes one rung down."""

    reason: ClassVar[DegradedReason] = "error"


class BudgetExhausted(Degraded):
    """No slot of the budget is to be had before the deadline."""

    reason = "budget"


class BreakerOpen(Degraded):
    """Personalize has been failing; it is not asked for a moment."""

    reason = "breaker"


class RecommenderError(Degraded):
    """A transaction was spent and brought no list."""


class RecommenderThrottled(RecommenderError):
    """Personalize refused the transaction for its rate."""

    reason = "throttled"


class RecommenderTimeout(RecommenderError):
    """Personalize did not answer in time."""

    reason = "timeout"


class RecommenderRefused(RecommenderError):
    """Personalize will never answer this as asked: wrong ARN, filter, rights or parameter."""


class SharedStateUnavailable(ServiceError):
    """Redis did not answer in time or answered with an error; callers go on without it."""


class SharedStateFull(SharedStateUnavailable):
    """Redis is there but has no memory left for this write."""


class SharedStateUnsafe(SharedStateUnavailable):
    """Redis is there but may drop what it takes; the message is for the operator."""


class BatchError(ServiceError):
    """A batch's output cannot be read or loaded; the message is for the operator."""


class PipelineError(ServiceError):
    """The pipeline cannot go on; `problems` holds a line for each resource, for the operator."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CredentialsUnavailable(ServiceError):
    """No source gives credentials of AWS; the message is for the operator."""


class BlockListFull(ServiceError):
    """No more items can be blocked; the message tells the bound."""


class TryLater(ServiceError):
    """Too many people look at pages at once, or what they want took too long; the text is for them."""


class TemplateError(ServiceError):
    """A template that Braze could not render, so that no message is sent.

    Attributes:
        problem: What is wrong, for the template's author.
        offset: Where in the template it begins; None: nowhere in particular.
    """

    def __init__(self, problem: str, offset: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.offset = offset
