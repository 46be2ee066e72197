"""A shop of two tastes, small enough to reason about, and the local Personalize over it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.local_personalize.app import create_app
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import CoVisitationModel, learn
from tests.support.local_personalize import LocalPersonalize, serving

TENTS = ("tent", "stove", "lamp", "rope")
POTS = ("pot", "pan", "ladle", "whisk")


def write_interactions(directory: Path) -> None:
    """Campers visit camping things and cooks kitchen things; everyone has seen the mug."""
    lines = ["USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE"]
    for kind, things in (("camper", TENTS), ("cook", POTS)):
        for number in range(4):
            visited = [thing for place, thing in enumerate(things) if place != number]
            lines += [
                f"{kind}{number},{item},{1_700_000_000 + step * 3600},View"
                for step, item in enumerate(["mug", *visited])
            ]
    (directory / "interactions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shop")
    write_interactions(directory)
    ids = "".join(f"{item},{len(item)}\n" for item in (*TENTS, *POTS, "mug", "dusty"))
    (directory / "items.csv").write_text("ITEM_ID,price\n" + ids, encoding="utf-8")
    (directory / "users.csv").write_text("USER_ID,AGE\ncamper0,31\n", encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def model(shop: Path) -> CoVisitationModel:
    return learn(read_dataset(shop))


@pytest.fixture(scope="session")
def plain(model: CoVisitationModel) -> Iterator[LocalPersonalize]:
    with serving(create_app(model, tps=0, latency_ms=0)) as running:
        yield running


@pytest.fixture
def start(model: CoVisitationModel, plain: LocalPersonalize) -> Iterator[Callable[..., LocalPersonalize]]:
    """Start a local Personalize; without options it is one that the tests share, reset."""
    with ExitStack() as stack:

        def begin(**options: Any) -> LocalPersonalize:  # noqa: ANN401  # create_app checks them
            if options:
                return stack.enter_context(serving(create_app(model, **{"tps": 0, "latency_ms": 0, **options})))
            plain.fail("none")
            plain.http.post("/_stats/reset").raise_for_status()
            return plain

        yield begin
