"""Errors as Amazon Personalize answers them, and as the SDK reads them."""

import re

_SIGNED = re.compile(r"AWS4-HMAC-SHA256 .*Credential=[^/,\s]+/\d{8}/[^/,\s]+/personalize/aws4_request\b")


class Refusal(Exception):
    """A call that is answered with an error in the SDK's shape."""

    def __init__(self, *, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        """What botocore reports as the error code."""
        self.message = message


def invalid_input(message: str) -> Refusal:
    """InvalidInputException, 400."""
    return Refusal(status=400, code="InvalidInputException", message=message)


def not_found(message: str) -> Refusal:
    """ResourceNotFoundException, 404."""
    return Refusal(status=404, code="ResourceNotFoundException", message=message)


def unknown_operation(method: str, path: str) -> Refusal:
    """UnknownOperationException, 404."""
    return Refusal(status=404, code="UnknownOperationException", message=f"No {method} {path}")


def throttled() -> Refusal:
    """ThrottlingException; its status is 400, as in the list of errors common to all AWS actions.

    Source: https://docs.aws.amazon.com/personalize/latest/dg/CommonErrors.html
    """
    return Refusal(status=400, code="ThrottlingException", message="Rate exceeded")


def internal_failure() -> Refusal:
    """InternalFailure, 500."""
    return Refusal(status=500, code="InternalFailure", message="An internal error occurred")


def check_signed(authorization: str) -> None:
    """Let a call pass whose signature is one for Personalize; the signature itself is not verified.

    Raises:
        Refusal: It is not signed, or for another service.
    """
    if not _SIGNED.match(authorization):
        raise Refusal(
            status=403,
            code="MissingAuthenticationTokenException",
            message="The request is not signed with AWS Signature Version 4 for the service personalize",
        )


def not_under_this_name() -> Refusal:
    """AccessDeniedException, 403: a page may have this name, and lead it here."""
    return Refusal(
        status=403,
        code="AccessDeniedException",
        message="The local Personalize answers under addresses, names without a dot and those of --name only",
    )


def not_for_pages() -> Refusal:
    """AccessDeniedException, 403: a page of another site sends this."""
    return Refusal(
        status=403, code="AccessDeniedException", message="The local Personalize answers no page of a browser"
    )
