"""Each metric moves when its event happens, on the route and on the hit lane. `redis_up`: tests/integration."""

import asyncio
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from service.api.admin import built_from, installed_version
from service.api.refusals import ANSWERING, PARAMETERS, STATUSES
from service.errors import RecommenderError, RecommenderThrottled, RecommenderTimeout
from service.telemetry import LABELS
from tests.support.front_door import Door, OpenDoor
from tests.support.redis import RedisServer
from tests.support.waiting import until

PATH = "/recommendations"
ROOT = Path(__file__).parents[2]
REQUESTS = "recommendations_requests_total"
VARIANTS = "recommendations_variants_total"
ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}

LISTS_EVENTS = "redis_lists_events_total"


CLOSED = {
    **LABELS,
    "placement": ("for-you",),
    "route": ("", *ANSWERING, "/metrics"),
    "status": STATUSES,
    "parameter": PARAMETERS,
    "version": (installed_version(),),
    "commit": (built_from() or "",),
}
"""Every value that each label may have."""


Values = dict[tuple[str, ...], float]


SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
"""Prometheus's own parser, in Python, takes as long as opening the door; a test below holds these to it."""


async def values(door: Door) -> Values:
    """Every sample, by its name and the values of its labels in the order of their names."""
    return values_of((await door.http.get("/metrics")).text)


def values_of(page: str) -> Values:
    return {
        (name, *(value for _, value in sorted(LABEL.findall(labels)))): float(number)
        for name, labels, number in SAMPLE.findall(page)
    }


async def lists_events(door: Door) -> dict[str, float]:
    """What Redis refused of lists, by the word of the metric."""
    return {name[1]: value for name, value in (await values(door)).items() if name[0] == LISTS_EVENTS}


async def label_values(door: Door) -> dict[str, set[str]]:
    """Every value of every label, but for the bounds of histograms."""
    found: dict[str, set[str]] = {}
    for _, labels, _ in SAMPLE.findall((await door.http.get("/metrics")).text):
        for label, value in LABEL.findall(labels):
            found.setdefault(label, set()).add(value)
    found.pop("le")
    return found


async def moved(door: Door, before: Values) -> Values:
    """What has changed since, and by how much."""
    return {
        name: value - before.get(name, 0.0)
        for name, value in (await values(door)).items()
        if value != before.get(name, 0.0)
    }


async def test_a_live_answer_and_each_hit_are_counted(door: Door) -> None:
    before = await values(door)
    await door.get(PATH, user_id="u")
    live = await moved(door, before)

    assert live[REQUESTS, "", "for-you", "personalize"] == 1
    assert live["recommendations_request_duration_seconds_count",] == 1
    assert live["personalize_transactions_total", "ok", "for-you"] == 1
    assert live["personalize_transaction_duration_seconds_count",] == 1
    assert live["personalize_budget_wait_seconds_count",] == 1
    assert live["cache_entries",] == 1
    assert live["cache_bytes",] > 0

    before = await values(door)
    for _ in range(3):
        await door.get(PATH, user_id="u")
    hits = await moved(door, before)

    assert hits[REQUESTS, "", "for-you", "cache"] == 3
    assert hits["recommendations_request_duration_seconds_count",] == 3
    assert hits["recommendations_request_duration_seconds_sum",] > 0
    assert ("cache_bytes",) not in hits
    assert not any(name[0].startswith("personalize_") for name in hits)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(RecommenderError, "error"), (RecommenderTimeout, "timeout"), (RecommenderThrottled, "throttled")],
)
async def test_a_failed_transaction_is_counted_by_its_outcome(
    door: Door, failure: type[RecommenderError], reason: str
) -> None:
    await door.get(PATH, user_id="known")
    door.clock.moved_seconds += 1_000
    door.personalize.failure = failure()
    before = await values(door)
    await door.get(PATH, user_id="known")
    await door.get(PATH, user_id="unknown")
    after = await moved(door, before)

    assert after[REQUESTS, reason, "for-you", "stale"] == 1
    assert after[REQUESTS, reason, "for-you", "popular"] == 1
    # The stale list may have been tried once more behind the answer.
    assert after["personalize_transactions_total", reason, "for-you"] in (2, 3)
    assert (("personalize_budget_tps", "for-you") in after) == (reason == "throttled")


