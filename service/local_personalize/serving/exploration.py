"""Exploration: items that nobody came to yet, at a few places of a list.

Amazon's User-Personalization shows new items to learn about them; how often is `explorationWeight`, how new they must
be `explorationItemAgeCutOff`. Here a campaign explores only where its configuration says how much.
Source: https://docs.aws.amazon.com/personalize/latest/dg/native-recipe-new-item-USER_PERSONALIZATION.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from service.local_personalize.learn import ScoredItem
from service.local_personalize.serving.filters import Passes
from service.local_personalize.serving.group import LiveGroup

_DEFAULT_AGE_DAYS: Final = 30.0
_DAY_SECONDS: Final = 86_400


def explored(
    items: Sequence[ScoredItem],
    *,
    group: LiveGroup,
    user_id: str,
    config: Mapping[str, Any],
    passes: Passes | None,
) -> list[ScoredItem]:
    """The list, of whose items a share of `explorationWeight` is replaced by new ones, the last items first.

    Which new items a user sees depends on nothing but the user and the items. They have a score of 0.
    """
    exploration = config.get("itemExplorationConfig", {})
    count = round(len(items) * float(exploration.get("explorationWeight", 0)))
    if not count:
        return list(items)
    days = float(exploration.get("explorationItemAgeCutOff", _DEFAULT_AGE_DAYS))
    shown = {one.item_id for one in items}
    new = [item for item in group.new_items(days * _DAY_SECONDS) if passes is None or passes(item)]
    chosen = sorted((item for item in new if item not in shown), key=lambda item: crc32(f"{user_id} {item}".encode()))
    chosen = chosen[:count]
    kept = items[: len(items) - len(chosen)]
    step = max(1, len(items) // max(1, len(chosen)))
    listed = list(kept)
    for place, item in enumerate(chosen, 1):
        listed.insert(min(len(listed), place * step - 1), ScoredItem(item, 0.0))
    return listed
