"""`personalize-connect serve`."""

import click

from service.server import serve
from service.settings import load_settings


@click.command("serve")
def command() -> None:
    """Run the service until a signal.

    The environment and .env configure it. Exit status 2 and one line for each mistake when it is configured wrongly.
    """
    serve(load_settings())
