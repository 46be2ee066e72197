"""What a check has found."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    check: str
    """What was looked at, in one word or two."""

    status: Status
    """`error`: the service does not work so. `warning`: it works, perhaps not as meant."""

    what: str
    """What is so; no secret."""

    advice: str = ""
    """What to do; empty where there is nothing to do."""

    def line(self) -> str:
        """For people."""
        return f"{self.status:<8} {self.check}: {self.what}{f'; {self.advice}' if self.advice else ''}"


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", what)


def warning(check: str, what: str, advice: str = "") -> Finding:
    """It works, perhaps not as meant."""
    return Finding(check, "warning", what, advice)


def error(check: str, what: str, advice: str = "") -> Finding:
    """The service does not work so."""
    return Finding(check, "error", what, advice)


def report(findings: Iterable[Finding]) -> dict[str, Any]:
    """All findings as JSON holds them."""
    listed = [asdict(one) for one in findings]
    return {"ok": all(one["status"] != "error" for one in listed), "findings": listed}


def is_fine(findings: Iterable[Finding]) -> bool:
    """Whether none is an error."""
    return all(one.status != "error" for one in findings)


def seconds_in_words(seconds: float) -> str:
    """A length of time as people say it: `10 min 2 s`, `5 h 12 min`."""
    whole = round(abs(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours >= 48:  # noqa: PLR2004  # two days
        return f"{hours // 24} days"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"
