import struct
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.sends.plan.answers import Prices, plan
from service.sends.plan.picture import curves
from service.sends.plan.send import Send

SEND = Send(recipients=300, passes=3, minutes=0.5, tps=5, cached=0.4)


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


def test_a_png_is_written_with_the_areas_and_both_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  # two seconds, of which the other test needs none

    figures: list[Figure] = []
    save = Figure.savefig

    def remember(figure: Figure, *arguments: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Figure, "savefig", remember)
    path = tmp_path / "send.png"
    options = ["--recipients", "300", "--minutes", "0.5", "--tps", "5", "--cached", "0.4"]

    result = CliRunner().invoke(main, ["plan", *options, "--plot", str(path)])

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
