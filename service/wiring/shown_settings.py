"""The settings in effect as people may see them: no secret, and no password of an address."""

import json
import re
from collections.abc import Iterator
from typing import Final

from pydantic import SecretStr

from service.console.console import ShownSetting
from service.fleet.address import RedisAddress
from service.settings import Settings

STARS: Final = "****"

_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
"""Who enters, in any address of a text."""

MAX_CHARACTERS: Final = 300
"""Of a value; the rest of a longer one is left out."""


def shown_settings(settings: Settings) -> list[ShownSetting]:
    """Every setting, and every placement after them."""
    return [*_settings(settings), *_placements(settings)]


def _settings(settings: Settings) -> Iterator[ShownSetting]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        yield ShownSetting(name.upper(), _text(name, value), value == field.get_default(call_default_factory=True))


def _placements(settings: Settings) -> Iterator[ShownSetting]:
    for name, terms in settings.placements.items():
        text = json.dumps(terms.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
        yield ShownSetting(f"placement {name}", _shortened(_PASSWORD.sub(f"{STARS}@", text)), is_default=False)


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        # Redis's address is a secret for the password that it may hold.
        written = value.get_secret_value().strip()
        return RedisAddress.parse(written).shown if name == "redis_url" and written else STARS
    return _shortened(_PASSWORD.sub(f"{STARS}@", str(value)))


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}..."
