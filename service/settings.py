"""Every setting, read from the environment and from `.env`; `.env.example` describes each for the operator.

The AWS SDK's own variables are not settings of ours: the SDK reads them itself.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from annotated_types import Ge, Gt, Le
from dotenv import dotenv_values
from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.api.auth import HASH_PREFIX, Access, is_hashed
from service.constants import MAX_ID_CHARACTERS, PERSONALIZE_MAX_TPS
from service.errors import ConfigurationError

CATALOG_NAMES: Final = ("id", "url", "name", "price", "image")
"""What CATALOG_COLUMNS can map: the five columns of every item."""

CATALOG_SCHEMES: Final = ("file", "s3", "dynamodb")

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")

_SHOWN_CHARACTERS: Final = 60
"""Of a wrong value in a problem's line."""

_ARN = re.compile(
    r"arn:aws[a-z-]*:personalize:[a-z]{2}[a-z0-9-]+:[0-9]{12}:(campaign|recommender|filter)"
    r"/[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
)
"""Source: the Arn shape of the Personalize API reference, narrowed to the three kinds that are asked for."""


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """What the operator decides; a blank value is the default.

    Raises:
        ConfigurationError: Something is wrong; it holds a line for each mistake, and no secret.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        str_strip_whitespace=True,
        allow_inf_nan=False,
    )

    host: str = "0.0.0.0"  # noqa: S104  # in a container, the outside is the only side
    """Address to listen on."""

    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    personalize_campaign_arn: str | None = None
    """The campaign that answers; exactly one of this and the recommender."""

    personalize_recommender_arn: str | None = None
    """The recommender of a domain dataset group that answers."""

    personalize_tps: float = Field(1, gt=0, le=PERSONALIZE_MAX_TPS)
    """Transactions per second that all replicas together may spend; never exceeded."""

    personalize_filter_arn: str | None = None
    """Filter applied inside Personalize."""

    catalog_url: str = ""
    """Where the items are; required."""

    catalog_columns: str | None = None
    """Our column names to the source's, `name=product_name,price=PRICE_USD`; see `column_mapping`."""

    catalog_refresh_seconds: float = Field(60, ge=1, le=86_400)
    """How often the catalogue's source is looked at for a change."""

    redis_url: SecretStr | None = None
    """State that the replicas share; without it there is one. Secret for the password it may hold."""

    expected_replicas: int = Field(4, ge=1, le=1_000)
    """Replicas there may be, for one that starts while Redis is down: it spends one share in so many."""

    cache_fresh_seconds: float = Field(900, ge=0, le=2_592_000)
    """Younger lists are served without a transaction."""

    cache_stale_seconds: float = Field(604_800, ge=0, le=31_536_000)
    """Older lists up to this age are served when no transaction can be had."""

    cache_max_mb: float = Field(256, ge=1, le=65_536)
    """Memory for cached lists in one replica."""

    request_deadline_seconds: float = Field(1.5, ge=0.1, le=30)
    """Every answer leaves within this."""

    exclusion_filter: str | None = None
    """Expression in Personalize's filter language, applied to every answer; checked where it is used."""

    popular_items: str | None = None
    """Curated ids for the non-personalised list; see `popular_ids`."""

    data_dir: Path = Path("data")
    """Where an embedded replica keeps what must survive a restart."""

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

    metrics_access: Annotated[Access, BeforeValidator(_lower)] = "keyed"
    """Who reads /metrics; keyed is open as long as recommendations are."""

    docs_access: Annotated[Access, BeforeValidator(_lower)] = "keyed"
    """Who reads /docs and /openapi.json; keyed is open as long as recommendations are."""

    user_key_secret: SecretStr | None = None
    """Keys the hash under which a user's lists are kept; the same on all replicas; see `user_key`."""

    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)] = "info"
    """Least severe event that is logged."""

    log_format: Annotated[Literal["json", "text"], BeforeValidator(_lower)] = "json"
    """One JSON object a line, or text for people."""

    access_log_sample: float = Field(0.01, ge=0, le=1)
    """Share of answers that get an access line."""

    drain_seconds: float = Field(2, ge=0, le=300)
    """How long /readyz says 503 before the listener closes."""

    @property
    def arn(self) -> str:
        """Who answers, campaign or recommender."""
        return self.personalize_campaign_arn or self.personalize_recommender_arn or ""

    @property
    def user_key(self) -> str:
        """Secret of the users' keys; without one of the operator's, what all replicas know anyway."""
        return _secret(self.user_key_secret) or self.arn

    @property
    def column_mapping(self) -> Mapping[str, str]:
        """Our column name to the source's."""
        return dict(_pairs(self.catalog_columns or ""))

    @property
    def popular_ids(self) -> list[str]:
        """Curated ids, best first."""
        return _split(self.popular_items or "")

    @property
    def api_key_list(self) -> list[str]:
        """Keys that open the recommendations."""
        return _split(_secret(self.api_keys)) + _split(",".join(_lines(self.api_keys_file)))

    @property
    def admin_key_list(self) -> list[str]:
        """Keys that open the administration as well."""
        return _split(_secret(self.admin_keys)) + _split(",".join(_lines(self.admin_keys_file)))

    @property
    def basic_auth_pair(self) -> str | None:
        """`user:password` of the environment."""
        return _secret(self.basic_auth) or None

    @property
    def basic_auth_list(self) -> list[str]:
        """Every `user:password`."""
        return [*filter(None, [self.basic_auth_pair]), *_lines(self.basic_auth_file)]

    @model_validator(mode="wrap")
    @classmethod
    def _all_problems_at_once(cls, data: dict[str, object], handler: ModelWrapValidatorHandler[Self]) -> Self:
        values = {name: value for name, value in data.items() if not _blank(value)}
        problems: dict[str, str] = {}
        try:
            settings = handler(values)
        except ValidationError as error:
            for detail in error.errors():
                name = str(detail["loc"][0])
                problems[name] = _field_problem(cls.model_fields[name], detail["input"])
            settings = handler({name: value for name, value in values.items() if name not in problems})
        lines = [f"{name.upper()}: {problem}" for name, problem in problems.items()]
        for names, line in _cross_problems(settings):
            if problems.keys().isdisjoint(names):
                lines.append(line)
        if lines:
            # Outside the handler above, so that pydantic's error, which shows values, is not chained to it.
            raise ConfigurationError(*lines)
        return settings


