"""Who may ask: credentials in the environment and in mounted files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, SecretStr

from service.credentials import MIN_KEY_CHARACTERS, Access, is_cut_short, is_hashed, is_short
from service.settings.base import Problem, SettingsGroup, lower, shown, split


class AccessSettings(SettingsGroup):
    """Credentials, and what is open without one."""

    api_keys: SecretStr | None = None
    """Comma-separated keys that open the recommendations; several for rotation; each as it is or hashed."""

    api_keys_file: Path | None = None
    """More of them, one a line."""

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

    @property
    def api_key_list(self) -> list[str]:
        """Keys that open the recommendations."""
        return split(secret(self.api_keys)) + file_keys(self.api_keys_file)

    @property
    def admin_key_list(self) -> list[str]:
        """Keys that open the administration as well."""
        return split(secret(self.admin_keys)) + file_keys(self.admin_keys_file)

    @property
    def basic_auth_pair(self) -> str | None:
        """`user:password` of the environment."""
        return secret(self.basic_auth) or None

    @property
    def basic_auth_list(self) -> list[str]:
        """Every `user:password`."""
        return [*filter(None, [self.basic_auth_pair]), *_lines(self.basic_auth_file)]

    def problems(self) -> Iterator[Problem]:
        """Credentials that open nothing or too much, files without any, and no decision about a start without them."""
        yield from self._pair_problems()
        yield from self._key_problems()
        yield from self._file_problems()
        yield from self._hash_problems()
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

    def _pair_problems(self) -> Iterator[Problem]:
        for pair in self.basic_auth_list:
            if not is_hashed(pair) and not all(pair.partition(":")):
                name = "basic_auth" if pair == self.basic_auth_pair else "basic_auth_file"
                yield Problem.of(name, "must be user:password, neither of them empty")

    def _key_problems(self) -> Iterator[Problem]:
        for name, given, keys in (
            ("api_keys", self.api_keys, self.api_key_list),
            ("admin_keys", self.admin_keys, self.admin_key_list),
        ):
            if given is not None and not keys:
                yield Problem.of(name, "holds commas but no key")
        for name, keys in (
            ("api_keys", split(secret(self.api_keys))),
            ("api_keys_file", file_keys(self.api_keys_file)),
            ("admin_keys", split(secret(self.admin_keys))),
            ("admin_keys_file", file_keys(self.admin_keys_file)),
        ):
            yield from short_key_problems(name, keys)

    def _file_problems(self) -> Iterator[Problem]:
        for name, path in (
            ("api_keys_file", self.api_keys_file),
            ("basic_auth_file", self.basic_auth_file),
            ("admin_keys_file", self.admin_keys_file),
        ):
            if path is not None and (problem := _file_problem(path)):
                yield Problem.of(name, problem)

    def _hash_problems(self) -> Iterator[Problem]:
        for name, written in (
            ("api_keys", self.api_key_list),
            ("basic_auth", self.basic_auth_list),
            ("admin_keys", self.admin_key_list),
        ):
            if any(map(is_cut_short, written)):
                yield Problem.of(name, "a hash is cut short; `personalize-connect hash-key` makes one")

    def _any_credential(self) -> bool:
        # A setting that holds none by mistake has a line of its own.
        given = (self.api_keys, self.basic_auth, self.admin_keys)
        files = (self.api_keys_file, self.basic_auth_file, self.admin_keys_file)
        return any(one is not None for one in (*given, *files))


def short_key_problems(name: str, keys: Iterable[str]) -> Iterator[Problem]:
    """A problem if one of a setting's keys could be guessed."""
    for key in keys:
        if is_short(key):
            yield Problem.of(
                name,
                f"a key has {len(key)} characters; at least {MIN_KEY_CHARACTERS} are needed, such as"
                " `openssl rand -hex 16` prints",
            )
            return


def secret(value: SecretStr | None) -> str:
    """What is in a secret, without blanks around it; empty without one."""
    return "" if value is None else value.get_secret_value().strip()


def file_keys(path: Path | None) -> list[str]:
    """The keys of a mounted file; none if it cannot be read."""
    return split(",".join(_lines(path)))


def _lines(path: Path | None) -> list[str]:
    """Lines of a mounted file that are neither blank nor a comment; none if it cannot be read."""
    try:
        lines = path.read_text("utf-8").splitlines() if path else []
    except (OSError, UnicodeDecodeError):
        return []
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _file_problem(path: Path) -> str:
    try:
        path.read_text("utf-8")
    except OSError as error:
        return f"{shown(str(path))} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return f"{shown(str(path))} is not UTF-8"
    return "" if file_keys(path) else f"{shown(str(path))} holds no credential"
