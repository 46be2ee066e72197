"""`personalize-connect serve`."""

from typing import Final

import click

from service.absent import absent

UNUSED: Final = ("rich", "httpx", "httpx2", "pydantic.v1")
"""What libraries look for and would load: colors in tracebacks, another HTTP client, models of another kind."""

with absent(*UNUSED):
    from service.server import serve
    from service.settings import load_settings


@click.command("serve")
def command() -> None:
    """Run the service until a signal.

    The environment and .env configure it. Exit status 2 and one line for each mistake when it is configured wrongly.
    """
    with absent(*UNUSED):
        serve(load_settings())