def load_settings(env_file: str | Path = ".env") -> Settings:
    """The settings of the environment, and of a file for what the environment does not say.

    The variables of the SDKs of AWS and OpenTelemetry in the file are put into the environment, where they look. A file
    that does not exist is fine.

    Raises:
        ConfigurationError: Something is wrong; it holds a line for each mistake, and no secret.
    """
    try:
        in_file = dotenv_values(env_file, interpolate=False) if Path(env_file).is_file() else {}
    except OSError as error:
        raise ConfigurationError(f"{env_file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{env_file}: is not UTF-8") from error
    for name, value in in_file.items():
        if name.startswith(("AWS_", "OTEL_")) and value:
            os.environ.setdefault(name, value)
    return Settings(_env_file=env_file)


def _secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value().strip()


def _lines(path: Path | None) -> list[str]:
    """Lines of a mounted file that are neither blank nor a comment; none if it cannot be read."""
    try:
        lines = path.read_text("utf-8").splitlines() if path else []
    except (OSError, UnicodeDecodeError):
        return []
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _split(value: str) -> list[str]:
    return [part for part in (part.strip() for part in value.split(",")) if part]


def _pairs(value: str) -> Iterator[tuple[str, str]]:
    for part in _split(value):
        ours, _, theirs = part.partition("=")
        yield ours.strip(), theirs.strip()


def _blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _field_problem(field: FieldInfo, value: object) -> str:
    # A value that is wrong for its type is never a secret: those are text, for which every value is right.
    return f"{_shown(str(value))} is not {_wanted(field)}"


def _wanted(field: FieldInfo) -> str:
    if field.annotation is bool:
        return "true or false"
    choices = get_args(field.annotation)
    if choices:
        return "one of " + ", ".join(map(str, choices))
    kind = "a whole number" if field.annotation is int else "a number"
    return f"{kind} {' and '.join(_bounds(field))}"


def _bounds(field: FieldInfo) -> Iterator[str]:
    for bound in field.metadata:
        if isinstance(bound, Gt):
            yield f"above {bound.gt}"
        elif isinstance(bound, Ge):
            yield f"of at least {bound.ge}"
        elif isinstance(bound, Le):
            yield f"at most {bound.le}"


