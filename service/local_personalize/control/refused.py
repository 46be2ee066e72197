"""The control plane's errors; its protocol gives each of them status 400."""

from service.local_personalize.refusals import Refusal, invalid_input

__all__ = [
    "already_exists",
    "in_use",
    "invalid_input",
    "invalid_token",
    "limit_exceeded",
    "not_found",
    "too_many_tags",
]


def already_exists(what: str, arn: str) -> Refusal:
    """ResourceAlreadyExistsException."""
    return _refusal("ResourceAlreadyExistsException", f"Another {what} with Arn {arn} already exists.")


def not_found(what: str, arn: str) -> Refusal:
    """ResourceNotFoundException."""
    return _refusal("ResourceNotFoundException", f"{what} {arn} does not exist.")


def in_use(message: str) -> Refusal:
    """ResourceInUseException."""
    return _refusal("ResourceInUseException", message)


def limit_exceeded(message: str) -> Refusal:
    """LimitExceededException."""
    return _refusal("LimitExceededException", message)


def invalid_token() -> Refusal:
    """InvalidNextTokenException."""
    return _refusal("InvalidNextTokenException", "The token is not valid.")


def too_many_tags(code: str = "TooManyTagsException") -> Refusal:
    """TooManyTagsException."""
    return _refusal(code, "The resource has more than 50 tags.")


def _refusal(code: str, message: str) -> Refusal:
    return Refusal(status=400, code=code, message=message)
