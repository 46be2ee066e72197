"""What the placements ask in Personalize."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.settings.placements import PlacementTerms, VariantTerms


@dataclass(frozen=True, slots=True)
class Address:
    """What one arm asks in Personalize."""

    campaign_arn: str | None
    recommender_arn: str | None
    filter_arn: str | None
    tps: float

    @property
    def arn(self) -> str:
        """Campaign or recommender."""
        return self.campaign_arn or self.recommender_arn or ""

    @property
    def scope(self) -> str:
        """What its lists depend on besides the request."""
        return f"{self.arn} {self.filter_arn or ''}"


def address_of(placement: PlacementTerms, variant: VariantTerms | None = None) -> Address:
    """What an arm asks: the variant's own ARN and filter, else the placement's."""
    filter_arn = placement.filter_arn
    if variant is not None and variant.filter_arn is not None:
        filter_arn = variant.filter_arn
    if variant is None or not variant.arn:
        return Address(placement.campaign_arn, placement.recommender_arn, filter_arn, placement.tps)
    return Address(variant.campaign_arn, variant.recommender_arn, filter_arn, variant.tps or placement.tps)


def addresses_of(placements: Mapping[str, PlacementTerms]) -> list[Address]:
    """What all arms of all placements ask, each once."""
    found: dict[Address, None] = {}
    for placement in placements.values():
        for variant in (None, *placement.variants):
            if variant is None or not variant.popular:
                address = address_of(placement, variant)
                found[address] = None
    return list(found)
