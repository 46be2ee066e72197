"""Item URLs that say which list an item was shown in, so that a click or a purchase can be traced back to it."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

RECOMMENDATION_ID: Final = "rid"
"""Parameter with Personalize's recommendationId."""

POSITION: Final = "pos"
"""Parameter with the item's place in the answer; 1 is the first."""

ATTRIBUTION_SOURCE: Final = "src"
"""Parameter with placement and variant, which Personalize calls the event attribution source."""


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
