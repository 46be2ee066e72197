"""`python -m service.local_personalize`: the local Personalize from the command line."""

from pathlib import Path

import click

from service.local_personalize.errors import LocalPersonalizeError
from service.local_personalize.runtime_api import serve


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Directory of interactions.csv.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Keep it on loopback.")
@click.option("--port", type=click.IntRange(0, 65535), default=9100, show_default=True, help="0: any free one.")
@click.option(
    "--tps",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Transactions per second before ThrottlingException; 0: no limit.",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="How long each answer takes.",
)
@click.option("--filter", "filters", multiple=True, help="A filter that exists, NAME=EXPRESSION.")
@click.option("--campaign-arn", "campaign_arns", multiple=True, help="A further campaign that exists.")
@click.option("--recommender-arn", "recommender_arns", multiple=True, help="A further recommender that exists.")
def main(
    *,
    data: Path,
    host: str,
    port: int,
    tps: float,
    latency_ms: float,
    campaign_arns: tuple[str, ...],
    recommender_arns: tuple[str, ...],
    filters: tuple[str, ...],
) -> None:
    """Stand in for the Amazon Personalize runtime, learned from Personalize's own CSV files."""
    try:
        serve(
            data=data,
            host=host,
            port=port,
            tps=tps,
            latency_ms=latency_ms,
            campaign_arns=campaign_arns,
            recommender_arns=recommender_arns,
            filters=filters,
        )
    except LocalPersonalizeError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
