import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.sends.plan.answers import Prices, plan
from service.sends.plan.limits import least_tps, most_messages_per_minute
from service.sends.plan.send import Send
from service.sends.plan.simulation import simulate
from service.sends.words import duration


def run(*options: str) -> Result:
    return CliRunner().invoke(main, ["plan", *options])


def planned(*options: str) -> dict[str, Any]:
    result = run(*options, "--json")
    assert result.exit_code == 0, result.output
    answers: dict[str, Any] = json.loads(result.stdout)
    return answers


SMALL = ("--recipients", "300", "--passes", "3", "--minutes", "0.5", "--tps", "5")


def test_a_small_send_is_planned() -> None:
    answers = planned(*SMALL)

    shares = {source: one["share"] for source, one in answers["recipients"].items()}
    # 4.9 slots a second for 12.5 s, in which they all come, and the deadline after them, of 300 recipients.
    assert shares == pytest.approx({"personalize": 0.22, "cache": 0, "stale": 0, "batch": 0, "popular": 0.78}, abs=0.01)
    assert answers["all_live"] == {
        "messages_per_minute": 122,
        "messages_per_minute_in_bursts": 122,
        "tps": 25,
    }
    # 300 lists at 0.8 of 4.9 a second.
    assert answers["prewarm"]["start_seconds_before"] == pytest.approx(76.5, abs=0.1)
    assert answers["prewarm"]["all_fresh"]
    assert answers["tps_hours"] == pytest.approx(5 / 120)
    assert answers["cost"] == {"send": None, "prewarm": None, "batch": None}
    assert answers["scale"] == 1


def test_only_the_prices_given_count_for_the_cost() -> None:
    cost = planned(*SMALL, "--batch", "0.5", "--price-per-1000-batch", "0.1")["cost"]

    assert cost == {"send": None, "prewarm": None, "batch": pytest.approx(0.015)}

    cost = planned(*SMALL, "--price-per-tps-hour", "0.24")["cost"]

    assert cost["send"] == pytest.approx(0.01)
    assert cost["prewarm"] == pytest.approx(5 * 76.53 / 3600 * 0.24, rel=0.001)


def test_the_table_says_it_in_words() -> None:
    result = run(*SMALL, "--cached", "0.4", "--price-per-tps-hour", "1")

    assert result.exit_code == 0
    for words in ("300 recipients in 30 s at 5 TPS", "40.0%", "popular", "could be live", "cost of the send"):
        assert words in result.stdout
    assert "cost of the batch" not in result.stdout


def test_the_services_settings_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSONALIZE_TPS", "7")
    monkeypatch.setenv("CACHE_FRESH_SECONDS", "120")
    monkeypatch.setenv("REQUEST_DEADLINE_SECONDS", "1.2")

    send = planned("--recipients", "10", "--minutes", "1")["send"]

    assert (send["tps"], send["fresh_seconds"], send["deadline_seconds"]) == (7, 120, 1.2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--recipients", "0"), "'--recipients': 0 is not in the range"),
        (("--passes", "11"), "'--passes': 11 is not in the range"),
        (("--minutes", "-1"), "'--minutes': -1.0 is not in the range"),
        (("--minutes", "99999"), "'--minutes': 99999.0 is not in the range 0<x<=44640"),
        (("--tps", "9999"), "'--tps': 9999.0 is not in the range 0<x<=2500"),
        (("--cached", "1.1"), "'--cached': 1.1 is not in the range"),
        (("--cached", "0.9", "--stale", "0.9"), "cached and stale are together 1.8, and can be 1 at most"),
        (("--spare", "0"), "'--spare': 0.0 is not in the range 0<x<=1"),
        (("--cached", "nan"), "'--cached': nan is not a number"),
        (("--peak", "nan"), "'--peak': nan is not a number"),
        (("--price-per-tps-hour", "inf"), "'--price-per-tps-hour': inf is not in the range 0<=x<=1000000"),
    ],
)
def test_a_wrong_option_gets_a_line_that_names_it(options: tuple[str, ...], said: str) -> None:
    result = run(*SMALL, *options)

    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_large_send_says_at_which_scale_it_was_planned() -> None:
    answers = plan(Send(recipients=3000, passes=1, minutes=5, tps=5), prices=Prices(), at_most=1000).as_dict()

    assert answers["scale"] == 3
    assert "Simulated at a scale of 1 : 3: 1,000 recipients at the same rate for a shorter while." in answers["notes"]
    assert sum(one["count"] for one in answers["recipients"].values()) == 3000


