"""Progress is drawn on a terminal; a file or a pipe gets a plain line now and then."""

import io
import re

import pytest

from service.cli.display import BYTES, TerminalDisplay, amount


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Seconds:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_is_due_after_a_second_and_every_thirty_and_nothing_is_drawn() -> None:
    """H13: a pipe got escape codes, and nothing at all for half a minute."""
    stream, clock = io.StringIO(), Seconds()
    display = TerminalDisplay(stream, clock)

    with display.track("load", "lists", 100) as track:
        for done, seconds in ((10, 0.9), (20, 0.1), (30, 29), (40, 1)):
            clock.now += seconds
            track.reach(done, "half way")
            display.mention(lambda done=done: f"{done} of 100")  # type: ignore[misc]  # mypy cannot infer a default
        display.say("[bold]a line[/bold] of :smile: " + "words " * 40)

    assert stream.getvalue().splitlines() == [
        "20 of 100",
        "40 of 100",
        "[bold]a line[/bold] of :smile: " + "words " * 40,
    ]


def test_colours_forced_by_the_environment_draw_nothing_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    display = TerminalDisplay(stream)

    with display.track("load", "lists", 100) as track:
        track.advance(50)
        display.say("stopped")

    assert stream.getvalue() == "stopped\n"


def test_on_a_terminal_progress_is_drawn_and_lines_stay_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream, clock = Terminal(), Seconds()
    display = TerminalDisplay(stream, clock)

    with display.track("prewarm", "lists", 1200) as track:
        track.advance(400)
        track.expect(1000)
        clock.now += 60
        display.mention(lambda: pytest.fail("the bar says it"))
        display.say("waiting: Redis is down")

    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "waiting: Redis is down\n" in drawn
    assert "400 lists of 1,000 lists" in drawn.splitlines()[-1]


@pytest.mark.parametrize(
    ("count", "unit", "words"),
    [
        (1200, "lists", "1,200 lists"),
        (0, "users", "0 users"),
        (3_400_000_000, BYTES, "3.4 GB"),
        (12, BYTES, "12 bytes"),
    ],
)
def test_an_amount_reads_as_people_say_it(count: int, unit: str, words: str) -> None:
    assert amount(count, unit) == words
