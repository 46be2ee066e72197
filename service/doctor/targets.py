"""What the placements ask, as a list to go through."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.models import ListRequest, Promotion
from service.settings.placements import PlacementTerms
from service.wiring.addresses import Address, address_of

USER: str = "personalize-connect-doctor"
"""Asked for where the operator names nobody; Personalize answers for a user that it does not know, too."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a placement asks, or one of its variants."""

    name: str
    """Of the placement, with the variant behind it."""

    address: Address
    terms: PlacementTerms

    @property
    def arn(self) -> str:
        """Campaign or recommender."""
        return self.address.arn

    @property
    def region(self) -> str:
        """The ARN's."""
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        """The ARN's."""
        return self.arn.split(":")[4]

    @property
    def filter_arns(self) -> tuple[str, ...]:
        """The filter of every call, and that of the promotion."""
        promotion = self.terms.promotion
        named = (self.address.filter_arn, None if promotion is None else promotion.filter_arn)
        return tuple(arn for arn in named if arn)

    def request(self, user_id: str, item_ids: tuple[str, ...], *, plain: bool = False) -> ListRequest:
        """What a replica would ask for this user, or for these items of the catalogue.

        Args:
            user_id: Whose list.
            item_ids: The first one for similar items, all of them for a ranking.
            plain: Whether to leave the promotion out.
        """
        terms = self.terms
        promotion = None if plain else terms.promotion
        similar = terms.kind == "similar-items"
        return ListRequest(
            user_id="" if similar and not terms.needs_user else user_id,
            kind=terms.kind,
            item_id=item_ids[0] if similar and item_ids else "",
            item_ids=item_ids if terms.kind == "ranking" else (),
            context=tuple(sorted(terms.context.items())),
            promotion=None if promotion is None else Promotion(promotion.name, promotion.percent, promotion.filter_arn),
        )


def targets_of(placements: Mapping[str, PlacementTerms]) -> list[Target]:
    """What all placements and variants ask; each ARN with the same filters once."""
    found: dict[tuple[object, ...], Target] = {}
    for target in _all(placements):
        found.setdefault((target.address, target.terms.kind, target.filter_arns), target)
    return list(found.values())


def _all(placements: Mapping[str, PlacementTerms]) -> Iterator[Target]:
    for name, terms in placements.items():
        yield Target(name, address_of(terms), terms)
        for variant in terms.variants:
            if not variant.popular:
                yield Target(f"{name}, variant {variant.name}", address_of(terms, variant), terms)
