"""The command line of the local Personalize."""

import os
import signal
import sys
import threading
from pathlib import Path

import click

from service.local_personalize.control.durations import DEFAULT_SPEED
from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.server import serve


@click.command("local-personalize", context_settings={"show_default": True})
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory with interactions.csv, in Amazon Personalize's columns: campaigns that are there from the start.",
)
@click.option("--host", default="127.0.0.1", help="Address to listen on; keep it on loopback.")
@click.option("--port", type=click.IntRange(0, 65_535), default=9100, help="Port to listen on; 0: any free one.")
@click.option(
    "--tps",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Transactions per second before ThrottlingException; 0: no limit.",
)
@click.option("--latency-ms", type=click.FloatRange(min=0), default=0.0, help="How long each answer takes.")
@click.option("--filter", "filters", multiple=True, help="A filter that exists, NAME=EXPRESSION.")
@click.option("--campaign-arn", "campaign_arns", multiple=True, help="A further campaign that exists.")
@click.option("--recommender-arn", "recommender_arns", multiple=True, help="A further recommender that exists.")
@click.option("--tracking-id", "tracking_ids", multiple=True, help="A further event tracker that exists.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that keeps what the control plane made; without it that ends with the process.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0.001, max=1_000_000),
    default=DEFAULT_SPEED,
    help="How much faster than Amazon imports, trainings and deployments are; 60: a minute passes in a second.",
)
@click.option("--quota", "quotas", multiple=True, help="Another quota, NAME=NUMBER, such as campaigns=2.")
@click.option("--name", "names", multiple=True, help="A host name with a dot under which it answers.")
@click.option("--stop-with-stdin", is_flag=True, hidden=True, help="Stop when standard input is closed.")
def command(
    *,
    data: Path | None,
    host: str,
    port: int,
    tps: float,
    latency_ms: float,
    filters: tuple[str, ...],
    campaign_arns: tuple[str, ...],
    recommender_arns: tuple[str, ...],
    tracking_ids: tuple[str, ...],
    state: Path | None,
    speed: float,
    quotas: tuple[str, ...],
    names: tuple[str, ...],
    stop_with_stdin: bool,
) -> None:
    """Run a local Personalize until a signal.

    It stands in for Amazon's: runtime, events and control plane on one port.
    Point AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME, AWS_ENDPOINT_URL_PERSONALIZE_EVENTS
    and AWS_ENDPOINT_URL_PERSONALIZE at it. With --data it learns from
    interactions at the start; further campaigns come from the control plane.
    """
    if stop_with_stdin:
        threading.Thread(target=_stop_at_end_of_stdin, daemon=True).start()
    try:
        serve(
            data=data,
            host=host,
            port=port,
            tps=tps,
            latency_ms=latency_ms,
            filters=filters,
            campaign_arns=campaign_arns,
            recommender_arns=recommender_arns,
            tracking_ids=tracking_ids,
            state=state,
            speed=speed,
            quotas=quotas,
            names=names,
        )
    except LocalPersonalizeError as error:
        click.echo(f"local-personalize: {error}", err=True)
        sys.exit(1)


def _stop_at_end_of_stdin() -> None:
    """Stop this process as SIGTERM would, once nobody holds the other end of its standard input."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
