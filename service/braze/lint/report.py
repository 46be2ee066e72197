"""Findings as text, JSON and GitHub's annotations."""

from collections.abc import Sequence
from dataclasses import asdict

import orjson

from service.braze.lint.findings import Finding


def as_text(findings: Sequence[Finding]) -> str:
    """Two lines for each finding: where and what, then what happens and the remedy."""
    return "\n".join(
        f"{one.file}:{one.line}:{one.column}: {one.severity} {one.rule}: {one.what}\n    {one.happens} {one.remedy}"
        for one in findings
    )


def as_json(findings: Sequence[Finding]) -> str:
    """A JSON list of findings."""
    return orjson.dumps([asdict(one) for one in findings], option=orjson.OPT_INDENT_2).decode()


def as_github(findings: Sequence[Finding]) -> str:
    """A workflow command for each finding, which GitHub shows beside the line.

    Source: docs.github.com, Workflow commands for GitHub Actions.
    """
    return "\n".join(
        f"::{one.severity} file={_property(one.file)},line={one.line},col={one.column},title={_property(one.rule)}::"
        + _data(f"{one.what}. {one.happens} {one.remedy}")
        for one in findings
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
