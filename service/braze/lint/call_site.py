"""A call as it stands in a template."""

import re
from dataclasses import dataclass
from typing import Final

from service.braze.call_tag import CallTag
from service.braze.source import Piece
from service.constants import DEFAULT_NUM_RESULTS

OURS: Final = re.compile(r"/(recommendations|similar-items|ranking)/?$")
OUTPUTS: Final = re.compile(r"\{\{(?:[^{}]|\$\{[^}]*\}|\{\{|\}(?!\}))*\}\}+")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an address; the value as it is written."""

    name: str
    value: str
    at: int


@dataclass(frozen=True, slots=True)
class CallSite:
    """A `connected_content` tag; offsets are those of the template."""

    piece: Piece
    tag: CallTag

    @property
    def at(self) -> int:
        """Where the address begins."""
        return self.piece.inner_start

    @property
    def variable(self) -> str:
        """Where the answer goes."""
        return self.tag.option("save") or "connected"

    @property
    def masked(self) -> str:
        """The address, with every character of an output replaced."""
        return OUTPUTS.sub(lambda match: "\0" * len(match[0]), self.tag.url)

    @property
    def path(self) -> str:
        """What is asked of this service: `recommendations`, `similar-items` or `ranking`; else empty."""
        match = OURS.search(self.masked.partition("?")[0])
        return match[1] if match else ""

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters, in order."""
        found, masked = [], self.masked
        begin = masked.find("?") + 1
        while begin:
            end = masked.find("&", begin)
            stop = len(masked) if end < 0 else end
            equals = masked.find("=", begin, stop)
            cut = stop if equals < 0 else equals
            found.append(Parameter(self.tag.url[begin:cut], self.tag.url[cut + 1 : stop], self.at + begin))
            begin = end + 1
        return found

    def value(self, *names: str) -> str | None:
        """The value of a parameter by any of its names."""
        return next((one.value for one in self.parameters if one.name in names), None)

    @property
    def is_object(self) -> bool:
        """Whether the answer of this service is an object."""
        return self.value("format") == "object"

    @property
    def count(self) -> int | None:
        """How many items come at most; None where that is not written."""
        asked = self.value("num_results", "numResults")
        if asked is None:
            return DEFAULT_NUM_RESULTS if self.path in {"recommendations", "similar-items"} else None
        return int(asked) if asked.isdecimal() else None
