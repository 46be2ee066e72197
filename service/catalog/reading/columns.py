"""Which column of a source holds which column of an item."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.catalog.item import ITEM_COLUMNS
from service.catalog.reading.cells import shown
from service.catalog.reading.lines import MAX_COLUMNS
from service.catalog.reading.origins import Origin, find_origin, missing_in, written
from service.catalog.reading.well_known import guesses
from service.errors import CatalogError

_OTHER_NAMES: Final = {"id": ("item_id",)}
"""Names by which an item's column is found besides its own, without a guess."""

CURRENCY: Final = "currency"
"""The further column of the prices' currency, where every price names it."""

_CENTS: Final = "centAmount"
"""A number of commercetools that is a price only together with its `fractionDigits`."""

_MAX_NAMED_CHARACTERS: Final = 300

_SLUGS: Final = ("handle", "url_key", "slug")
"""Columns that shops make the addresses of their pages of, in lower case."""

_RAKUTEN: Final = "HDR"
"""What the first line of a feed of Rakuten Advertising begins with, which has no header."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a row holds what."""

    names: tuple[str, ...]
    """All columns by place; empty for a cell that has no name."""

    ours: Mapping[str, Origin]
    """Where each of `ITEM_COLUMNS` comes from."""

    further: tuple[str, ...]
    """Names of all other columns: the source's in its order, then those of `lost`."""

    guessed: tuple[str, ...]
    """Which of `ITEM_COLUMNS` were found by a name that is neither ours nor the operator's."""

    lost: tuple[str, ...]
    """Further columns that the catalogue once had and this source lacks; null in every row."""

    is_sparse: bool
    """Whether a column may be absent only because no row has a value for it, as in JSON."""

    @classmethod
    def matched(
        cls,
        names: Sequence[str],
        column_mapping: Mapping[str, str],
        label: str,
        *,
        is_sparse: bool,
        known: Sequence[str] = (),
        repeated: Collection[str] = (),
    ) -> "Columns":
        """Find an item's columns among the source's.

        A column is the one that the operator names; else the one with our name in any case, id also as ITEM_ID; else
        the one with a well-known name, as far as only one has such a name.

        Args:
            names: All columns of the source by place.
            column_mapping: Our name to what `CATALOG_COLUMNS` says of it.
            label: Names the source in errors.
            known: Further columns that the catalogue had before.
            is_sparse: See the attribute.
            repeated: Columns that stand more than once.

        Raises:
            CatalogError: A column is not there or may be one of several, or the mapping names what it cannot.
        """
        there = [name for name in names if name]
        ours, guessed = _matched(there, column_mapping, label, is_sparse=is_sparse)
        twice = [root for origin in ours.values() for root in origin.roots if root in repeated]
        if twice:
            raise CatalogError(f"{label}: the header names {', '.join(dict.fromkeys(twice))} more than once")
        taken = {origin.column for origin in ours.values()}
        found = tuple(name for name in there if name not in taken)
        room = max(0, MAX_COLUMNS - len(there))
        gone = [name for name in known if name not in found and name not in taken]
        lost = tuple(gone[len(gone) - min(room, len(gone)) :])
        return cls(tuple(names), ours, found + lost, tuple(guessed), lost, is_sparse)

    def with_currency(self) -> "Columns":
        """The same with a further column of the prices' currency, unless the source has one of this name."""
        if any(name.lower() == CURRENCY for name in self.names):
            return self
        lost = tuple(name for name in self.lost if name != CURRENCY)
        found = self.further[: len(self.further) - len(self.lost)]
        return Columns(self.names, self.ours, (*found, CURRENCY, *lost), self.guessed, lost, self.is_sparse)

    @property
    def has_own_currency(self) -> bool:
        """Whether there is a further column of the prices' currency that the source lacks."""
        return CURRENCY in self.further and CURRENCY not in self.names and CURRENCY not in self.lost

    @property
    def texts(self) -> frozenset[str]:
        """The source's columns that an item is made of: they stay text, and the price has rules of its own."""
        return frozenset(root for origin in self.ours.values() for root in origin.roots)

    @property
    def for_filters(self) -> list[str]:
        """What a filter may ask for: the source's columns, and ours where that is no second meaning."""
        named = [name for name in self.names if name]
        named += [CURRENCY] if self.has_own_currency else []
        # A column that a header lacks is a mistake in the feed, and the filter would let sold-out items through.
        named += self.lost if self.is_sparse else ()
        lower = {name.lower() for name in named}
        return [*named, *(name for name in ITEM_COLUMNS if name not in lower)]

    @property
    def mapping(self) -> str:
        """What `CATALOG_COLUMNS` would say to have the same columns found without a guess."""
        pairs = {ours: origin.text for ours, origin in self.ours.items() if _needs_saying(ours, origin)}
        return written(pairs)


