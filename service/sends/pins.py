"""What a user was shown in a send: repeated for every part and retry of the message, and turned away from later.

    look ──► a pin for as many items ──► shown again, less what may no longer be shown
       │
       └──► none, or a shorter one ──► list found and rendered ──► keep ──► ours is the pin
                                                                     └────► another part was first: its pin is shown

A pin stays in this process too, so that the parts of a message seldom ask the store, and agree without it.
"""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

import orjson

from service.answers.ports import PinnedAnswer, SendRecord
from service.clock import Clock
from service.errors import SharedStateUnavailable
from service.lists.adapters.outcome_codec import pack_outcome, unpack_outcome
from service.lists.forgetting import ForgottenLately
from service.lists.keys import UserKey, UserKeys, UserPrefix
from service.lists.memory import BytesBoundedCache, discard_where
from service.models import RecommendationQuery
from service.sends.ports import DIGEST_BYTES, MAX_ITEMS_OF_A_SEND, SHORT_BYTES, SendStore, ShownItems

MEMORY_BYTES: Final = 16 * 2**20
"""Of the pins in one process; about 30,000 of ten items each. The store has them longer."""

STORE_SECONDS: Final = 0.25
"""Longest wait for the store; it answers in a millisecond or two."""

_HEAD = struct.Struct(">HH")
_Entry = tuple[float, bytes, bool]


