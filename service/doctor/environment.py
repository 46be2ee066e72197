"""Whether the settings are right, and whether everything that looks like one is read."""

from collections.abc import Iterator

from service.doctor.findings import Finding, error, ok, warning
from service.errors import ConfigurationError
from service.settings import Settings, load, load_settings
from service.settings.unknown import unknown_variables


def check_settings() -> tuple[Settings | None, list[Finding]]:
    """The settings as far as the further checks need them, and a finding for each mistake.

    Who may ask changes nothing of what the checks look at, so a mistake there hides none of the others.
    """
    try:
        return load_settings(), [ok("settings", "all of them can be read")]
    except ConfigurationError as failure:
        findings = [error("settings", problem) for problem in failure.problems]
    try:
        return load(Settings, allow_anonymous=True), findings
    except ConfigurationError:
        return None, findings


def check_variables() -> Iterator[Finding]:
    """A finding for each variable that has no effect."""
    for name, meant in unknown_variables():
        yield warning("settings", f"nobody reads {name}", f"write {meant}" if meant else "remove it, or correct it")
