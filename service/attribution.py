"""Item URLs that say which list an item was shown in, so that a click or a purchase can be traced back to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

RECOMMENDATION_ID: Final = "rid"
"""Parameter with Personalize's recommendationId."""

POSITION: Final = "pos"
"""Parameter with the item's place in the answer; 1 is the first."""

ATTRIBUTION_SOURCE: Final = "src"
"""Parameter with placement and variant, which Personalize calls the event attribution source."""


@dataclass(frozen=True, slots=True)
class Click:
    """What a link to an item says."""

    item_id: str
    user_id: str = ""
    recommendation_id: str = ""
    position: int = 0
    attribution_source: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """As parameters of a URL."""
        return {
            RECOMMENDATION_ID: self.recommendation_id,
            POSITION: str(self.position or ""),
            ATTRIBUTION_SOURCE: self.attribution_source,
        }


class Links(Protocol):
    """Makes links that record a click, and reads them."""

    def of(self, click: Click) -> str:
        """The link that records this click."""

    def read(self, token: str) -> Click | None:
        """The click that a link records; None for one that was not made here, or was changed."""


def attributed(url: str, parameters: Mapping[str, str]) -> str:
    """A URL with further parameters behind those that it has; blank ones are left out. Its fragment stays its end."""
    address, hash_sign, fragment = url.partition("#")
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value)
    between = "?" if "?" not in address else "" if address.endswith(("?", "&")) else "&"
    return f"{address}{between if added else ''}{added}{hash_sign}{fragment}"


def attribution_of(url: str) -> dict[str, str]:
    """The parameters that `attributed` added; of a repeated one the last, since ours come last."""
    try:
        query = urlsplit(url).query
    except ValueError:
        return {}
    names = {RECOMMENDATION_ID, POSITION, ATTRIBUTION_SOURCE}
    return {name: value for name, value in parse_qsl(query) if name in names}
