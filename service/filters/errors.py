"""What can be wrong with a filter.

::

    FilterError
    ├── FilterExpressionError     the text; knows where, and shows it with a caret
    │   ├── FilterSyntaxError     not an expression of Personalize's filter language
    │   ├── FilterDatasetError    asks for data that is not there to be asked
    │   └── FilterColumnError     names a column that does not exist
    └── FilterValueError          the value given for a placeholder
"""

from collections.abc import Iterable

_EXCERPT_BEFORE = 60
"""Characters of the expression shown before the caret."""

_EXCERPT_AFTER = 20
"""Characters of the expression shown after the caret."""


class FilterError(ValueError):
    """A filter cannot be used as it was given."""


class FilterExpressionError(FilterError):
    """Something in a filter's text is wrong, at a known place.

    ``str()`` gives three lines: where and what, that part of the expression, a caret below the culprit.

    Attributes:
        reason: What is wrong, without the place.
        text: The whole expression; empty for a filter that was not parsed from text, whose offsets are all 0.
        offset: Characters before the culprit in ``text``.
        line: Line of the culprit, from 1.
        column: Character of the culprit in its line, from 1.
    """

    def __init__(self, reason: str, text: str, offset: int) -> None:
        self.reason = reason
        self.text = text
        self.offset = offset
        self.line = text.count("\n", 0, offset) + 1
        self.column = offset - text.rfind("\n", 0, offset)
        excerpt = f"\n{self._excerpt()}" if text else ""
        super().__init__(f"line {self.line}, column {self.column}: {reason}{excerpt}")

    def _excerpt(self) -> str:
        line = self.text.split("\n")[self.line - 1]
        caret = self.column - 1
        start, end = max(0, caret - _EXCERPT_BEFORE), caret + _EXCERPT_AFTER
        head, tail = "..." if start else "", "..." if end < len(line) else ""
        # A tab or another control character would push the caret away from the character it points at.
        shown = "".join(c if c.isprintable() else " " for c in line[start:end])
        return f"  {head}{shown}{tail}\n  {' ' * (len(head) + caret - start)}^"


class FilterSyntaxError(FilterExpressionError):
    """The text is not an expression of Amazon Personalize's filter language."""


class FilterDatasetError(FilterExpressionError):
    """The filter asks for a dataset that is not at hand where it is used."""


class FilterColumnError(FilterExpressionError):
    """The filter names a column that does not exist.

    Attributes:
        known: The columns there are, in their own order.
    """

    def __init__(self, reason: str, text: str, offset: int, *, known: Iterable[str]) -> None:
        self.known = tuple(known)
        listed = ", ".join(self.known) or "none"
        super().__init__(f"{reason}; the columns are: {listed}", text, offset)


class FilterValueError(FilterError):
    """A placeholder got no value although it needs one, or one that cannot be used.

    Attributes:
        placeholder: Its name, without the ``$``.
    """

    def __init__(self, placeholder: str, reason: str) -> None:
        self.placeholder = placeholder
        super().__init__(f"filter value ${placeholder}: {reason}")
