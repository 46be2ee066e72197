"""Who may ask: credentials in the environment and in mounted files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, SecretStr

from service.credentials import MIN_KEY_CHARACTERS, Access, is_hashed
from service.models import Sender, sender_of_key
from service.settings.base import Problem, SettingsGroup, lower, split
from service.settings.key_files import credentials_in, secret, written_problems

MIN_WEIGHT: Final = 0.01
MAX_WEIGHT: Final = 100.0

_HOST_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")


class AccessSettings(SettingsGroup):
    """Credentials, and what is open without one."""

    api_keys: SecretStr | None = None
    """Comma-separated keys that open the recommendations; several for rotation; each as it is or hashed."""

    api_keys_file: Path | None = None
    """More of them, one a line."""

    api_key_weights: str = ""
    """Comma-separated: turns that each of the API keys has while others wait too, in the keys' order; else 1."""

    basic_auth: SecretStr | None = None
    """`user:password` that opens the recommendations; as it is or hashed."""

    basic_auth_file: Path | None = None
    """More of them, one a line."""

    admin_keys: SecretStr | None = None
    """Comma-separated keys that open the administration as well; each as it is or hashed."""

    admin_keys_file: Path | None = None
    """More of them, one a line."""

    allow_anonymous: bool = False
    """Whether to start without any credential."""

    metrics_access: Annotated[Access, BeforeValidator(lower)] = "keyed"
    """Who reads /metrics; keyed is open as long as recommendations are."""

    docs_access: Annotated[Access, BeforeValidator(lower)] = "keyed"
    """Who reads /docs and /openapi.json; keyed is open as long as recommendations are."""

    console_access: Annotated[Access, BeforeValidator(lower)] = "keyed"
    """Who sees /console; keyed: those who have an admin key."""

    console_hosts: str = ""
    """Comma-separated names of this service under which an open console answers, beside addresses and localhost."""

    console_secret: SecretStr | None = None
    """Signs the sessions of the console; needed only where all admin keys are hashed."""

    @property
    def api_key_list(self) -> list[str]:
        """Keys that open the recommendations."""
        return split(secret(self.api_keys)) + credentials_in(self.api_keys_file)

    @property
    def sender_weights(self) -> dict[Sender, float]:
        """Turns of senders who have more or fewer than one."""
        return {sender_of_key(place): float(one) for place, one in enumerate(split(self.api_key_weights))}

    @property
    def admin_key_list(self) -> list[str]:
        """Keys that open the administration as well."""
        return split(secret(self.admin_keys)) + credentials_in(self.admin_keys_file)

    @property
    def console_host_names(self) -> list[str]:
        """Names under which an open console answers."""
        return [one.lower().removesuffix(".") for one in split(self.console_hosts)]

    @property
    def basic_auth_pair(self) -> str | None:
        """`user:password` of the environment."""
        return secret(self.basic_auth) or None

    @property
    def basic_auth_list(self) -> list[str]:
        """Every `user:password`."""
        return [*filter(None, [self.basic_auth_pair]), *credentials_in(self.basic_auth_file, keys=False)]

    @property
    def key_files(self) -> Mapping[str, Path | None]:
        """The files of keys, by setting."""
        return {"API_KEYS_FILE": self.api_keys_file, "ADMIN_KEYS_FILE": self.admin_keys_file}

    def problems(self) -> Iterator[Problem]:
        """Credentials that open nothing or too much, files without any, and no decision about a start without them."""
        yield from self._pair_problems()
        yield from written_problems("api_keys", self.api_keys, self.api_keys_file)
        yield from written_problems("basic_auth", self.basic_auth, self.basic_auth_file, keys=False)
        yield from written_problems("admin_keys", self.admin_keys, self.admin_keys_file)
        yield from self._console_problems()
        yield from self._weight_problems()
        if not set(self.api_key_list).isdisjoint(self.admin_key_list):
            yield Problem(
                ("api_keys", "admin_keys"),
                "ADMIN_KEYS: shares a key with API_KEYS; everybody who reads recommendations could administrate",
            )
        if not (self.allow_anonymous or self._any_credential()):
            yield Problem(
                ("api_keys", "basic_auth", "admin_keys", "allow_anonymous"),
                "API_KEYS, BASIC_AUTH: no credential is set; set one, or ALLOW_ANONYMOUS=true to start without",
            )

    def _console_problems(self) -> Iterator[Problem]:
        length = len(secret(self.console_secret))
        if 0 < length < MIN_KEY_CHARACTERS:
            yield Problem.of("console_secret", f"has {length} characters; at least {MIN_KEY_CHARACTERS}")
        for name in self.console_host_names:
            if not _HOST_NAME.fullmatch(name):
                yield Problem.of("console_hosts", f"{name[:60]!r} is no host name; write it without scheme and port")

    def _weight_problems(self) -> Iterator[Problem]:
        weights, keys = split(self.api_key_weights), self.api_key_list
        wrong = [one for one in weights if not _is_weight(one)]
        for one in wrong:
            yield Problem.of("api_key_weights", f"{one!r} is no number from {MIN_WEIGHT} to {MAX_WEIGHT}")
        if len(weights) > len(keys) and not wrong:
            yield Problem.of("api_key_weights", f"has {len(weights)} weights for {len(keys)} API keys")

    def _pair_problems(self) -> Iterator[Problem]:
        for pair in self.basic_auth_list:
            if not is_hashed(pair) and not all(pair.partition(":")):
                name = "basic_auth" if pair == self.basic_auth_pair else "basic_auth_file"
                yield Problem.of(name, "must be user:password, neither of them empty")

    def _any_credential(self) -> bool:
        # A setting that holds none by mistake has a line of its own.
        given = (self.api_keys, self.basic_auth, self.admin_keys)
        files = (self.api_keys_file, self.basic_auth_file, self.admin_keys_file)
        return any(one is not None for one in (*given, *files))


def _is_weight(written: str) -> bool:
    try:
        return MIN_WEIGHT <= float(written) <= MAX_WEIGHT
    except ValueError:
        return False
