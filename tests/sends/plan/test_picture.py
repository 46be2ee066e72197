import itertools
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.sends.plan.answers import Prices, plan
from service.sends.plan.course import Course
from service.sends.plan.curves import curves
from service.sends.plan.send import Send

SEND = Send(recipients=300, passes=3, minutes=0.5, tps=5, cached=0.4, peak=2.4)


def test_the_picture_shows_sources_over_time_and_the_transactions_below_the_tps() -> None:
    answers = plan(SEND, prices=Prices())

    drawn = curves(answers)

    seconds = SEND.seconds / len(drawn.minutes)
    assert list(drawn.recipients) == ["personalize", "cache", "popular"]
    assert {source: round(sum(rates) * seconds) for source, rates in drawn.recipients.items()} == dict(
        answers.course.recipients
    )
    # Six slots are used by those who still waited when the last message had gone out.
    assert 0 <= answers.course.transactions - sum(drawn.transactions) * seconds <= 7
    assert max(drawn.transactions) <= drawn.tps + 1 / seconds
    assert drawn.tps == 5
    assert drawn.minutes[0] > 0
    assert drawn.minutes[-1] < SEND.minutes


@pytest.mark.processes  # matplotlib asks for the fonts of a machine that it has not seen before
def test_a_png_is_written_with_the_areas_and_both_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  # two seconds, of which the other test needs none

    figures: list[Figure] = []
    save = Figure.savefig

    def remember(figure: Figure, *arguments: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Figure, "savefig", remember)
    path = tmp_path / "send.png"

    result = plot(path)

    assert result.exit_code == 0
    [figure] = figures
    above, below = figure.axes
    drawn = curves(plan(SEND, prices=Prices()))
    assert [area.get_label() for area in above.collections] == ["live", "cached", "popular, not personal"]
    transactions, line = below.lines
    assert list(transactions.get_ydata()) == drawn.transactions  # type: ignore[arg-type]  # one number each
    assert list(line.get_ydata()) == [5, 5]  # type: ignore[arg-type]  # as above
    assert list(above.lines[0].get_ydata()) == [5, 5]  # type: ignore[arg-type]  # as above
    assert_opens(path)


OPTIONS = ("plan", "--recipients", "300", "--minutes", "0.5", "--tps", "5", "--cached", "0.4")
NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def plot(path: Path) -> Result:
    return CliRunner().invoke(main, [*OPTIONS, "--plot", str(path)])


def test_an_svg_is_drawn_without_any_library_and_its_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3, H7: a picture needed a package that is on no index, and was written without a word."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    path = tmp_path / "send.svg"

    result = plot(path)

    assert (result.exit_code, result.stderr) == (0, f"wrote {path}\n")
    picture = ET.parse(path).getroot()  # noqa: S314  # of our own
    words = [text.text for text in picture.iterfind(".//svg:text", NAMESPACE)]
    assert words[0] == "300 recipients, 0.5 minutes"
    assert {"live", "cached", "popular, not personal", "5 TPS", "minutes", "transactions a second"} <= set(words)
    areas = picture.findall("svg:polygon", NAMESPACE)
    assert [area.findtext("svg:title", namespaces=NAMESPACE) for area in areas] == [
        "live",
        "cached",
        "popular, not personal",
    ]
    parts = len(curves(plan(SEND, prices=Prices())).minutes)
    corners = [[tuple(map(float, corner.split(","))) for corner in area.attrib["points"].split()] for area in areas]
    assert {len(one) for one in corners} == {2 * parts}
    # Each area stands on the one before.
    for below, above in itertools.pairwise(corners):
        assert above[parts:] == below[:parts][::-1]
    for x, y in itertools.chain(*corners):
        assert 90 <= x <= 970
        assert 70 <= y <= 400


def test_a_png_without_matplotlib_is_refused_before_the_simulation_with_ways_that_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3: it named a package that is on no index."""
    monkeypatch.setattr("service.sends.plan.picture.find_spec", lambda _: None)
    monkeypatch.setattr("service.cli.plan.plan", lambda *_, **__: pytest.fail("was simulated"))

    result = plot(tmp_path / "send.png")

    assert result.exit_code == 1
    assert f"{tmp_path}/send.svg needs nothing" in result.stderr
    assert "personalize-connect[" not in result.stderr
    assert ".venv/bin/pip install --require-hashes -r requirements/plot.txt" in result.stderr


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("absent/send.svg", "cannot be written: No such file or directory"),
        ("items.csv/send.svg", "cannot be written: Not a directory"),
        ("send.pdf", "must end in .svg or .png"),
        ("send", "must end in .svg or .png"),
    ],
)
def test_a_picture_that_cannot_be_written_is_said_before_the_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    """H7."""
    monkeypatch.setattr("service.cli.plan.plan", lambda *_, **__: pytest.fail("was simulated"))
    (tmp_path / "items.csv").touch()

    result = plot(tmp_path / name)

    assert result.exit_code == 1
    assert problem in result.stderr


def test_the_parts_of_a_long_picture_are_whole_minutes() -> None:
    """H7: half a minute each, they showed the bursts of a minute and nothing else."""
    for minutes, parts in ((60, 60), (120, 120), (180, 90), (600, 120), (1000, 111)):
        assert len(Course.of(replace(SEND, minutes=minutes)).transaction_series) == parts


def assert_opens(path: Path) -> None:
    """A PNG whose pixels can be unpacked."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, pixels, height = 8, b"", 0
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            _, height = struct.unpack(">II", chunk[:8])
        elif kind == b"IDAT":
            pixels += chunk
        at += length + 12
    assert height > 100
    assert len(zlib.decompress(pixels)) % height == 0
