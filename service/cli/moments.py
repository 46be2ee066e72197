"""Moments as people write them on the command line."""

import datetime as dt
import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_WITH_ZONE: Final = re.compile(r"(?P<time>.*[\d:])\s*(?P<zone>Z|[A-Za-z]{2}[\w+/-]*)")
_HOUR: Final = re.compile(r"\d{1,2}:")


def moment(text: str, now: dt.datetime) -> dt.datetime:
    """A time: `14:30`, the next one; or `2026-11-27T14:30`; each also with a zone: `14:30 Asia/Tokyo`, `14:30+01:00`.

    Args:
        text: What is written.
        now: With a time zone, which is meant where the text names none.

    Raises:
        ValueError: It is no time, its zone is not known, or it is past; the message says which.
    """
    text, zone = _zone_of(text.strip(), now)
    try:
        if _HOUR.match(text):
            return _next(dt.time.fromisoformat(f"0{text}" if text[1] == ":" else text), zone, now)
        then = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("not a time such as 14:30, 2026-11-27T14:30 or 14:30 Europe/Berlin") from None
    if then.tzinfo is None:
        then = then.replace(tzinfo=zone)
    if then <= now:
        raise ValueError(f"is past: it is {now.astimezone(then.tzinfo):%Y-%m-%d %H:%M:%S %Z} now")
    return then


def _next(time: dt.time, zone: dt.tzinfo | None, now: dt.datetime) -> dt.datetime:
    zone = time.tzinfo or zone
    then = dt.datetime.combine(now.astimezone(zone).date(), time.replace(tzinfo=zone))
    return then if then > now else then + dt.timedelta(days=1)


def _zone_of(text: str, now: dt.datetime) -> tuple[str, dt.tzinfo | None]:
    """The text without the name of a zone, and that zone, else the one of `now`."""
    found = _WITH_ZONE.fullmatch(text)
    if found is None:
        return text, now.tzinfo
    name = found["zone"]
    if name.upper() == "Z":
        return found["time"].rstrip(), dt.UTC
    try:
        return found["time"].rstrip(), ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name} is no time zone known here; write Europe/Berlin, UTC, or an offset: 14:30+01:00"
        ) from None
