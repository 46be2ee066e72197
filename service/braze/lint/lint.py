"""Applies all rules to a template."""

from collections.abc import Mapping
from typing import Final

from service.braze.engine import parse
from service.braze.lint import call_rules, guard_rules, language_rules, value_rules
from service.braze.lint.call_site import CallSite
from service.braze.lint.findings import Finding, Rule
from service.braze.lint.template import Template
from service.braze.source import line_and_column, pieces
from service.errors import TemplateError

RULES: Final = (*language_rules.RULES, *call_rules.RULES, *guard_rules.RULES, *value_rules.RULES)
"""All rules but `SYNTAX`, which is what Liquid itself says."""

_OF_SYNTAX: Final = {one.id for one in (*language_rules.RULES, *call_rules.RULES) if one.severity == "error"}
SYNTAX: Final = "syntax"
_HAPPENS: Final = "Braze cannot read the template, and sends nothing."
_REMEDY: Final = "Mend what is said to be wrong here."


class Lint:
    """Finds mistakes in the templates of one run.

    Args:
        channel: What all of them are; None: lint looks for HTML.
        blocks: Content Blocks by name; None: any block may exist.
    """

    def __init__(self, channel: str | None = None, blocks: Mapping[str, str] | None = None) -> None:
        self._channel = channel
        self._blocks = blocks
        self._calls: list[tuple[str, Template, CallSite]] = []

    def check(self, name: str, text: str) -> list[Finding]:
        """The findings in one template, from top to bottom."""
        template = Template(text, self._channel, self._blocks)
        try:
            parts = pieces(text)
        except TemplateError as error:
            return [self._syntax(name, text, error)]
        self._calls += [(name, template, one) for one in template.calls]
        hits = [(at, rule, what) for rule in RULES for at, what in rule.check(template)]
        found = [_finding(name, text, at, rule, what) for at, rule, what in hits]
        wrong = self._parsed(text)
        if wrong is not None:
            begin, end = next(
                ((one.start, one.end) for one in reversed(parts) if one.start <= (wrong.offset or 0)), (0, len(text))
            )
            # A rule that says more about why the same tag cannot be read goes before Liquid's own words.
            if wrong.offset is None or not any(begin <= at < end and rule.id in _OF_SYNTAX for at, rule, _ in hits):
                found.append(self._syntax(name, text, wrong))
        return sorted(found, key=lambda one: (one.line, one.column, one.rule))

    def across(self) -> list[Finding]:
        """What is wrong between the templates checked so far, which are the parts of one message."""
        [rule] = [one for one in RULES if one.id == "urls-differ"]
        found = []
        for number, (name, template, call) in enumerate(self._calls):
            earlier = [(other, one) for file, other, one in self._calls[:number] if file != name]
            for at, what in call_rules.differing([*earlier, (template, call)]):
                if at == call.at and what == call.tag.url:
                    found.append(_finding(name, template.text, at, rule, what))
                    break
        return found

    def _parsed(self, text: str) -> TemplateError | None:
        blocks = self._blocks if self._blocks is not None else _AnyBlock()
        try:
            parse(text, blocks)
        except TemplateError as error:
            return error
        return None

    @staticmethod
    def _syntax(name: str, text: str, error: TemplateError) -> Finding:
        line, column = line_and_column(text, error.offset or 0)
        return Finding(name, line, column, "error", SYNTAX, error.problem, _HAPPENS, _REMEDY)


class _AnyBlock(dict[str, str]):
    """Content Blocks that are not here to be looked at."""

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str)

    def __missing__(self, key: str) -> str:
        return ""

    def __bool__(self) -> bool:
        return True


def _finding(name: str, text: str, at: int, rule: Rule, what: str) -> Finding:
    line, column = line_and_column(text, at)
    return Finding(name, line, column, rule.severity, rule.id, " ".join(what.split()), rule.happens, rule.remedy)