def _needs_saying(ours: str, origin: Origin) -> bool:
    return origin.column is None or origin.column.lower() not in (ours, *_OTHER_NAMES.get(ours, ()))


def _matched(
    names: Sequence[str], column_mapping: Mapping[str, str], label: str, *, is_sparse: bool
) -> tuple[dict[str, Origin], list[str]]:
    """Where each column of ours comes from, and which of them were guessed."""
    unknown = sorted(set(column_mapping) - set(ITEM_COLUMNS))
    if unknown:
        raise CatalogError(f"CATALOG_COLUMNS: {', '.join(unknown)}: only {', '.join(ITEM_COLUMNS)} can be mapped")
    if not names:
        raise CatalogError(f"{label}: no usable row (it is empty, or nothing in it is a row)")
    _refuse_data(names, column_mapping, label)
    found: dict[str, Origin] = {}
    guessed: list[str] = []
    missing: list[str] = []
    problems: list[str] = []
    for ours in ITEM_COLUMNS:
        if (theirs := column_mapping.get(ours)) is not None:
            origin = find_origin(theirs, names)
            missing += [] if origin else missing_in(theirs, names)
        else:
            origin = _by_our_name(ours, names, column_mapping)
            if origin is None:
                candidates = guesses(ours, [name for name in names if name not in column_mapping.values()])
                if len(candidates) > 1:
                    problems.append(_ambiguous(ours, candidates))
                    continue
                origin = Origin(candidates[0], (candidates[0],), candidates[0]) if candidates else None
                (guessed if origin else missing).append(ours)
        if origin is not None:
            found[ours] = origin
            if ours == "price" and origin.steps[-1:] == (_CENTS,):
                whole = origin.text.removesuffix(f".{_CENTS}")
                problems.append(f"{origin.text} counts the smallest coin; name the object it is in: price={whole}")
    if missing or problems:
        raise CatalogError(
            f"{label}: {'; '.join([*_absent(missing, names, found.get('id'), is_sparse=is_sparse), *problems])}"
        )
    return found, guessed


def _by_our_name(ours: str, names: Sequence[str], column_mapping: Mapping[str, str]) -> Origin | None:
    if ours in names:
        return Origin(ours, (ours,), ours)
    for wanted in (ours, *_OTHER_NAMES.get(ours, ())):
        for name in names:
            if name.lower() == wanted and name not in column_mapping.values():
                return Origin(name, (name,), name)
    return None


def _ambiguous(ours: str, candidates: Sequence[str]) -> str:
    return f"{ours} may be {' or '.join(candidates)}; name one: CATALOG_COLUMNS={written({ours: candidates[0]})}"


def _absent(missing: Sequence[str], names: Sequence[str], item_id: Origin | None, *, is_sparse: bool) -> list[str]:
    if not missing:
        return []
    if len(names) == 1 and not is_sparse:
        first = f"the first line that is no comment, {shown(names[0])}, has only one column"
        return [first, "it must be the header, its names separated by a comma, a semicolon, a tab or a |"]
    there = ", ".join(names)
    listed = there if len(there) <= _MAX_NAMED_CHARACTERS else f"{there[:_MAX_NAMED_CHARACTERS]}..."
    ways = ["CATALOG_COLUMNS says which column is which"]
    if is_sparse:
        ways.append("a value inside another has a path: price=prices[0].value")
    if "url" in missing:
        slugs = [] if is_sparse else [name for name in names if name.lower() in _SLUGS]
        column = slugs[0] if slugs else item_id.text if item_id else names[0]
        ways.append(f"a template makes an address: url=https://YOUR-SHOP/products/{{{column}}}")
    return [f"no column {', '.join(missing)}; it has {listed}", *ways]


def _refuse_data(names: Sequence[str], column_mapping: Mapping[str, str], label: str) -> None:
    """Say that a header is missing where the first row is one of data."""
    if names[0] == _RAKUTEN:
        raise CatalogError(
            f"{label}: is a feed of Rakuten without a header; put the columns' names in the place of its first line"
        )
    if any(name.lower().startswith(("http://", "https://")) for name in names) and not set(names) & {
        *column_mapping.values()
    }:
        raise CatalogError(
            f"{label}: no column {', '.join(ITEM_COLUMNS)}: the first line is no header but a row;"
            " put a line with the columns' names above it"
        )
