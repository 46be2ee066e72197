"""Where the CPU of a miss goes: `python -m bench.miss_profile` prints microseconds for each answer, by package.

cProfile makes every call dearer, so the shares are what counts, not the sum.
"""

import asyncio
import cProfile
import os
import pstats
from collections import Counter

import httpx

from service.main import create_app
from service.settings import load_settings
from tests.support.processes import CAMPAIGN_ARN, SAMPLE, local_personalize

MISSES = 1_500


async def _misses() -> pstats.Stats:
    lane = create_app(load_settings())
    profile = cProfile.Profile()
    async with lane.application.router.lifespan_context(lane.application):
        transport = httpx.ASGITransport(lane)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench") as http:
            for number in range(50):
                await http.get("/recommendations", params={"user_id": f"warm{number}"})
            profile.enable()
            for number in range(MISSES):
                await http.get("/recommendations", params={"user_id": f"cold{number}"})
            profile.disable()
    return pstats.Stats(profile)


def _package(file: str) -> str:
    if "site-packages/" in file:
        return file.split("site-packages/")[1].split("/", maxsplit=1)[0]
    if "/service/" in file:
        return "service/" + file.split("/service/")[1].split("/", maxsplit=1)[0]
    return "python and C"


def main() -> None:
    """Print the table."""
    with local_personalize() as personalize:
        os.environ.update(
            PERSONALIZE_CAMPAIGN_ARN=CAMPAIGN_ARN,
            PERSONALIZE_TPS="2500",
            CATALOG_URL=f"file://{SAMPLE / 'items.csv'}",
            ALLOW_ANONYMOUS="true",
            AWS_REGION="us-east-1",
            AWS_ACCESS_KEY_ID="local",
            AWS_SECRET_ACCESS_KEY="local",  # noqa: S106  # nobody's
            AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME=personalize.url,
        )
        stats = asyncio.run(_misses())
    by_package: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]  # undocumented, stable since 2.5
        by_package[_package(file)] += own
    total = sum(by_package.values())
    print(f"{'package':24} {'us':>8} {'share':>6}")
    for package, seconds in by_package.most_common(16):
        print(f"{package:24} {seconds / MISSES * 1e6:8.0f} {seconds / total:6.1%}")


if __name__ == "__main__":
    main()
