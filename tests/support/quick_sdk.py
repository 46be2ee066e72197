"""What every client of the AWS SDK and of Redis works out anew, worked out once: it takes longer than most tests."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.utils
from aiobotocore import httpsession
from aiobotocore.httpsession import AIOHTTPSession
from botocore.hooks import BaseEventHooks, EventAliaser
from botocore.loaders import JSONFileLoader, Loader

from service.aws.models import _ModelFiles


@contextmanager
def working_out_once() -> Iterator[None]:
    """Amazon's models, the names of its services and of the SDK's own events, and the version of Redis's client."""
    read = cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
    read_ours = cache(partial(_ModelFiles.load_file, _ModelFiles()))
    list_services, alias = Loader.list_available_services, EventAliaser._alias_event_name
    services: dict[tuple[str, ...], list[str]] = {}
    aliases: dict[str, str] = {}

    def services_of(loader: Loader, type_name: str) -> list[str]:
        key = (type_name, *loader.search_paths)
        if key not in services:
            services[key] = list_services(loader, type_name)
        return services[key]

    def alias_of(aliaser: EventAliaser, event: str) -> str:
        if event not in aliases:
            aliases[event] = alias(aliaser, event)
        return aliases[event]

    def trust(_: BaseEventHooks, handler: Any) -> None:  # noqa: ANN401  # any callable
        """A handler that takes no keywords fails when it is called."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        patch.setattr(_ModelFiles, "load_file", lambda _, path: read_ours(path))
        patch.setattr(Loader, "list_available_services", services_of)
        patch.setattr(EventAliaser, "_alias_event_name", alias_of)
        patch.setattr(BaseEventHooks, "_verify_accept_kwargs", trust)
        patch.setattr(redis.utils, "get_lib_version", cache(redis.utils.get_lib_version))
        yield


@contextmanager
def certificates_read_once() -> Iterator[None]:
    """The certificates that clients of AWS and of HTTP trust."""
    build, trusted = AIOHTTPSession._build_verify_context, dict[tuple[str, int], ssl.SSLContext]()

    def context_of(session: AIOHTTPSession) -> ssl.SSLContext:
        # A client's certificate would be put into the context.
        if not session._verify or session._cert_file or session._proxy_config.settings:
            made: ssl.SSLContext = build(session)
            return made
        path = httpsession.get_cert_path(session._verify)
        key = (str(path), Path(path).stat().st_mtime_ns)
        if key not in trusted:
            trusted[key] = build(session)
        return trusted[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AIOHTTPSession, "_build_verify_context", context_of)
        patch.setattr(httpx._transports.default, "create_ssl_context", cache(httpx.create_ssl_context))
        yield
