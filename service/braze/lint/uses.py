"""A value where a template uses it, and what it comes from."""

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from service.braze.lint.call_site import CallSite

_KEEPS_LIST: Final = frozenset({"reverse", "slice", "where", "sort", "sort_natural", "uniq", "compact", "concat"})
_KEEPS_TEXT: Final = frozenset(
    (
        *("append", "capitalize", "default", "downcase", "newline_to_br", "prepend", "remove", "remove_first"),
        *("replace", "replace_first", "slice", "strip", "strip_newlines", "truncate", "truncatewords", "upcase"),
    )
)
"""Filters after which a text of the catalogue is still one."""

_MAKES_NUMBER: Final = frozenset({"default", "plus", "at_least", "times", "abs"})
"""Filters that make a number of the size of nothing."""

ANY: Final = "*"
"""An index that a variable holds."""

STATUS: Final = "__http_status_code__"

INDEXED: Final = "object[0]"
"""An item that is looked for in an object, and not in its list."""

OF_LIST: Final = "list."
"""Before the name of what is looked for in a list, and not in its items."""

OF_OBJECT: Final = "object."
"""Before the name of what is looked for in an object."""

OF_ITEM: Final = "item."
"""Before the names that lead to what is looked for within a field of an item."""

LENGTH: Final = "| size"
"""How long a list is; of nothing, too, that is a number, where the property `size` says nothing."""

Kind = Literal["list", "item", "object", "field", "other"]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a value comes from."""

    call: CallSite
    kind: Kind
    index: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A value where it is used.

    Attributes:
        at: Where it is written.
        path: As it is written, `items[0].name`.
        reference: What it comes from; None if from no call.
        place: An output, a condition, or something else.
        filters: Those on an output, by name.
        is_defined: Whether something above, or further down in a loop, makes it.
        expression: All that stands between the brackets.
        begin: Where the path is in it.
    """

    at: int
    path: str
    reference: Reference | None
    place: Literal["output", "condition", "other"]
    filters: tuple[str, ...] = ()
    is_defined: bool = True
    expression: str = field(default="", repr=False)
    begin: int = 0

    @property
    def lead(self) -> str:
        """What stands before it, between the same brackets."""
        return self.expression[: self.begin]

    @property
    def rest(self) -> str:
        """What stands behind it, between the same brackets."""
        return self.expression[self.begin + len(self.path) :]

    @property
    def name(self) -> str:
        """Of the field that it is, however that is written, and whatever variable holds it."""
        if self.reference is not None and self.reference.kind == "field":
            return self.reference.name.rpartition(".")[2]
        return self.path.rpartition(".")[2]


def filtered(source: Reference | None, names: list[str], texts: list[Reference]) -> Reference | None:
    """What is assigned: the source behind filters of these names, with the fields of items that the filters take."""
    if source is not None and source.kind == "list" and names and names[0] in {"first", "last"}:
        return Reference(source.call, "item")
    if source is not None and source.kind == "list" and names == ["size"]:
        return Reference(source.call, "field", name=LENGTH)
    if source is not None and source.name == "size" and names and set(names) <= _MAKES_NUMBER:
        return Reference(source.call, "field", name=LENGTH)
    if not names or (source is not None and source.kind == "list" and set(names) <= _KEEPS_LIST):
        return source
    return texts[0] if texts and set(names) <= _KEEPS_TEXT else None


def step(found: Reference, part: str | int) -> Reference:
    """What a part of a path leads to: a name, an index, or `ANY`."""
    call, name = found.call, str(part)
    if found.name == INDEXED or found.name.startswith(OF_LIST):
        return found
    if found.kind == "list":
        return _step_of_list(call, part)
    if found.kind == "object":
        return _step_of_object(call, part)
    if found.kind == "item":
        return Reference(call, "field", found.index, name)
    is_deeper = found.kind == "field" and name != "size" and not found.name.startswith((OF_OBJECT, LENGTH))
    deeper = f"{OF_ITEM}{found.name.removeprefix(OF_ITEM)}.{name}" if is_deeper else name
    return Reference(call, "field" if is_deeper else "other", found.index, deeper)


def _step_of_object(call: CallSite, part: str | int) -> Reference:
    if isinstance(part, int):
        return Reference(call, "other", name=INDEXED)
    return Reference(call, "list") if part == "items" else Reference(call, "field", name=f"{OF_OBJECT}{part}")


def _step_of_list(call: CallSite, part: str | int) -> Reference:
    if part == "size":
        return Reference(call, "field", name="size")
    if isinstance(part, int) or part in {ANY, "first", "last"}:
        return Reference(call, "item", index=part if isinstance(part, int) else None)
    return Reference(call, "field", name=f"{OF_LIST}{part}")


def split_filters(text: str) -> list[str]:
    """An expression cut at each `|` outside of quotes and of `${}`."""
    hidden = re.sub(r"\"[^\"]*\"|'[^']*'|\$\{[^}]*\}", lambda match: "\0" * len(match[0]), text)
    parts, begin = [], 0
    for match in re.finditer(r"\|", hidden):
        parts.append(text[begin : match.start()])
        begin = match.end()
    return [*parts, text[begin:]]
