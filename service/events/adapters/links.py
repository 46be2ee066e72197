"""Signed links to items: who clicks one is led on, and has clicked."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

from service.attribution import Click

SALT: Final = "personalize-connect go"
"""Keeps what is signed here from being taken for anything else that is signed with the same key."""

MAX_TOKEN_CHARACTERS: Final = 4_000
"""Of a link: several times those of the longest ids."""


class SignedLinks:
    """Makes links, and reads those that were made with one of the keys.

    Args:
        keys: The first signs; links that another one has signed are read too.
        public_url: Where this service is reached from the outside.
    """

    def __init__(self, keys: Sequence[str], public_url: str) -> None:
        self._serializer = URLSafeSerializer(list(reversed(keys)), salt=SALT, signer_kwargs={"digest_method": sha256})
        self._begins = f"{public_url.rstrip('/')}/go/"

    def of(self, click: Click) -> str:
        """The link that records this click."""
        said = [click.item_id, click.user_id, click.recommendation_id, click.position, click.attribution_source]
        return f"{self._begins}{self._serializer.dumps(said)}"

    def read(self, token: str) -> Click | None:
        """The click that a link records; None for one that was not made here, or was changed."""
        if len(token) > MAX_TOKEN_CHARACTERS:
            return None
        try:
            said = self._serializer.loads(token)
        except BadData:
            return None
        return Click(*said)
