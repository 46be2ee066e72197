"""How many examples a property is tried with: few in each run of the tests, many with `make test-deep`."""

from collections.abc import Sequence
from typing import Final

from hypothesis import HealthCheck, Phase, settings

USUAL: Final = 40
"""Of a property that says nothing else. Each run draws others."""

DEEP: Final = 25
"""Times as many."""


def register_profiles() -> None:
    """`usual` and `deep`. A busy machine is slow, not wrong."""
    settings.register_profile("usual", deadline=None, max_examples=USUAL, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("deep", settings.get_profile("usual"), max_examples=DEEP * USUAL)
    settings.load_profile("usual")


def examples(
    usual: int = USUAL,
    *,
    shares_fixtures: bool = False,
    phases: Sequence[Phase] = tuple(Phase),
) -> settings:
    """So many examples, and as many more in a deep run as of any property.

    Args:
        usual: In a usual run.
        shares_fixtures: Whether all examples may have the same ones, such as a server.
        phases: Of hypothesis.
    """
    checks = [HealthCheck.too_slow, *([HealthCheck.function_scoped_fixture] if shares_fixtures else [])]
    return settings(max_examples=usual * settings().max_examples // USUAL, phases=phases, suppress_health_check=checks)
