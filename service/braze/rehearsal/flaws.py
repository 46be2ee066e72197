"""What is wrong with messages that were rendered: mistakes that no template shows before it meets its data."""

import re
from typing import Final

FLAWS: Final[dict[str, tuple[re.Pattern[str], str]]] = {
    "empty-image": (re.compile(r"<img\b[^>]*\bsrc\s*=\s*([\"'])\s*\1", re.IGNORECASE), "a picture without an address"),
    "empty-link": (re.compile(r"<a\b[^>]*\bhref\s*=\s*([\"'])\s*\1", re.IGNORECASE), "a link that leads nowhere"),
    "script-link": (
        re.compile(r"<(?:a|img)\b[^>]*\b(?:href|src)\s*=\s*[\"']?\s*(?:javascript|vbscript):", re.IGNORECASE),
        "an address that is a script, for which mail programs hold the mail back",
    ),
    "one-slash": (re.compile(r"\bhttps?:/(?!/)", re.IGNORECASE), "an address with one slash after https:"),
    "plain-http": (
        re.compile(r"<img\b[^>]*\bsrc\s*=\s*[\"']http://", re.IGNORECASE),
        "a picture over http, which mail programs do not show",
    ),
    "liquid-left": (re.compile(r"\{\{|\{%|\$\{"), "Liquid that was not rendered"),
    "json-pasted": (re.compile(r"\[\s*\{\s*\"id\"\s*:"), "the service's answer itself, as text"),
    "money-missing": (re.compile(r"[$\N{EURO SIGN}\N{POUND SIGN}](?=[\s<]|$)"), "a currency sign without a price"),
}
"""By name: what shows it, and what the reader of the message sees."""

MAX_MAIL_BYTES: Final = 102 * 1024
"""Gmail cuts off what is longer."""

TOO_LONG: Final = "too-long"


WARNINGS: Final = frozenset({"plain-http", TOO_LONG})
"""Flaws that many readers do not notice. The others spoil a message."""


def flaws_of(text: str, channel: str) -> list[str]:
    """The names of what is wrong with a message."""
    found = [name for name, (pattern, _) in FLAWS.items() if pattern.search(text)]
    if channel == "email" and len(text.encode()) > MAX_MAIL_BYTES:
        found.append(TOO_LONG)
    return found


def words_of(flaw: str) -> str:
    """What the reader of a message sees of it."""
    return "more than 102 kB, which Gmail cuts off" if flaw == TOO_LONG else FLAWS[flaw][1]
