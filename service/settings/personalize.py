"""Who answers in Amazon Personalize."""

import re
from collections.abc import Iterator

from service.settings.base import Problem, SettingsGroup, shown

_ARN = re.compile(
    r"arn:aws[a-z-]*:personalize:[a-z]{2}[a-z0-9-]+:[0-9]{12}:(campaign|recommender|filter)"
    r"/[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
)
"""Source: the Arn shape of the Personalize API reference, narrowed to the three kinds that are asked for."""


class PersonalizeSettings(SettingsGroup):
    """What a transaction names."""

    personalize_campaign_arn: str | None = None
    """The campaign that answers; exactly one of this and the recommender."""

    personalize_recommender_arn: str | None = None
    """The recommender of a domain dataset group that answers."""

    personalize_filter_arn: str | None = None
    """Filter applied inside Personalize."""

    @property
    def arn(self) -> str:
        """Who answers, campaign or recommender."""
        return self.personalize_campaign_arn or self.personalize_recommender_arn or ""

    def problems(self) -> Iterator[Problem]:
        """Not exactly one ARN, or one of another kind."""
        both = ("personalize_campaign_arn", "personalize_recommender_arn")
        variables = ", ".join(both).upper()
        if self.personalize_campaign_arn and self.personalize_recommender_arn:
            yield Problem(both, f"{variables}: both are set; exactly one is needed")
        if not self.arn:
            yield Problem(both, f"{variables}: neither is set; one is required")
        for kind, arn in (
            ("campaign", self.personalize_campaign_arn),
            ("recommender", self.personalize_recommender_arn),
            ("filter", self.personalize_filter_arn),
        ):
            match = _ARN.fullmatch(arn or "")
            if arn and (match is None or match[1] != kind):
                yield Problem.of(
                    f"personalize_{kind}_arn",
                    f"{shown(arn)} is not the ARN of a {kind}, arn:aws:personalize:REGION:ACCOUNT:{kind}/NAME",
                )
