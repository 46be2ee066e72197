"""Variables that nobody reads, though they look like settings: a typo leaves the default in use without a word."""

import os
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from service.settings import ENV_FILE, SDK_PREFIXES, ClientSettings, Settings, read_env_file

OUR_PREFIXES: Final = ("CATALOG_", "CATALOGUE_", "EXCLUSION_", "PERSONALISE_", "PERSONALIZE_", "SIMILAR_ITEMS_")
"""What begins so is meant for this service, whatever follows."""

KUBERNETES_PREFIX: Final = "PERSONALIZE_CONNECT_"
"""Kubernetes makes such variables of a Service's name."""

SDK_NAMES: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_DEFAULT_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
        "AWS_EC2_METADATA_V1_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
        "AWS_METADATA_SERVICE_TIMEOUT",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECURITY_TOKEN",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }
)
"""The SDK's variables that decide who and where; one that is close to them and none of them is a typo."""

LIKENESS: Final = 0.85
"""Of two names, 0..1: one letter more, less or another in a name of usual length."""


class UnknownVariable(NamedTuple):
    """A variable that has no effect."""

    name: str
    meant: str
    """The one that it may be meant for; empty if none is close."""


def unknown_variables(env_file: str | Path | None = ENV_FILE) -> list[UnknownVariable]:
    """The variables of the environment that look like settings, and all of the file's, that nobody reads; by name.

    Raises:
        ConfigurationError: The file is there and cannot be read.
    """
    ours = {name.upper() for kind in (Settings, ClientSettings) for name in kind.model_fields}
    found = dict(_looking_like(ours, os.environ))
    for name in read_env_file(env_file):
        if name.upper() not in ours and not name.startswith(SDK_PREFIXES):
            found[name] = _closest(name, ours)
    return [UnknownVariable(name, found[name]) for name in sorted(found)]


def _looking_like(ours: Collection[str], names: Collection[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if name.upper() in ours or name.startswith(KUBERNETES_PREFIX):
            continue
        if name.startswith("AWS_"):
            known = name in SDK_NAMES or name.startswith("AWS_ENDPOINT_URL_")
            meant = "" if known else _closest(name, SDK_NAMES)
        else:
            meant = _closest(name, ours)
        if meant or name.startswith(OUR_PREFIXES):
            yield name, meant


def _closest(name: str, known: Collection[str]) -> str:
    # Images of others read the secret NAME from the file that NAME_FILE names. Here only those of `known` can be files.
    named = name.upper().removesuffix("_FILE")
    if named in known:
        return named
    return next(iter(get_close_matches(name.upper(), known, n=1, cutoff=LIKENESS)), "")