def test_at_the_rate_limit_named_all_are_live_and_well_above_it_they_are_not() -> None:
    send = Send(recipients=2000, passes=3, minutes=24, tps=5, cached=0.4)

    limit = most_messages_per_minute(send)

    def live(per_minute: float) -> float:
        course = simulate(Send(recipients=2000, passes=3, minutes=2000 / per_minute, tps=5, cached=0.4))
        return course.share("personalize") + course.share("cache")

    # More than one slot for each recipient, since 40 % need none.
    assert limit > 5 * 60
    assert live(limit) >= 0.999
    assert live(1.15 * limit) < 0.99


def test_at_the_tps_named_all_are_live_and_one_below_they_are_not() -> None:
    send = Send(recipients=5_000, passes=3, minutes=15, tps=1, cached=0.4, fresh_seconds=7200)

    tps = least_tps(send)

    for given, all_live in ((tps, True), (tps - 1, False)):
        course = simulate(send, tps=given)
        assert (course.share("personalize") + course.share("cache") >= 0.999) is all_live


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(7, "7 s"), (60, "1 min"), (306, "5 min 6 s"), (3600, "1 h"), (11_040, "3 h 4 min"), (183_600, "2 d 3 h")],
)
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_plan_begins_with_a_verdict_and_the_three_ways_out() -> None:
    """H7: figures, and no word on whether the send is a good idea."""
    result = run("--recipients", "10000", "--minutes", "10", "--tps", "5", "--batch", "0.3")

    lines = " ".join(result.stdout.split())
    assert lines.startswith("Too fast for 5 TPS: ")
    assert re.search(
        r"Too fast for 5 TPS: [\d,]+ of 10,000 recipients \(\d+%\) get popular items, which are not", lines
    )
    verdict = planned("--recipients", "10000", "--minutes", "10", "--tps", "5", "--batch", "0.3")
    slower, more, before = verdict["verdict"]["ways_out"]
    assert verdict["verdict"]["all_fresh"] is False
    assert f"to {verdict['all_live']['messages_per_minute']:,} messages a minute" in slower
    assert f"PERSONALIZE_TPS to {verdict['all_live']['tps']:,}." in more
    assert f"{duration(verdict['prewarm']['start_seconds_before'])} before the send, for 10,000 lists" in before
    for number, way in enumerate((slower, more, before), 1):
        assert f"{number}. {way}" in lines


@pytest.mark.parametrize(
    ("options", "beginning"),
    [
        (("--recipients", "20"), "Good: all recipients get a live or a fresh list."),
        (("--recipients", "1800", "--cached", "1"), "Good: all recipients get a live or a fresh list."),
        (("--recipients", "2000", "--batch", "1"), "Good enough for 5 TPS: "),
        (("--recipients", "2000", "--stale", "1"), "Good enough for 5 TPS: "),
        (("--recipients", "2000"), "Too fast for 5 TPS: "),
    ],
)
def test_the_verdict_follows_from_what_recipients_get(options: tuple[str, ...], beginning: str) -> None:
    """H7."""
    verdict = planned(*options, "--minutes", "2", "--tps", "5")["verdict"]

    assert verdict["sentence"].startswith(beginning)
    assert len(verdict["ways_out"]) == (0 if beginning.startswith("Good:") else 3)


def test_a_way_out_that_is_none_says_why() -> None:
    """H7."""
    verdict = planned("--recipients", "30000", "--minutes", "0.1", "--tps", "0.01", "--fresh-seconds", "60")["verdict"]

    slower, more, before = verdict["ways_out"]
    assert slower.startswith("Slower: no. ")
    assert more.startswith("More TPS: no. ")
    assert "Load batch lists for 30,000 recipients" in before


def test_the_messages_of_a_minute_are_as_crowded_as_brazes_have_been_seen() -> None:
    """H7: a peak of 1.0 here, 2.4 in the documents."""
    assert planned(*SMALL)["send"]["peak"] == 2.4
    assert planned(*SMALL, "--peak", "1")["all_live"]["messages_per_minute"] == 294


