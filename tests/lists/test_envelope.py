"""A sealed list: ids that are UUIDs, that only look so, and that do not; what is promoted; what is cut."""

import uuid

import pytest

from service.lists import envelope as envelopes
from service.lists.envelope import EnvelopeError, seal
from service.models import ItemList

UUIDS = tuple(str(uuid.UUID(int=0xABCDEF << 64 | number)) for number in range(4))
AT = 1_700_000_000.25


@pytest.mark.parametrize(
    ("ids", "bytes_each"),
    [
        (UUIDS, 16),
        (UUIDS[:1], 16),
        # As long as UUIDs together, or each.
        (("a" * 35, "b" * 37), 38),
        (("a" * 36,), 38),
        ((UUIDS[0].upper(),), 38),
        ((UUIDS[0][:-1] + "g",), 38),
        ((UUIDS[0].replace("-", "0"),), 38),
        (("{" + UUIDS[0][1:-1] + "}",), 38),
        ((*UUIDS[:2], "short"), None),
        (("", "a"), None),
        (("ä" * 18, "x" * 18), None),
        ((), 0),
    ],
)
def test_ids_come_back_as_they_were_and_only_uuids_are_packed(ids: tuple[str, ...], bytes_each: int | None) -> None:
    sealed = seal(ItemList(ids, "", AT))
    assert tuple(envelopes.item_ids(sealed)) == ids
    if bytes_each is not None:
        assert len(sealed) - len(seal(ItemList((), "", AT))) == bytes_each * len(ids)


@pytest.mark.parametrize("ids", [UUIDS, ("a", "b", "c", "d")])
@pytest.mark.parametrize("places", [(), (0,), (3,), (0, 1, 2, 3), (1, 2)])
@pytest.mark.parametrize("is_popular", [False, True])
@pytest.mark.parametrize("recommendation", ["", "RID-1", "r" * 255, "r" * 300])
def test_all_else_comes_back_too(
    ids: tuple[str, ...], places: tuple[int, ...], *, is_popular: bool, recommendation: str
) -> None:
    promoted = frozenset(ids[place] for place in places)
    sealed = seal(ItemList(ids, recommendation, AT, promoted=promoted, is_popular=is_popular))
    assert tuple(envelopes.item_ids(sealed)) == ids
    assert envelopes.promoted_ids(sealed) == promoted
    assert envelopes.is_popular(sealed) == is_popular
    assert envelopes.created_at(sealed) == AT
    assert envelopes.recommendation_id(sealed) == recommendation[:255]
    assert envelopes.recommendation_id_bytes(sealed) == recommendation[:255].encode()
    assert envelopes.readable(sealed) == sealed
    again = envelopes.sealed(
        ids,
        AT,
        recommendation_id=envelopes.recommendation_id_bytes(sealed),
        promoted=envelopes.promoted_bytes(sealed),
        is_popular=is_popular,
    )
    assert again == sealed


def test_another_version_and_too_few_bytes_for_a_head_are_no_list() -> None:
    sealed = seal(ItemList(UUIDS, "RID-1", AT))
    other = bytes([sealed[0] ^ 1]) + sealed[1:]
    for odd in (other, b"", sealed[:1], sealed[: len(seal(ItemList((), "", AT))) - 1]):
        assert envelopes.readable(odd) is None
        with pytest.raises(EnvelopeError):
            envelopes.created_at(odd)  # type: ignore[arg-type]  # no list
    assert envelopes.readable(None) is None


def test_a_promoted_place_beyond_the_list_is_nobodys() -> None:
    sealed = seal(ItemList(("a", "b"), "", AT, promoted=frozenset("b")))
    cut = sealed[:-3]
    assert tuple(envelopes.item_ids(cut)) == ("a",)  # type: ignore[arg-type]  # cut short
    assert envelopes.promoted_ids(cut) == frozenset()  # type: ignore[arg-type]  # as above