def _cross_problems(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    """What no type can say: the settings that a line is about, and the line."""
    yield from _arn_problems(settings)
    yield from _address_problems(settings)
    yield from _credential_problems(settings)
    yield from _catalog_problems(settings)
    if settings.cache_stale_seconds < settings.cache_fresh_seconds:
        yield (
            ("cache_stale_seconds", "cache_fresh_seconds"),
            (
                f"CACHE_STALE_SECONDS: {settings.cache_stale_seconds:g} is less than CACHE_FRESH_SECONDS,"
                f" {settings.cache_fresh_seconds:g}; must be at least as much"
            ),
        )


def _arn_problems(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    both = ("personalize_campaign_arn", "personalize_recommender_arn")
    if settings.personalize_campaign_arn and settings.personalize_recommender_arn:
        yield (
            both,
            "PERSONALIZE_CAMPAIGN_ARN, PERSONALIZE_RECOMMENDER_ARN: both are set; exactly one is needed",
        )
    if not settings.arn:
        yield both, "PERSONALIZE_CAMPAIGN_ARN, PERSONALIZE_RECOMMENDER_ARN: neither is set; one is required"
    for kind in ("campaign", "recommender", "filter"):
        name = f"personalize_{kind}_arn"
        arn = getattr(settings, name)
        match = _ARN.fullmatch(arn or "")
        if arn and (match is None or match[1] != kind):
            yield (
                (name,),
                (
                    f"{name.upper()}: {_shown(arn)} is not the ARN of a {kind},"
                    f" arn:aws:personalize:REGION:ACCOUNT:{kind}/NAME"
                ),
            )


def _address_problems(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    if not settings.catalog_url:
        schemes = ", ".join(f"{scheme}://" for scheme in CATALOG_SCHEMES)
        yield ("catalog_url",), f"CATALOG_URL: is required; an address that begins with one of {schemes}"
    elif _scheme(settings.catalog_url) not in CATALOG_SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in CATALOG_SCHEMES)
        yield ("catalog_url",), f"CATALOG_URL: must begin with one of {schemes}"
    if settings.redis_url is not None and not _names_redis(_secret(settings.redis_url)):
        schemes = ", ".join(f"{scheme}://" for scheme in REDIS_SCHEMES)
        yield ("redis_url",), f"REDIS_URL: must begin with one of {schemes} and name a host or a socket"


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower() if ":" in url else ""


def _names_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in REDIS_SCHEMES and bool(
            parts.path if parts.scheme == "unix" else parts.hostname and parts.port != 0
        )
    except ValueError:
        return False


def _credential_problems(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    for pair in settings.basic_auth_list:
        if not is_hashed(pair) and not all(pair.partition(":")):
            name = "basic_auth" if pair == settings.basic_auth_pair else "basic_auth_file"
            yield (name,), f"{name.upper()}: must be user:password, neither of them empty"
    for name, given, keys in (
        ("api_keys", settings.api_keys, settings.api_key_list),
        ("admin_keys", settings.admin_keys, settings.admin_key_list),
    ):
        if given is not None and not keys:
            yield (name,), f"{name.upper()}: holds commas but no key"
    for name in ("api_keys_file", "basic_auth_file", "admin_keys_file"):
        path = getattr(settings, name)
        if path is not None and (problem := _file_problem(path)):
            yield (name,), f"{name.upper()}: {problem}"
    yield from _hash_problems(settings)
    if not set(settings.api_key_list).isdisjoint(settings.admin_key_list):
        yield (
            ("api_keys", "admin_keys"),
            "ADMIN_KEYS: shares a key with API_KEYS; whoever reads recommendations could administrate",
        )
    if not (settings.allow_anonymous or _any_credential(settings)):
        yield (
            ("api_keys", "basic_auth", "admin_keys", "allow_anonymous"),
            "API_KEYS, BASIC_AUTH: no credential is set; set one, or ALLOW_ANONYMOUS=true to start without",
        )


def _hash_problems(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, written in (
        ("api_keys", settings.api_key_list),
        ("basic_auth", settings.basic_auth_list),
        ("admin_keys", settings.admin_key_list),
    ):
        if any(one.startswith(HASH_PREFIX) and not is_hashed(one) for one in written):
            yield (name,), f"{name.upper()}: a hash is cut short; `personalize-connect hash-key` makes one"


def _any_credential(settings: Settings) -> bool:
    # A setting that holds none for a mistake has a line of its own.
    return any(
        getattr(settings, f"{name}{place}") is not None
        for name in ("api_keys", "basic_auth", "admin_keys")
        for place in ("", "_file")
    )


def _file_problem(path: Path) -> str:
    try:
        path.read_text("utf-8")
    except OSError as error:
        return f"{_shown(str(path))} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return f"{_shown(str(path))} is not UTF-8"
    return "" if _split(",".join(_lines(path))) else f"{_shown(str(path))} holds no credential"


def _catalog_problems(settings: Settings) -> Iterator[tuple[tuple[str, ...], str]]:
    pairs = list(_pairs(settings.catalog_columns or ""))
    for ours, theirs in pairs:
        if ours not in CATALOG_NAMES or not theirs:
            yield (
                ("catalog_columns",),
                (
                    f"CATALOG_COLUMNS: {_shown(f'{ours}={theirs}')} is not OURS=THEIRS with OURS one of"
                    f" {', '.join(CATALOG_NAMES)}"
                ),
            )
    for part, side in ((0, "ours"), (1, "theirs")):
        for name, count in Counter(pair[part] for pair in pairs).items():
            if count > 1 and name:
                yield (
                    ("catalog_columns",),
                    f"CATALOG_COLUMNS: {_shown(name)} stands {count} times among {side}; must be once",
                )
    if any(len(item_id) > MAX_ID_CHARACTERS for item_id in settings.popular_ids):
        yield ("popular_items",), f"POPULAR_ITEMS: an id is longer than {MAX_ID_CHARACTERS} characters"


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}...")