class SendPins:
    """A `SendMemory` in front of a store.

    Args:
        store: Where pins outlive this process.
        keys: Makes the users' keys.
        clock: Its Unix time tells when a pin ends.
        lately: Of these users nothing is kept.
        pin_seconds: How long a pin lasts.
        finds_impressions: Whether `shown_with` is asked; then a pin is found by its list's id too.
    """

    def __init__(
        self,
        store: SendStore,
        *,
        keys: UserKeys,
        clock: Clock,
        lately: ForgottenLately,
        pin_seconds: float,
        finds_impressions: bool = False,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._lately = lately
        self._pin_seconds = pin_seconds
        self._finds_impressions = finds_impressions
        # Until when, the packed pin, and whether the store has it.
        self._here: BytesBoundedCache[_Entry] = BytesBoundedCache(MEMORY_BYTES, lambda entry: len(entry[1]) + 150)

    def __len__(self) -> int:
        """Pins in this process."""
        return len(self._here)

    async def look(self, placement: str, query: RecommendationQuery, within_seconds: float) -> SendRecord:
        """See `SendMemory.look`."""
        key = self._key(placement, query)
        entry = self._kept(key) if query.send else None
        kept = None if entry is None else _unpacked(entry[1])
        if kept is not None and kept.asked >= query.num_results and entry is not None and entry[2]:
            return SendRecord(kept)
        found, shown = await self._found(key, within_seconds)
        other = _unpacked(found) if found is not None and query.send else None
        if found is not None and other is not None and (kept is None or other.asked >= kept.asked):
            self._put(key, found, stored=True)
            return SendRecord(other, _shown_before(shown, query))
        if kept is not None and entry is not None and not entry[2]:
            # It was pinned while the store could not be asked.
            kept = await self._settled(key, entry[1], 0, _shown_of(query, kept), within_seconds) or kept
        return SendRecord(kept, _shown_before(shown, query))

    async def keep(
        self,
        placement: str,
        query: RecommendationQuery,
        pinned: PinnedAnswer,
        before: PinnedAnswer | None,
        within_seconds: float,
    ) -> PinnedAnswer:
        """See `SendMemory.keep`."""
        key = self._key(placement, query)
        instead_of = 0 if before is None else before.asked
        entry = self._kept(key)
        if entry is not None:
            kept = _unpacked(entry[1])
            if kept is not None and kept.asked != instead_of:
                # Another part of the message was answered while this one was on its way.
                return kept
        if self._lately.holds(key):
            return pinned
        packed = _packed(pinned)
        self._put(key, packed, stored=False)
        return await self._settled(key, packed, instead_of, _shown_of(query, pinned), within_seconds) or pinned

    async def shown_with(self, owner: str, recommendation_id: str, item_id: str) -> Sequence[str]:
        """See `Impressions.shown_with`; what a send pinned is known, and nothing else."""
        packed = await self._store.pins_of(self._keys.prefix(owner), recommendation_id)
        found = {
            pin.item_ids
            for pin in map(_unpacked, packed)
            if pin is not None
            and pin.recommendation_id == recommendation_id
            and (not item_id or item_id in pin.item_ids)
        }
        # Two sends may have shown parts of one list; then nobody knows which of them the event belongs to.
        return found.pop() if len(found) == 1 else ()

    def kept_keys(self) -> Iterable[bytes]:
        """See `Searchable`."""
        return list(self._here)

    def clear(self) -> None:
        """See `Searchable`."""
        self._here.clear()

    async def forget_user(self, user_prefix: UserPrefix) -> None:
        """See `Forgettable`."""
        await discard_where(self._here, lambda key, _: key.startswith(user_prefix))

    async def _found(self, key: UserKey, within_seconds: float) -> tuple[bytes | None, Sequence[ShownItems]]:
        try:
            async with asyncio.timeout(_patience(within_seconds)):
                return await self._store.look(key)
        except (SharedStateUnavailable, TimeoutError):
            return None, ()

    async def _settled(
        self, key: UserKey, packed: bytes, instead_of: int, shown: ShownItems, within_seconds: float
    ) -> PinnedAnswer | None:
        """What another replica had pinned first; None if ours is the pin, or the store cannot say."""
        try:
            async with asyncio.timeout(_patience(within_seconds)):
                other = await self._store.keep(
                    key,
                    packed,
                    instead_of=instead_of,
                    seconds=self._pin_seconds,
                    shown=shown,
                    recommendation_id=self._list_of(packed),
                )
        except (SharedStateUnavailable, TimeoutError):
            return None
        self._put(key, packed if other is None else other, stored=True)
        return None if other is None else _unpacked(other)

    def _list_of(self, packed: bytes) -> str:
        pin = _unpacked(packed) if self._finds_impressions else None
        return "" if pin is None else pin.recommendation_id

    def _kept(self, key: UserKey) -> _Entry | None:
        entry = self._here.kept(key)
        return None if entry is None or entry[0] <= self._clock.time() else entry

    def _put(self, key: UserKey, packed: bytes, *, stored: bool) -> None:
        if not self._lately.holds(key):
            before = self._kept(key)
            until = self._clock.time() + self._pin_seconds if before is None else before[0]
            self._here.keep(key, (until, packed, stored))

    def _key(self, placement: str, query: RecommendationQuery) -> UserKey:
        digest = blake2b(digest_size=DIGEST_BYTES)
        # Not the item that was found for the user: meanwhile the user may have done something else.
        item_id = "" if query.because_of_item else query.item_id
        asked = [query.send, placement, query.kind, item_id, query.item_ids, sorted(query.exclude)]
        digest.update(repr([*asked, query.filter_values, query.context]).encode("utf-8", "surrogatepass"))
        return UserKey(self._keys.prefix(query.user_id) + digest.digest())


class _ShownBefore:
    """Items by their digests."""

    def __init__(self, digests: Iterable[bytes]) -> None:
        self._digests = frozenset(digests)

    def __contains__(self, item_id: object) -> bool:
        return isinstance(item_id, str) and short(item_id) in self._digests


def _shown_before(shown: Sequence[ShownItems], query: RecommendationQuery) -> _ShownBefore | None:
    """The items shown in the user's last sends, the one of the query aside; None if there are none."""
    own = short(query.send) if query.send else b""
    earlier = [one for one in shown if one.send != own][-query.rotate :] if query.rotate else []
    return _ShownBefore(item for one in earlier for item in one.items) if earlier else None


def _shown_of(query: RecommendationQuery, pinned: PinnedAnswer) -> ShownItems:
    return ShownItems(short(query.send), tuple(map(short, pinned.item_ids[:MAX_ITEMS_OF_A_SEND])))


def short(text: str) -> bytes:
    """An item or a send, as it is remembered among what was shown."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=SHORT_BYTES).digest()


def _patience(within_seconds: float) -> float:
    return max(0.001, min(within_seconds, STORE_SECONDS))


def _packed(pinned: PinnedAnswer) -> bytes:
    about = orjson.dumps([pinned.placement, pinned.because])
    return _HEAD.pack(pinned.asked, len(about)) + about + pack_outcome(pinned.outcome)


def _unpacked(packed: bytes) -> PinnedAnswer | None:
    """None for bytes of another version."""
    if len(packed) < _HEAD.size:
        return None
    asked, length = _HEAD.unpack_from(packed)
    outcome = unpack_outcome(packed[_HEAD.size + length :])
    try:
        placement, because = orjson.loads(packed[_HEAD.size : _HEAD.size + length])
    except ValueError:
        return None
    return None if outcome is None else PinnedAnswer(asked, outcome, placement, because)