async def test_an_empty_list_is_an_outcome_of_its_own(door: Door) -> None:
    door.personalize.empty = True
    before = await values(door)
    await door.get(PATH, user_id="u")
    after = await moved(door, before)

    assert after["personalize_transactions_total", "empty", "for-you"] == 1
    assert after[REQUESTS, "error", "for-you", "popular"] == 1


async def test_an_open_breaker_is_a_state_and_a_reason(door: Door) -> None:
    door.personalize.failure = RecommenderError()
    before = await values(door)
    for number in range(8):
        await door.get(PATH, user_id=f"u{number}")
    after = await moved(door, before)

    assert after["personalize_breaker_state", "for-you"] == 2
    assert (
        after[REQUESTS, "breaker", "for-you", "popular"]
        == 8 - after["personalize_transactions_total", "error", "for-you"]
    )


async def test_a_used_up_budget_and_a_missing_user_are_reasons(open_door: OpenDoor) -> None:
    async with open_door(PERSONALIZE_TPS="0.05", REQUEST_DEADLINE_SECONDS="5") as door:
        before = await values(door)
        for user in ("first", "second", ""):
            await door.get(PATH, user_id=user)
        after = await moved(door, before)

    assert after[REQUESTS, "", "for-you", "personalize"] == 1
    assert after[REQUESTS, "budget", "for-you", "popular"] == 1
    assert after[REQUESTS, "no_user", "for-you", "popular"] == 1


async def test_a_flight_is_open_until_its_list_is_there(door: Door) -> None:
    door.personalize.held = asyncio.Event()
    calls = [asyncio.create_task(door.get(PATH, user_id=user)) for user in ("ann", "ann", "bob")]
    await door.shows("flights_open 2.0")
    busy = (await values(door))["event_loop_tasks",]
    door.personalize.held.set()
    await asyncio.gather(*calls)
    await door.shows("flights_open 0.0")
    assert (await values(door))["event_loop_tasks",] < busy


async def test_a_stale_list_waits_for_a_slot_to_be_renewed_in(open_door: OpenDoor) -> None:
    async with open_door(PERSONALIZE_TPS="0.05", REQUEST_DEADLINE_SECONDS="5") as door:
        await door.get(PATH, user_id="known")
        door.clock.moved_seconds += 1_000
        # Takes the only slot of the next twenty seconds.
        await door.get(PATH, user_id="new")
        assert (await door.get(PATH, user_id="known")).headers["X-Recommendation-Source"] == "stale"
        await door.shows("refresh_queue 1.0")
        door.clock.moved_seconds += 30
        await door.shows("refresh_queue 0.0")

    assert [request.user_id for request in door.personalize.asked] == ["known", "new", "known"]


async def test_every_dropped_item_is_counted_on_the_route_and_on_the_hit_lane(open_door: OpenDoor) -> None:
    rule = 'EXCLUDE ItemID WHERE Items.CATEGORY IN ("odd")'
    async with open_door(EXCLUSION_FILTER=rule, ADMIN_KEYS=ADMIN["X-API-Key"]) as door:
        door.personalize.unknown_items = 2
        # The list begins with the item of the user's number: gone0, gone1, item002, item003 and so on.
        user = chr(60)
        await door.http.put("/items/item002/block", headers=ADMIN)
        before = await values(door)
        for source in ("personalize", "cache", "cache", "cache"):
            answer = await door.get(PATH, user_id=user, num_results=3, exclude="item004")
            assert answer.headers["X-Recommendation-Source"] == source
            assert [item["id"] for item in answer.json()] == ["item006", "item008", "item010"]
            after = await moved(door, before)
            before = await values(door)
            dropped = {name[1]: by for name, by in after.items() if name[0] == "recommendations_items_dropped_total"}
            assert dropped == {"unknown": 2, "blocked": 1, "requested": 1, "excluded": 4}


@pytest.mark.parametrize("unknown", [25, 24])
async def test_what_one_answer_drops_is_counted_once_also_where_nothing_of_the_list_is_left(
    open_door: OpenDoor, unknown: int
) -> None:
    """K9."""
    async with open_door() as door:
        door.personalize.unknown_items = unknown
        excluded = "item024" if unknown == 24 else ""
        for _ in range(3):
            before = await values(door)
            answer = await door.get(PATH, user_id=chr(60), exclude=excluded)
            assert answer.headers["X-Recommendation-Source"] == "popular"
            after = await moved(door, before)
            assert after["recommendations_items_dropped_total", "unknown"] == unknown
            assert after.get(("recommendations_items_dropped_total", "requested"), 0) == 25 - unknown


