"""The service with one route more: `POST /_fill?users=N&first=K` puts N lists into its cache, without a transaction.

`python -m bench.prefilled_service`, configured like the service. The users are `filledK` and so on; each list is 25
random items of the catalogue. A hundred thousand real misses would take many minutes.
"""

import csv
import random
import time
import uuid

from fastapi import Request

from service.api.hit_lane import HitLane
from service.api.lifecycle import asked_by, services_of
from service.catalog.adapters.file import catalog_path
from service.lists.envelope import seal
from service.lists.ports import Outcome
from service.main import create_app
from service.models import ItemList, RecommendationQuery
from service.server import serve
from service.settings import Settings, load_settings
from service.wiring.replica import Overrides

LIST_ITEMS = 25


def with_fill_route(settings: Settings, overrides: Overrides | None = None) -> HitLane:
    """The application, able to fill itself."""
    lane = create_app(settings, overrides)
    with catalog_path(settings.catalog_url).open(newline="", encoding="utf-8") as file:
        ids = [row["id"] for row in csv.DictReader(file)]

    @lane.application.post("/_fill", include_in_schema=False)
    async def fill(request: Request, users: int, first: int = 0) -> dict[str, int]:
        services = services_of(request)
        local = services.memory
        rng = random.Random(first)
        for number in range(first, first + users):
            ranked = ItemList(tuple(rng.sample(ids, LIST_ITEMS)), f"RID-{uuid.uuid4()}", time.time())
            asked = asked_by(services, RecommendationQuery(f"filled{number}", 10), 0.0)
            assert asked.key is not None
            asked.arm.lists.keep(asked.key, Outcome(seal(ranked), "personalize"))
        return {"entries": len(local), "bytes": local.bytes}

    return lane


if __name__ == "__main__":
    serve(load_settings(), with_fill_route)
