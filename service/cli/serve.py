"""`personalize-connect serve`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Final

import click
from pydantic import BaseModel

from service.absent import absent, without_certificates

UNUSED: Final = ("rich", "httpx", "httpx2", "pydantic.v1")
"""What libraries look for and would load: colors in tracebacks, another HTTP client, models of another kind."""

# Pydantic would look for plugins in what every installed package says of itself.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


@contextmanager
def _models_made_when_used() -> Iterator[None]:
    """Let pydantic's models that are imported within the block be made when they are first used."""
    BaseModel.model_config["defer_build"] = True
    try:
        yield
    finally:
        del BaseModel.model_config["defer_build"]


with absent(*UNUSED), without_certificates():
    with _models_made_when_used():
        # It has forty for OpenAPI's document, which few ask for.
        import_module("fastapi")
    from service.server import serve
    from service.settings import load_settings


@click.command("serve")
def command() -> None:
    """Run the service until a signal.

    The environment and .env configure it. Exit status 2 and one line for each mistake when it is configured wrongly.
    """
    with absent(*UNUSED):
        serve(load_settings())
