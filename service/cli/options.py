"""Options that several commands have."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from service.settings import SettingsGroup

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Number(click.FloatRange):
    """A number within bounds; `nan` and `inf`, which no comparison with a bound would find, are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401  # click's own
        """The number, or a line that names the option and the bounds."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def catalog_url(written: str) -> str:
    """An address as in `CATALOG_URL`; a path, as one writes it at a terminal, is that of a file."""
    return written if _SCHEME.match(written) else Path(written).absolute().as_uri()


def setting_option(
    flag: str, group: type[SettingsGroup], name: str, *, summary: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that goes before a setting, within the same bounds; None where it is not given.

    Args:
        flag: The option, `--fresh-seconds`.
        group: Where the setting is.
        name: The setting's field, and the parameter of the command.
        summary: What the help says before the setting's name.
    """
    field = group.model_fields[name]
    return click.option(
        flag, name, type=_range(field), help=summary, show_default=f"{name.upper()}, else {field.default:g}"
    )


def _range(field: FieldInfo) -> Number:
    """The bounds of a setting that is a number."""
    least = most = None
    is_open = False
    for bound in field.metadata:
        if isinstance(bound, Gt):
            least, is_open = _number(bound.gt), True
        elif isinstance(bound, Ge):
            least = _number(bound.ge)
        elif isinstance(bound, Le):
            most = _number(bound.le)
    return Number(least, most, min_open=is_open)


def _number(bound: object) -> float:
    """A bound as the help shows it best: whole if it is."""
    number = float(str(bound))
    return int(number) if number.is_integer() else number
