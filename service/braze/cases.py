"""The hard cases of a send, which change calls and answers; and items made up where there is no service."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from service.braze.ports import UNREACHABLE, Answer, Call, Caller
from service.constants import DEFAULT_NUM_RESULTS, MAX_NUM_RESULTS

NASTY_NAME: Final = """Tom & Jerry's "Best of" <b>bold</b> {{ 7 | times: 7 }} \N{PILE OF POO}"""
LONG_NAME: Final = "An extraordinarily long name of a product that nobody has cut " * 5
POPULAR_USER: Final = ""
"""A blank user gets the list that everybody gets."""

_MOST_DIGITS: Final = len(str(MAX_NUM_RESULTS))
_NAMES: Final = ("Copper kettle", "Linen towel", "Oak board", "Steel pan", "Glass jug", "Wool blanket")


def made_up(call: Call) -> Answer:
    """Items that depend on the user and the count that a call asks for, without any service."""
    try:
        asked = parse_qs(urlsplit(call.url).query, keep_blank_values=True)
    except ValueError:
        return Answer(UNREACHABLE, problem="this is no address")
    user = (asked.get("user_id") or asked.get("userID") or asked.get("userId") or [""])[0]
    count = (asked.get("num_results") or asked.get("numResults") or [str(DEFAULT_NUM_RESULTS)])[0]
    if not (count.isdecimal() and len(count) <= _MOST_DIGITS and 1 <= int(count) <= MAX_NUM_RESULTS):
        return Answer(422, problem=f"num_results takes a number from 1 to {MAX_NUM_RESULTS}")
    seed = int(hashlib.sha256(user.encode()).hexdigest(), 16)
    items = [
        {
            "id": f"item-{(seed + place) % 1000}",
            "url": f"https://shop.example.com/product/item-{(seed + place) % 1000}",
            "name": _NAMES[(seed + place) % len(_NAMES)],
            "price": 9.5 + (seed + place * 7) % 90,
            "image": f"https://shop.example.com/images/item-{(seed + place) % 1000}.jpg",
        }
        for place in range(int(count))
    ]
    if asked.get("format") != ["object"]:
        return Answer(200, orjson.dumps(items).decode())
    source = "personalize" if user else "popular"
    about = {"count": len(items), "source": source, "degraded_reason": None if user else "no_user"}
    return Answer(200, orjson.dumps({"items": items, **about}).decode())


def _same_call(call: Call) -> Call | Answer:
    return call


def _same_answer(answer: Answer) -> Answer:
    return answer


@dataclass(frozen=True, slots=True)
class Case:
    """A hard case.

    Attributes:
        shows: What it shows, for people.
        before: The call that is made instead of a template's; the answer if none is made.
        after: What becomes of the answer.
    """

    shows: str
    before: Callable[[Call], Call | Answer] = _same_call
    after: Callable[[Answer], Answer] = _same_answer

    def __call__(self, caller: Caller) -> Caller:
        """A caller of the case, made from the usual one."""

        def call(wanted: Call) -> Answer:
            asked = self.before(wanted)
            return self.after(asked if isinstance(asked, Answer) else caller(asked))

        return call


def _down(call: Call) -> Answer:
    del call
    return Answer(UNREACHABLE, problem="the case: the service is down")


def _popular(call: Call) -> Call:
    return replace(call, url=re.sub(r"([?&](?:user_id|userID|userId)=)[^&#]*", r"\1" + quote(POPULAR_USER), call.url))


def _changed(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[Answer], Answer]:
    """What changes the items of an answer, in either format."""

    def changed(answer: Answer) -> Answer:
        try:
            value = orjson.loads(answer.text)
        except orjson.JSONDecodeError:
            return answer
        if isinstance(value, list):
            value = change(value)
        elif isinstance(value, dict) and isinstance(value.get("items"), list):
            items = change(value["items"])
            value |= {"items": items, "count": len(items)} | ({} if items else {"source": "empty"})
        return Answer(answer.status, orjson.dumps(value).decode(), answer.problem)

    return changed


def _each(**columns: object) -> Callable[[Answer], Answer]:
    return _changed(lambda items: [{**item, **columns} for item in items])


CASES: Final[dict[str, Case]] = {
    "empty": Case("no item", after=_changed(lambda _: [])),
    "one": Case("one item only", after=_changed(lambda items: items[:1])),
    "popular": Case("a user of whom nothing is known", before=_popular),
    "down": Case("the service is down", before=_down),
    "nasty-name": Case("quotes, tags, Liquid and emoji in names", after=_each(name=NASTY_NAME)),
    "long-name": Case("very long names", after=_each(name=LONG_NAME.strip())),
    "free": Case("a price of 0", after=_each(price=0.0)),
}
"""By name."""
