"""Writes the picture of a send into a file; the end of its name says how it is drawn."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from service.sends.plan.answers import Plan
from service.sends.plan.curves import curves
from service.sends.plan.svg import svg

SUFFIXES: Final = (".svg", ".png")
"""How the names of pictures end. An SVG needs nothing that is not installed, and opens in every browser."""


class PictureUnavailable(Exception):
    """No picture can be made; the text says why, and what to do."""


def check_possible(path: Path) -> None:
    """Say before a long simulation that there will be no picture of it.

    Raises:
        PictureUnavailable: The name ends otherwise, what draws it is not installed, or nothing can be written there.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PictureUnavailable(f"{path} must end in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".png" and find_spec("matplotlib") is None:
        raise PictureUnavailable(
            f"a PNG needs matplotlib, which is not installed; {path.with_suffix('.svg')} needs nothing. In a checkout,"
            " .venv/bin/pip install --require-hashes -r requirements/plot.txt installs it, and"
            " docker build --build-arg LOCK=plot . puts it into the image"
        )
    # As the system says it, which knows of rights and of disks that are read-only.
    try:
        os.close(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY))
        is_writable = os.access(path if path.exists() else path.parent, os.W_OK)
    except OSError as error:
        raise _unwritable(path, error.strerror) from error
    if not is_writable:
        raise _unwritable(path, "no right to write there, or a read-only disk")


def draw(plan: Plan, path: Path) -> None:
    """Write a picture: above, what recipients get; below, the transactions against the TPS.

    Raises:
        PictureUnavailable: The file cannot be written.
    """
    drawn = curves(plan)
    try:
        if path.suffix.lower() == ".svg":
            path.write_text(svg(drawn), "utf-8")
            return
        from service.sends.plan.png import write_png  # noqa: PLC0415  # of an extra

        write_png(drawn, path)
    except OSError as error:
        raise _unwritable(path, error.strerror) from error


def _unwritable(path: Path, why: str | None) -> PictureUnavailable:
    return PictureUnavailable(f"{path} cannot be written: {why}")
