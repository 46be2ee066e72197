"""`personalize-connect plan`."""

import json
import sys
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from service.cli.display import TerminalDisplay
from service.cli.group import EXIT_FAILED
from service.cli.options import Number, setting_option
from service.sends.plan.answers import MAX_PRICE, Plan, Prices, plan
from service.sends.plan.limits import BRAZE_PEAK
from service.sends.plan.picture import PictureUnavailable, check_possible, draw
from service.sends.plan.send import MAX_GAP_SECONDS, MAX_MINUTES, MAX_PASSES, MAX_PEAK, MAX_RECIPIENTS, Send
from service.sends.plan.table import table
from service.sends.ports import DEFAULT_SPARE
from service.settings import PlacementSettings, SendSettings, load
from service.settings.placements import PlacementTerms

WIDTH: Final = 100
"""Columns of the table where there is no terminal."""

DEFAULTS: Final = Send(recipients=1, passes=1, minutes=1, tps=1)
"""Any send of which only the required options are given."""

_SHARE: Final = Number(0, 1)
_NOT_NEGATIVE: Final = Number(min=0)
_PRICE: Final = Number(0, MAX_PRICE)


@click.command("plan")
@click.option("--recipients", type=click.IntRange(1, MAX_RECIPIENTS), required=True, help="Distinct users of the send.")
@click.option("--passes", type=click.IntRange(1, MAX_PASSES), default=3, help="Calls for each: HTML, plain text, AMP.")
@click.option(
    "--minutes",
    type=Number(0, MAX_MINUTES, min_open=True),
    required=True,
    help="From the first message to the last.",
)
@click.option(
    "--placement",
    default="",
    show_default="PERSONALIZE_TPS and the settings",
    help="The placement whose TPS and times count.",
)
@click.option(
    "--items",
    type=click.IntRange(1, MAX_RECIPIENTS),
    help="Distinct items of the send, for a placement of similar items: lists are kept per item, and each recipient"
    " asks for one of them.",
)
@setting_option("--tps", SendSettings, "personalize_tps", summary="Transactions per second.")
@click.option(
    "--cached", type=_SHARE, default=DEFAULTS.cached, help="Share of recipients with a fresh list at the start."
)
@click.option("--stale", type=_SHARE, default=DEFAULTS.stale, help="Share with an older list.")
@click.option("--batch", type=_SHARE, default=DEFAULTS.batch, help="Share in the batch, whatever else they have.")
@click.option(
    "--active",
    type=_SHARE,
    help="With LISTS_LIVE_UNTIL_EVENT: share of those with a list who have done something since. Without --cached and"
    " --stale, everybody has a list.",
)
@click.option(
    "--cached-age",
    "cached_age_seconds",
    type=_NOT_NEGATIVE,
    default=DEFAULTS.cached_age_seconds,
    help="Age of the fresh lists at the start, in seconds.",
)
@click.option("--stale-newer", is_flag=True, help="The stale lists are newer than the batch.")
@click.option(
    "--gap",
    "gap_seconds",
    type=Number(0, MAX_GAP_SECONDS),
    default=DEFAULTS.gap_seconds,
    help="Seconds between the calls of one recipient.",
)
@click.option(
    "--peak",
    type=Number(1, MAX_PEAK),
    default=BRAZE_PEAK,
    help="Peak within a minute over its average; Braze has been seen at 2.4.",
)
@click.option("--latency-ms", type=_NOT_NEGATIVE, default=1000 * DEFAULTS.latency_seconds, help="Of a transaction.")
@click.option(
    "--spare",
    type=Number(0, 1, min_open=True),
    default=DEFAULT_SPARE,
    help="Share of the TPS that prewarm may spend.",
)
@setting_option("--fresh-seconds", SendSettings, "cache_fresh_seconds", summary="How long a list is fresh.")
@setting_option("--stale-seconds", SendSettings, "cache_stale_seconds", summary="How long a list is served at all.")
@setting_option("--deadline", SendSettings, "request_deadline_seconds", summary="Seconds in which a call is answered.")
@click.option("--price-per-tps-hour", type=_PRICE, help="What you pay; no price, no cost.")
@click.option("--price-per-1000-batch", type=_PRICE, help="For batch lists of 1,000 users.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture of the send: send.svg, or send.png with matplotlib.",
)
def command(
    *,
    recipients: int,
    passes: int,
    minutes: float,
    placement: str,
    items: int | None,
    personalize_tps: float | None,
    cached: float,
    stale: float,
    batch: float,
    active: float | None,
    cached_age_seconds: float,
    stale_newer: bool,
    gap_seconds: float,
    peak: float,
    latency_ms: float,
    spare: float,
    cache_fresh_seconds: float | None,
    cache_stale_seconds: float | None,
    request_deadline_seconds: float | None,
    price_per_tps_hour: float | None,
    price_per_1000_batch: float | None,
    as_json: bool,
    plot: Path | None,
) -> None:
    """Say what a send will get before it is sent.

    It is simulated by the rules that the service answers by: which share of the recipients gets a live, cached,
    stale, batch or popular list, at which rate or TPS all could be live, and when prewarm must start.

    What no option says, the environment and .env do, as they do for `serve`.
    """
    if placement:
        # An option goes before what the placement says, and that before the settings.
        terms = _terms_of(placement, items)
        personalize_tps = terms.tps if personalize_tps is None else personalize_tps
        cache_fresh_seconds = terms.fresh_seconds if cache_fresh_seconds is None else cache_fresh_seconds
        cache_stale_seconds = terms.stale_seconds if cache_stale_seconds is None else cache_stale_seconds
    settings = load(
        SendSettings,
        personalize_tps=personalize_tps,
        cache_fresh_seconds=cache_fresh_seconds,
        cache_stale_seconds=cache_stale_seconds,
        request_deadline_seconds=request_deadline_seconds,
    )
    fresh_seconds = settings.cache_fresh_seconds
    if active is not None:
        # Lists are fresh until their user does something, however old they are.
        cached, stale = (cached + stale) or 1.0, 0.0
        fresh_seconds = settings.cache_stale_seconds
    try:
        send = Send(
            recipients=recipients,
            passes=passes,
            minutes=minutes,
            tps=settings.personalize_tps,
            cached=cached,
            stale=stale,
            batch=batch,
            active=active or 0.0,
            cached_age_seconds=cached_age_seconds,
            stale_newer=stale_newer,
            gap_seconds=gap_seconds,
            peak=peak,
            latency_seconds=latency_ms / 1000,
            fresh_seconds=fresh_seconds,
            stale_seconds=settings.cache_stale_seconds,
            deadline_seconds=settings.request_deadline_seconds,
            items=items or 0,
        )
        prices = Prices(price_per_tps_hour, price_per_1000_batch)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        if plot is not None:
            check_possible(plot)
        display = TerminalDisplay()
        answers = plan(send, prices=prices, spare=spare, display=display)
        _print(answers, as_json=as_json)
        if plot is not None:
            draw(answers, plot)
            display.say(f"wrote {plot}")
    except PictureUnavailable as error:
        click.echo(f"plan: --plot: {error}", err=True)
        sys.exit(EXIT_FAILED)


def _terms_of(placement: str, items: int | None) -> PlacementTerms:
    """What the settings say of a placement.

    Raises:
        UsageError: There is no such placement, or its lists are not kept for what is counted.
    """
    placements = load(PlacementSettings).placements
    terms = placements.get(placement)
    if terms is None:
        raise click.UsageError(f"--placement: no placement {placement!r}; there are: {', '.join(placements)}")
    per_item = terms.kind == "similar-items" and not terms.needs_user
    if per_item and items is None:
        raise click.UsageError(
            f"--placement: {placement} keeps its lists per item; say with --items how many there are"
        )
    if items is not None and not per_item:
        kept = "per user and item" if terms.kind == "similar-items" else "per user"
        raise click.UsageError(f"--items: {placement} keeps its lists {kept}; --recipients counts them")
    return terms


def _print(answers: Plan, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answers.as_dict(), allow_nan=False))
        return
    console = Console(highlight=False)
    Console(highlight=False, width=None if console.is_terminal else WIDTH).print(table(answers))