async def test_nothing_to_show_is_a_source(open_door: OpenDoor) -> None:
    async with open_door(EXCLUSION_FILTER="EXCLUDE ItemID WHERE Items.PRICE > -1") as door:
        before = await values(door)
        assert (await door.get(PATH, user_id="u")).json() == []
        assert (await moved(door, before))[REQUESTS, "short", "for-you", "empty"] == 1


async def test_the_catalogues_metrics_follow_it(open_door: OpenDoor, catalog_file: Path) -> None:
    async with open_door() as door:
        before = await values(door)
        door.clock.moved_seconds += 100
        short = catalog_file.read_text("utf-8").splitlines(keepends=True)[:-10]
        catalog_file.write_text("".join(short), "utf-8")
        os.utime(catalog_file, ns=(1, 1))
        door.app.lifecycle.on_hangup()
        await door.shows("catalog_items 50.0")
        after = await moved(door, before)

    assert after["catalog_items",] == -10
    assert after["catalog_loaded_timestamp_seconds",] >= 100


async def test_a_refused_credential_is_counted(open_door: OpenDoor) -> None:
    async with open_door(API_KEYS="an-api-key-of-these-tests", METRICS_ACCESS="open") as door:
        before = await values(door)
        for key in ("wrong", "an-api-key-of-these-tests"):
            await door.http.get(f"{PATH}?user_id=u", headers={"X-API-Key": key})
        after = await moved(door, before)

    assert after["http_unauthorized_total",] == 1
    assert after[REQUESTS, "", "for-you", "personalize"] == 1


async def test_a_full_redis_is_counted_with_every_list_that_it_does_not_keep(
    open_door: OpenDoor, redis_server: RedisServer
) -> None:
    async with open_door(REDIS_URL=redis_server.url) as door:
        with Redis(port=redis_server.port) as redis:
            await door.get(PATH, user_id="kept")
            # A list lands in Redis behind the answer.
            await until(lambda: len(list(redis.scan_iter("pc:*:list"))) == 1)
            assert await lists_events(door) == {"full": 0, "unreadable": 0, "resubscribed": 0}
            redis.config_set("maxmemory", "1mb")
            redis.config_set("maxmemory-policy", "noeviction")
        for user in ("ann", "bob", "ann"):
            answer = await door.get(PATH, user_id=user)
            assert "X-Degraded-Reason" not in answer.headers
        await door.shows(f'{LISTS_EVENTS}{{event="full"}} 2.0')
        assert await lists_events(door) == {"full": 2, "unreadable": 0, "resubscribed": 0}


async def test_a_list_of_another_version_in_redis_is_counted(open_door: OpenDoor, redis_server: RedisServer) -> None:
    async with open_door(REDIS_URL=redis_server.url) as one, open_door(REDIS_URL=redis_server.url) as other:
        await one.get(PATH, user_id="ann")
        with Redis(port=redis_server.port) as redis:
            await until(lambda: len(list(redis.scan_iter("pc:*:list"))) == 1)
            [key] = redis.scan_iter("pc:*:list")
            redis.set(key, b"\xfa of a future version")
        answer = await other.get(PATH, user_id="ann")
        assert answer.headers["X-Recommendation-Source"] == "personalize"
        assert await lists_events(other) == {"full": 0, "unreadable": 1, "resubscribed": 0}


async def test_a_lost_channel_of_flights_is_counted(open_door: OpenDoor, redis_server: RedisServer) -> None:
    async with open_door(REDIS_URL=redis_server.url) as door:
        with Redis(port=redis_server.port) as redis:
            redis.client_kill_filter(_type="pubsub")
        await door.shows(f'{LISTS_EVENTS}{{event="resubscribed"}} 1.0')


async def test_whatever_is_asked_labels_stay_within_their_sets(open_door: OpenDoor) -> None:
    async with open_door() as door:
        for query in ("user_id=u", "user_id=u&source=x&reason=y", "user_id=", "", "user_id=%00%ff", "num_results=0"):
            for path in (PATH, "/" + query, "/metrics"):
                for method in ("GET", "POST", "BREW"):
                    await door.http.request(method, f"{path}?{query}", headers={"X-Degraded-Reason": "mine"})
        labels = await label_values(door)

    assert labels.keys() == CLOSED.keys()
    for label, seen in labels.items():
        assert seen <= {*CLOSED[label]}


