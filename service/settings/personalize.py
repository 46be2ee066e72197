"""Who answers in Amazon Personalize."""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import Field

from service.constants import PERSONALIZE_MAX_TPS
from service.models import RequestKind
from service.settings.base import Problem, SettingsGroup, shown
from service.settings.placement_file import read_placements
from service.settings.placements import PlacementTerms

_ARN = re.compile(
    r"arn:aws[a-z-]*:personalize:[a-z]{2}[a-z0-9-]+:[0-9]{12}:(campaign|recommender|filter)"
    r"/[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
)
"""Source: the Arn shape of the Personalize API reference, narrowed to the three kinds that are asked for."""


class _Usual(NamedTuple):
    """A placement that exists without any file."""

    name: str
    kind: RequestKind
    prefix: str
    """Of its variables."""


USUAL: Final = (
    _Usual("for-you", "recommendations", "personalize"),
    _Usual("similar", "similar-items", "similar_items"),
    _Usual("ranking", "ranking", "ranking"),
)


class PersonalizeSettings(SettingsGroup):
    """What a transaction names."""

    placements_file: Path | None = None
    """Placements by name, instead of the variables below."""

    personalize_campaign_arn: str | None = None
    """The campaign that answers `for-you`; exactly one of this and the recommender."""

    personalize_recommender_arn: str | None = None
    """The recommender of a domain dataset group that answers `for-you`."""

    personalize_filter_arn: str | None = None
    """Filter applied inside Personalize to `for-you`."""

    similar_items_campaign_arn: str | None = None
    """The campaign that answers `similar`."""

    similar_items_recommender_arn: str | None = None
    """The recommender that answers `similar`."""

    similar_items_tps: float = Field(1, gt=0, le=PERSONALIZE_MAX_TPS)
    """Transactions per second of `similar` that all replicas together may spend."""

    similar_items_filter_arn: str | None = None
    """Filter applied inside Personalize to `similar`."""

    ranking_campaign_arn: str | None = None
    """The campaign that answers `ranking`; GetPersonalizedRanking knows no recommender."""

    ranking_tps: float = Field(1, gt=0, le=PERSONALIZE_MAX_TPS)
    """Transactions per second of `ranking` that all replicas together may spend."""

    ranking_filter_arn: str | None = None
    """Filter applied inside Personalize to `ranking`."""

    top_up: bool | None = None
    """Whether popular items fill a list that is short; None: unless the placement has a filter in Personalize."""

    category_column: str | None = None
    """Catalogue column whose value tells which popular items stand in for similar ones first."""

    @cached_property
    def placement_file_content(self) -> tuple[dict[str, PlacementTerms], list[str]]:
        """The placements of the file, and a line for each mistake in it; read once."""
        return ({}, []) if self.placements_file is None else read_placements(self.placements_file)

    def usual_placements(self, personalize_tps: float) -> dict[str, PlacementTerms]:
        """The placements that the variables configure, by name."""
        tps = {"personalize": personalize_tps, "similar_items": self.similar_items_tps, "ranking": self.ranking_tps}
        found = {}
        for usual in USUAL:
            campaign, recommender, filter_arn = self._arns(usual)
            if campaign or recommender:
                found[usual.name] = PlacementTerms(
                    kind=usual.kind,
                    campaign_arn=campaign,
                    recommender_arn=recommender,
                    tps=tps[usual.prefix],
                    filter_arn=filter_arn,
                    category_column=self.category_column if usual.kind == "similar-items" else None,
                )
        return found

    def problems(self) -> Iterator[Problem]:
        """Mistakes in the file; without one, no ARN, two for one placement, or one of another kind."""
        if self.placements_file is not None:
            for line in self.placement_file_content[1]:
                yield Problem(("placements_file",), f"PLACEMENTS_FILE: {line}")
            return
        for usual in USUAL:
            yield from self._usual_problems(usual)
        if not any(any(self._arns(usual)[:2]) for usual in USUAL):
            both = ("personalize_campaign_arn", "personalize_recommender_arn")
            yield Problem(
                both,
                f"{', '.join(both).upper()}: neither is set; one is required, or another placement's ARN, or "
                "PLACEMENTS_FILE",
            )

    def _arns(self, usual: _Usual) -> tuple[str | None, str | None, str | None]:
        """Campaign, recommender and filter of a usual placement."""
        values = [getattr(self, name, None) for name in _names(usual)]
        return values[0], values[1], values[2]

    def _usual_problems(self, usual: _Usual) -> Iterator[Problem]:
        names = _names(usual)
        campaign, recommender, filter_arn = self._arns(usual)
        if campaign and recommender:
            yield Problem(names[:2], f"{', '.join(names[:2]).upper()}: both are set; exactly one is needed")
        if filter_arn and not (campaign or recommender):
            yield Problem.of(names[2], f"is of no use without {names[0].upper()}")
        for name, kind, arn in zip(names, ("campaign", "recommender", "filter"), self._arns(usual), strict=True):
            match = _ARN.fullmatch(arn or "")
            if arn and (match is None or match[1] != kind):
                yield Problem.of(
                    name, f"{shown(arn)} is not the ARN of a {kind}, arn:aws:personalize:REGION:ACCOUNT:{kind}/NAME"
                )


def _names(usual: _Usual) -> tuple[str, str, str]:
    return f"{usual.prefix}_campaign_arn", f"{usual.prefix}_recommender_arn", f"{usual.prefix}_filter_arn"
