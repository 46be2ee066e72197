"""The hard cases of a send, as callers that change what a service answers; and items made up where there is none."""

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from service.braze.ports import UNREACHABLE, Answer, Call, Caller
from service.constants import DEFAULT_NUM_RESULTS

NASTY_NAME: Final = """Tom & Jerry's "Best of" <b>bold</b> {{ 7 | times: 7 }} \N{PILE OF POO}"""
LONG_NAME: Final = "An extraordinarily long name of a product that nobody has cut " * 5
POPULAR_USER: Final = ""
"""A blank user gets the list that everybody gets."""

_NAMES: Final = ("Copper kettle", "Linen towel", "Oak board", "Steel pan", "Glass jug", "Wool blanket")


def made_up(call: Call) -> Answer:
    """Items that depend on the user and the count that a call asks for, without any service."""
    asked = parse_qs(urlsplit(call.url).query, keep_blank_values=True)
    user = (asked.get("user_id") or asked.get("userID") or asked.get("userId") or [""])[0]
    count = (asked.get("num_results") or asked.get("numResults") or [str(DEFAULT_NUM_RESULTS)])[0]
    seed = int(hashlib.sha256(user.encode()).hexdigest(), 16)
    items = [
        {
            "id": f"item-{(seed + place) % 1000}",
            "url": f"https://shop.example.com/product/item-{(seed + place) % 1000}",
            "name": _NAMES[(seed + place) % len(_NAMES)],
            "price": 9.5 + (seed + place * 7) % 90,
            "image": f"https://shop.example.com/images/item-{(seed + place) % 1000}.jpg",
        }
        for place in range(int(count) if count.isdecimal() else DEFAULT_NUM_RESULTS)
    ]
    if asked.get("format") != ["object"]:
        return Answer(200, orjson.dumps(items).decode())
    source = "personalize" if user else "popular"
    about = {"count": len(items), "source": source, "degraded_reason": None if user else "no_user"}
    return Answer(200, orjson.dumps({"items": items, **about}).decode())


def _down(caller: Caller) -> Caller:
    del caller
    return lambda _: Answer(UNREACHABLE, problem="the case: the service is down")


def _popular(caller: Caller) -> Caller:
    def call(wanted: Call) -> Answer:
        blank = re.sub(r"([?&](?:user_id|userID|userId)=)[^&#]*", r"\1" + quote(POPULAR_USER), wanted.url)
        return caller(
            Call(
                blank, wanted.method, wanted.headers, wanted.body, wanted.credential, wanted.cache_seconds, wanted.retry
            )
        )

    return call


def _changed(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable[[Caller], Caller]:
    """A case that changes the items of an answer, in either format."""

    def wrap(caller: Caller) -> Caller:
        def call(wanted: Call) -> Answer:
            answer = caller(wanted)
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

        return call

    return wrap


def _each(**columns: object) -> Callable[[Caller], Caller]:
    return _changed(lambda items: [{**item, **columns} for item in items])


CASES: Final[dict[str, Callable[[Caller], Caller]]] = {
    "empty": _changed(lambda _: []),
    "one": _changed(lambda items: items[:1]),
    "popular": _popular,
    "down": _down,
    "nasty-name": _each(name=NASTY_NAME),
    "long-name": _each(name=LONG_NAME.strip()),
    "free": _each(price=0.0),
}
"""By name, what makes a caller of the case from the usual one."""
