"""The picture of a send as an SVG, which opens in every browser and needs no library."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from service.sends.plan.curves import COLORS, Curves

_WIDTH: Final = 1000
_HEIGHT: Final = 660
_LEFT: Final = 90
_RIGHT: Final = 970
_LABEL_Y: Final = 16
_TICKS: Final = 5
_LEGEND_MARK: Final = 56
_LETTER: Final = 7
"""A little more than the usual letter takes."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """A part of the picture with axes of its own, in units of the picture; y grows downwards."""

    top: float
    bottom: float
    most_x: float
    most_y: float

    def x(self, value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * value / self.most_x, 1)

    def y(self, value: float) -> float:
        return round(self.bottom - (self.bottom - self.top) * value / self.most_y, 1)


def svg(data: Curves) -> str:
    """The picture: above, what recipients get; below, the transactions against the TPS."""
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_WIDTH / 2}" y="24" text-anchor="middle" font-size="16">{escape(data.title)}</text>',
        *_above(data),
        *_below(data),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _above(data: Curves) -> Iterator[str]:
    sums = [sum(column) for column in zip(*data.recipients.values(), strict=True)]
    panel = _Panel(70, 400, data.total_minutes, _nice(max(*sums, data.tps)))
    floor = [0.0] * len(data.minutes)
    for source, rates in data.recipients.items():
        ceiling = [low + rate for low, rate in zip(floor, rates, strict=True)]
        edge = [*_points(panel, data.minutes, ceiling), *reversed(_points(panel, data.minutes, floor))]
        hint = f"<title>{data.labels[source]}</title>"
        yield f'<polygon points="{" ".join(edge)}" fill="{COLORS[source]}">{hint}</polygon>'
        floor = ceiling
    yield from _axes(panel, "recipients a second")
    yield from _tps_line(panel, data.tps)
    legend = [
        (f'<rect width="14" height="14" fill="{COLORS[source]}"/>', data.labels[source]) for source in data.labels
    ]
    yield from _legend([*legend, (_DASH, f"{data.tps:g} TPS")], 42)


def _below(data: Curves) -> Iterator[str]:
    panel = _Panel(460, 610, data.total_minutes, _nice(max(*data.transactions, data.tps)))
    points = " ".join(_points(panel, data.minutes, data.transactions))
    yield f'<polyline points="{points}" fill="none" stroke="{COLORS["personalize"]}" stroke-width="2"/>'
    yield from _axes(panel, "transactions a second")
    yield from _tps_line(panel, data.tps)
    for tick in _ticks(data.total_minutes):
        yield f'<text x="{panel.x(tick)}" y="{panel.bottom + _LABEL_Y + 2}" text-anchor="middle">{tick:,g}</text>'
    yield f'<text x="{(_LEFT + _RIGHT) / 2}" y="{panel.bottom + 40}" text-anchor="middle">minutes</text>'


_DASH: Final = '<path d="M0 7h22" stroke="black" stroke-width="1.5" stroke-dasharray="5 4"/>'


def _points(panel: _Panel, minutes: Sequence[float], rates: Sequence[float]) -> list[str]:
    return [f"{panel.x(minute)},{panel.y(rate)}" for minute, rate in zip(minutes, rates, strict=True)]


def _axes(panel: _Panel, label: str) -> Iterator[str]:
    for tick in _ticks(panel.most_y):
        y = panel.y(tick)
        yield f'<path d="M{_LEFT} {y}H{_RIGHT}" stroke="black" stroke-opacity="0.12"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:,g}</text>'
    yield f'<path d="M{_LEFT} {panel.top}V{panel.bottom}H{_RIGHT}" fill="none" stroke="black"/>'
    middle = (panel.top + panel.bottom) / 2
    yield f'<text x="24" y="{middle}" text-anchor="middle" transform="rotate(-90 24 {middle})">{label}</text>'


def _tps_line(panel: _Panel, tps: float) -> Iterator[str]:
    y = panel.y(tps)
    yield f'<path d="M{_LEFT} {y}H{_RIGHT}" stroke="black" stroke-width="1.5" stroke-dasharray="5 4"/>'


def _legend(entries: Sequence[tuple[str, str]], top: float) -> Iterator[str]:
    left = _LEFT
    for mark, label in entries:
        yield f'<g transform="translate({left} {top})">{mark}<text x="28" y="12">{label}</text></g>'
        left += _LEGEND_MARK + _LETTER * len(label)


def _nice(most: float) -> float:
    """A round number of at least `most`, for the end of an axis."""
    step = _step(most)
    return step * math.ceil(most / step - 1e-9)


def _ticks(most: float) -> list[float]:
    step = _step(most)
    return [number * step for number in range(int(most / step + 1e-9) + 1)]


def _step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are about `_TICKS` of them."""
    rough = max(most, 1e-9) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