def test_a_plan_says_how_far_it_is_where_nothing_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """H7: 17 s of blank screen."""
    monkeypatch.setattr("service.cli.display.FIRST_LINE_SECONDS", 0.0)

    result = run("--recipients", "6000", "--minutes", "20", "--tps", "5")

    assert result.stderr == "simulating: 2,000 of 6,000 recipients\n"
    assert "simulating" not in result.stdout


def test_lists_that_live_until_an_event_cost_a_transaction_for_each_active_recipient() -> None:
    send = ("--recipients", "1000", "--minutes", "1", "--passes", "1", "--tps", "20", "--stale-seconds", "691200")
    answers = planned(*send, "--active", "0.08")
    assert answers["transactions"]["send"] + answers["transactions"]["refreshes_after"] == 80
    assert answers["recipients"]["cache"]["share"] == pytest.approx(0.92, abs=0.001)
    assert (answers["prewarm"]["recipients"], answers["notes"]) == (80, [])
    # Those without any list cost one as ever.
    assert planned(*send, "--active", "0.5", "--cached", "0.1", "--stale", "0.3")["prewarm"]["recipients"] == 800


def test_a_weekly_send_needs_lists_to_be_served_for_longer_than_a_week() -> None:
    note = planned(*SMALL, "--active", "0.08", "--cached-age", "604790")["notes"]
    assert any("CACHE_STALE_SECONDS" in line for line in note)


ARNS = {
    "PERSONALIZE_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/a",
    "SIMILAR_ITEMS_CAMPAIGN_ARN": "arn:aws:personalize:us-east-1:000000000000:campaign/s",
    "SIMILAR_ITEMS_TPS": "20",
}
SEND = ("--recipients", "3000", "--minutes", "2", "--passes", "2")


def test_a_send_about_items_needs_a_list_for_each_item_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ARNS.items():
        monkeypatch.setenv(name, value)

    answers = planned(*SEND, "--placement", "similar", "--items", "30")

    assert answers["send"]["tps"] == 20
    assert answers["transactions"]["send"] == answers["prewarm"]["recipients"] == 30
    assert answers["recipients"]["popular"]["count"] == 0
    assert "Lists are kept per item" in answers["notes"][0]
    # The same messages about users' own lists take far more TPS.
    assert answers["all_live"]["tps"] < planned(*SEND, "--tps", "20")["all_live"]["tps"] / 3


def test_items_that_have_a_list_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ARNS.items():
        monkeypatch.setenv(name, value)

    answers = planned(*SEND, "--placement", "similar", "--items", "30", "--cached", "1")

    assert (answers["transactions"]["send"], answers["recipients"]["cache"]["share"]) == (0, 1.0)


def test_an_option_goes_before_what_the_placement_says_and_that_before_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "placements.toml"
    arn = ARNS["PERSONALIZE_CAMPAIGN_ARN"]
    file.write_text(f'[placements.night]\ncampaign_arn = "{arn}"\ntps = 7\nfresh_seconds = 60\n')
    monkeypatch.setenv("PLACEMENTS_FILE", str(file))
    monkeypatch.setenv("CACHE_FRESH_SECONDS", "500")
    monkeypatch.setenv("CACHE_STALE_SECONDS", "5000")

    send = planned(*SEND, "--placement", "night")["send"]
    assert (send["tps"], send["fresh_seconds"], send["stale_seconds"]) == (7, 60, 5000)
    assert planned(*SEND, "--placement", "night", "--tps", "9")["send"]["tps"] == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--placement", "nowhere"), "no placement 'nowhere'; there are: for-you, similar"),
        (("--placement", "similar"), "similar keeps its lists per item; say with --items"),
        (("--placement", "for-you", "--items", "3"), "for-you keeps its lists per user; --recipients counts them"),
        (("--placement", "similar", "--items", "0"), "0 is not in the range"),
    ],
)
def test_a_placement_that_does_not_go_with_what_is_counted_is_one_line(
    options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ARNS.items():
        monkeypatch.setenv(name, value)
    result = run(*SEND, *options)

    assert result.exit_code == 2
    assert said in result.output
