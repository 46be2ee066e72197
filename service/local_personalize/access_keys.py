"""Access keys that AWS would refuse: for tests of credentials that have ended, were deleted or lack a right."""

import re
from collections.abc import Mapping

import orjson

from service.local_personalize.refusals import Refusal, invalid_input

_KEY = re.compile(r"Credential=([^/,\s]+)/")

ANY_KEY = "*"


class AccessKeys:
    """Which keys are refused, and with which error code; none at first."""

    def __init__(self) -> None:
        self._refused: Mapping[str, str] = {}

    def replace(self, body: bytes) -> Mapping[str, str]:
        """Refuse the keys of `{"KEY": "ExpiredTokenException"}`, and no others; the key `*` stands for all.

        Raises:
            Refusal: The body is no map of strings.
        """
        try:
            refused = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise invalid_input("The request body is not JSON") from error
        if not isinstance(refused, dict) or not all(isinstance(code, str) for code in refused.values()):
            raise invalid_input("The request body is not a map of access keys to error codes")
        self._refused = refused
        return refused

    def check(self, authorization: str) -> None:
        """Let a signed call pass whose key is not refused.

        Raises:
            Refusal: It is.
        """
        found = _KEY.search(authorization)
        code = self._refused.get(found[1] if found else "") or self._refused.get(ANY_KEY)
        if code:
            raise Refusal(status=403, code=code, message=f"The local Personalize was asked to answer {code}")
