"""Who may send events, what they are called, and what follows from them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic import Field, SecretStr

from service.settings.base import Problem, SettingsGroup, shown, split
from service.settings.key_files import credentials_in, secret, written_problems

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "": 1}
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w|)")


class EventSettings(SettingsGroup):
    """Events in, and what they change."""

    event_keys: SecretStr | None = None
    """Comma-separated keys that open POST /events; without any there are no events."""

    event_keys_file: Path | None = None
    """More of them, one a line."""

    personalize_tracking_id: str | None = None
    """Event tracker; without one events are kept and used here, and not sent on."""

    personalize_events_tps: float = Field(100, gt=0, le=1_000)
    """PutEvents calls per second, all replicas together."""

    personalize_users_dataset_arn: str | None = None
    """Users dataset that gets what POST /users/{user_id} takes; without one there is no such path."""

    event_types: str | None = None
    """Braze's names to Personalize's, `ecommerce.order_placed=Purchase,ecommerce.product_viewed=View`."""

    event_item_id: str = "product_id"
    """Property of Braze's events that names the item."""

    exclude_after: str | None = None
    """Event types, and for how long their items are in no answer of the user: `Purchase:180d,View:0`."""

    group_column: str | None = None
    """Catalogue column of variants: buying one hides all."""

    lists_live_until_event: bool = False
    """A list stays fresh for as long as its user does nothing, instead of by the clock."""

    go_keys: SecretStr | None = None
    """Comma-separated keys of the links that record clicks; the first signs, and all are read."""

    go_url: str | None = None
    """Where this service is reached from the outside, `https://recs.example.com`; the links begin so."""

    go_event_type: str = "Click"
    """As Personalize is to call a click on such a link."""

    @property
    def go_key_list(self) -> list[str]:
        """Keys of the links that record clicks."""
        return split(secret(self.go_keys))

    @property
    def event_key_list(self) -> list[str]:
        """Keys that open POST /events."""
        return split(secret(self.event_keys)) + credentials_in(self.event_keys_file)

    @property
    def event_type_names(self) -> Mapping[str, str]:
        """Braze's name to Personalize's."""
        pairs = (pair.partition("=") for pair in split(self.event_types or ""))
        return {braze.strip(): ours.strip() for braze, _, ours in pairs}

    @property
    def exclude_after_seconds(self) -> Mapping[str, float]:
        """Event type, and for how many seconds its item is in no answer."""
        found = {}
        for pair in split(self.exclude_after or ""):
            kind, _, duration = pair.rpartition(":")
            if match := _DURATION.fullmatch(duration.strip()):
                found[kind.strip()] = float(int(match[1]) * _UNITS[match[2]])
        return found

    def problems(self) -> Iterator[Problem]:
        """Pairs that say nothing, durations that are none, and settings that are of no use without a key."""
        yield from written_problems("event_keys", self.event_keys, self.event_keys_file)
        yield from self._link_problems()
        yield from self._problems_without_keys()
        for pair in split(self.event_types or ""):
            braze, _, ours = pair.partition("=")
            if not braze.strip() or not ours.strip():
                yield Problem.of("event_types", f"{shown(pair)} is not BRAZE=PERSONALIZE, such as a.b=Purchase")
        for pair in split(self.exclude_after or ""):
            kind, _, duration = pair.rpartition(":")
            if not kind.strip() or not _DURATION.fullmatch(duration.strip()):
                yield Problem.of(
                    "exclude_after", f"{shown(pair)} is not TYPE:DURATION, such as Purchase:180d or View:0"
                )

    def _link_problems(self) -> Iterator[Problem]:
        yield from written_problems("go_keys", self.go_keys, None)
        if bool(self.go_keys) != bool(self.go_url):
            yield Problem(("go_keys", "go_url"), "GO_KEYS, GO_URL: one is of no use without the other; set both")
        if self.go_url and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", self.go_url):
            yield Problem.of("go_url", f"{shown(self.go_url)} is not an address such as https://recs.example.com")

    def _problems_without_keys(self) -> Iterator[Problem]:
        if self.personalize_users_dataset_arn and not self.personalize_tracking_id:
            yield Problem.of("personalize_users_dataset_arn", "is of no use without PERSONALIZE_TRACKING_ID")
        if not self.event_key_list:
            for name in (
                "personalize_tracking_id",
                "event_types",
                "exclude_after",
                "lists_live_until_event",
                "go_keys",
            ):
                if getattr(self, name):
                    yield Problem((name, "event_keys"), f"{name.upper()}: is of no use without EVENT_KEYS")
