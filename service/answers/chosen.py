"""What a set of rules has made of lists, so that a later answer is a join of what it chose then.

The numbers of what is shown are kept with the list; see `service.lists.choices`. What else an answer says of them, and
what they depend on besides the rules, is kept here once for all lists of which it is the same.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from service.clock import Clock
from service.lists.choices import MAX_CHOOSERS, TAGS_EACH, choice_in, with_choice
from service.lists.numbers import ItemNumbers, NumberedList

MAX_KNOWN: Final = 20_000
"""Different ones for one set of rules; with more all are forgotten. About 300 bytes each."""

Popular: TypeAlias = Callable[[], tuple[str, ...]]
"""What is popular now; the same object as long as it is the same."""

Dropped: TypeAlias = tuple[tuple[str, int], ...]
"""Why items are not shown, and how many."""

Joined: TypeAlias = tuple[bytes, Sequence[int], Sequence[int] | None, Dropped, int, int, NumberedList | None]
"""What an answer shows of a list: a JSON array; the numbers of its items; those of others that were looked at, None
where they were not looked at again; why these are not shown, and how many; how many items of the list were looked at;
how many of those shown are of the list or pinned; and the list with what was chosen, if it is to be kept instead. A
tuple is made faster than any class."""

Period: TypeAlias = tuple[float, float]
"""Unix seconds: from, and before."""


class Chosen(NamedTuple):
    """What is the same of many choices."""

    wanted: int
    dropped: Dropped
    examined: int
    """Items of the list or popular ones that were looked at."""
    listed: int
    """Items shown that are of the list or pinned."""
    is_filled: bool
    """Whether popular items filled up the list. With others it may be filled up otherwise."""
    period: Period | None
    """When the same pins stand; None: always."""


class Choices:
    """The choices of one set of rules.

    Args:
        clock: Tells which of them hold.
        numbers: What they are made of.
    """

    def __init__(self, clock: Clock, numbers: ItemNumbers) -> None:
        self._clock = clock
        self._of = numbers
        self._begin()
        self.of_length: dict[int, dict[int, Chosen]] = {}
        """What is known, by the length of the answer and tag."""
        self._tags: dict[Chosen, int] = {}
        self._popular: tuple[str, ...] | None = None

    def find(self, kept: NumberedList, wanted: int, popular: Popular | None) -> tuple[Chosen, Sequence[int]] | None:
        """What was chosen of a list for an answer of this length, if it would be chosen again.

        Args:
            kept: The list.
            wanted: Items.
            popular: What fills up a list that is too short; None: nothing does.
        """
        known = self.of_length.get(wanted)
        found = choice_in(kept, known) if known else None
        if found is None:
            return None
        chosen = found[0]
        if chosen.is_filled and (popular is None or popular() is not self._popular):
            return None
        if chosen.period is not None and not chosen.period[0] <= self._clock.time() < chosen.period[1]:
            return None
        return found

    def added(
        self, kept: NumberedList, chosen: Chosen, shown: Sequence[int], popular: tuple[str, ...] | None
    ) -> NumberedList:
        """The list with a choice, or as it is if there is no room to know it.

        Args:
            kept: The list.
            chosen: What was chosen.
            shown: The numbers of the items that are shown.
            popular: What filled up the list, if anything did.
        """
        if chosen.is_filled and popular is not self._popular:
            self._forget_filled()
            self._popular = popular
        tag = self._tags.get(chosen)
        if tag is None:
            tag = self._new_tag()
            if tag is None:
                return kept
            self._tags[chosen] = tag
            self.of_length.setdefault(chosen.wanted, {})[tag] = chosen
        return with_choice(kept, tag, shown, self._living_beside(chosen.wanted))

    def forget(self, numbers: ItemNumbers) -> None:
        """Forget all: they were made by other rules, or of other numbers than these."""
        self._clear()
        self._popular = None
        if self._of is not numbers:
            self._of = numbers
            self._begin()

    def _clear(self) -> None:
        self._tags.clear()
        self.of_length.clear()

    def _begin(self) -> None:
        """Give tags that nobody else gives."""
        self._chooser, self._tags_given = next(self._of.choosers), 0

    def _new_tag(self) -> int | None:
        if len(self._tags) >= MAX_KNOWN:
            self._clear()
        if self._tags_given == TAGS_EACH:
            self._begin()
        if self._chooser >= MAX_CHOOSERS:
            return None
        self._tags_given += 1
        return self._chooser * TAGS_EACH + self._tags_given - 1

    def _living_beside(self, wanted: int) -> Callable[[int], bool]:
        """Whether a tag of ours is known, and of an answer of another length."""
        others = [known for length, known in self.of_length.items() if length != wanted]
        return lambda tag: any(tag in known for known in others)

    def _forget_filled(self) -> None:
        """Forget what other popular items filled up."""
        for chosen, tag in list(self._tags.items()):
            if chosen.is_filled:
                del self._tags[chosen], self.of_length[chosen.wanted][tag]


def counted(reasons: Sequence[str]) -> Dropped:
    """How often each reason is there, in the order in which they come."""
    return tuple((reason, reasons.count(reason)) for reason in dict.fromkeys(reasons))