async def test_prometheus_reads_of_the_page_what_these_tests_read(door: Door) -> None:
    await door.get(PATH, user_id="u")
    page = (await door.http.get("/metrics")).text
    families = list(text_string_to_metric_families(page))
    assert values_of(page) == {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    assert len(families) > 30


async def test_the_bytes_of_ready_items_and_of_lists_are_counted(door: Door) -> None:
    answer = await door.get(PATH, user_id="u", num_results=60)
    kept = (await values(door))["cache_bytes",]
    assert kept > len(answer.content)
    await door.get(PATH, user_id="u", num_results=60)
    assert (await values(door))["cache_bytes",] == kept
    await door.get(PATH, user_id="another", num_results=60)
    # Another list of the same items.
    assert 0 < (await values(door))["cache_bytes",] - kept < 60 * 60 + 1_000


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells a process's memory and files")
async def test_nothing_has_happened_and_every_panel_and_alert_has_a_value(door: Door) -> None:
    """H9"""
    found = await values(door)
    names = {name[0] for name in found}

    dashboard = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text("utf-8"))
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text("utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    wanted = {name for query in asked for name in re.findall(r"\b([a-z_]+)(?=[{\[])", query)}
    assert len(wanted) > 25
    # Of connections there are some where a server listens only; of variants, where there are any.
    assert wanted - names - {"by", VARIANTS} == set()
    for source, reason in [("cache", ""), ("popular", "budget"), ("empty", "error"), ("stale", "timeout")]:
        assert found[REQUESTS, reason, "for-you", source] == 0.0
    assert found["http_refused_total", "fields", PATH, "422"] == 0.0
    assert found["personalize_configured_tps", "for-you"] == 500.0
    assert found["build_info", built_from() or "", installed_version()] == 1.0
    assert found["process_open_fds",] > 0
    assert found["process_resident_memory_bytes",] > 1e6


async def test_each_arm_of_a_placement_is_counted_on_every_way_out(open_door: OpenDoor, tmp_path: Path) -> None:
    path = tmp_path / "placements.toml"
    arn = "arn:aws:personalize:us-east-1:000000000000:campaign/"
    path.write_text(
        f"""
[placements.plain]
campaign_arn = "{arn}a"
[placements.tested]
campaign_arn = "{arn}b"
tps = 100
fallback = ["plain"]
variants = [{{ name = "holdout", share = 0.5, popular = true }}]
"""
    )
    async with open_door(PLACEMENTS_FILE=str(path), PERSONALIZE_CAMPAIGN_ARN="") as door:
        arms = {}
        for number in range(12):
            answers = [await door.get(PATH, user_id=f"u{number}", placement="tested") for _ in range(2)]
            (arms[f"u{number}"],) = {one.headers["X-Recommendation-Variant"] for one in answers}
        arm = Counter(arms.values())
        assert set(arm) == {"control", "holdout"}
        found = {name[1:]: value for name, value in (await values(door)).items() if name[0] == VARIANTS}
        assert found == {
            ("tested", "personalize", "control"): arm["control"],
            ("tested", "cache", "control"): arm["control"],
            ("tested", "popular", "holdout"): 2 * arm["holdout"],
        }


async def test_a_fallbacks_answer_counts_for_the_fallback_and_for_the_arm_that_asked(
    open_door: OpenDoor, tmp_path: Path
) -> None:
    path = tmp_path / "placements.toml"
    arn = "arn:aws:personalize:us-east-1:000000000000:campaign/"
    variants = f'[{{ name = "v2", share = 1.0, campaign_arn = "{arn}c", tps = 100 }}]'
    path.write_text(
        f'[placements.plain]\ncampaign_arn = "{arn}a"\n'
        f'[placements.tested]\ncampaign_arn = "{arn}b"\nfallback = ["plain"]\nvariants = {variants}\n'
    )
    async with open_door(PLACEMENTS_FILE=str(path), PERSONALIZE_CAMPAIGN_ARN="") as door:
        await door.get(PATH, user_id="ann")
        door.personalize.failure = RecommenderError()
        answer = await door.get(PATH, user_id="ann", placement="tested")
        assert answer.headers["X-Recommendation-Placement"] == "plain"
        found = await values(door)
        assert found[REQUESTS, "error", "plain", "cache"] == 1
        assert found[VARIANTS, "tested", "cache", "v2"] == 1
