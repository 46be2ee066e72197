"""Rehearsed sends against what `personalize-connect plan` says of them beforehand: `python -m bench rehearsals`."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from bench.speed import DATA
from service.sends.plan.course import SOURCES
from service.sends.plan.send import Send
from service.sends.plan.simulation import simulate
from tests.support.batch_output import catalogue_ids, load, write_batch
from tests.support.processes import ROOT, configuration, inherited, local_personalize, service

ALLOWED = 0.03
"""Largest difference of a share that is still a true plan."""

TPS, USERS, PER_MINUTE, PASSES, PEAK, LATENCY_MS = 5.0, 3_000, 2_400, 2, 2.4, 30

TEMPLATE = """\
{% connected_content https://recs.example.com/recommendations?user_id={{${user_id} | url_param_escape}}&num_results=4 \
:save r %}{% if r[0].name == blank %}{% abort_message('no items') %}{% endif %}
{% for item in r %}<a href="{{ item.url }}"><img src="{{ item.image }}" alt="{{ item.name | escape }}"></a>
{{ item.price | money }}{% endfor %}
"""


def rehearsals() -> dict[str, Any]:
    """3,000 users at 2,400 a minute and 5 TPS; then the same with a batch list of every other user."""
    return {f"{share:.0%} in the batch": rehearsal(share) for share in (0.0, 0.5)}


def rehearsal(batch: float) -> dict[str, Any]:
    """One send: the shares of its messages by the source of their first answer, rehearsed and planned."""
    users = [str(number) for number in range(1, USERS + 1)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "mail.liquid").write_text(TEMPLATE, "utf-8")
        (folder / "users.txt").write_text("\n".join(users), "utf-8")
        catalog = DATA / "items.csv"
        personalize = stack.enter_context(local_personalize(DATA, tps=TPS, latency_ms=LATENCY_MS))
        data_dir = str(folder / "data")
        if batch:
            output = write_batch(folder / "b.json.out", users[:: round(1 / batch)], catalogue_ids(catalog))
            assert load(output, configuration(personalize, catalog=catalog, DATA_DIR=data_dir)).status == 0
        replica = stack.enter_context(
            service(personalize, catalog=catalog, PERSONALIZE_TPS=str(TPS), DATA_DIR=data_dir)
        )
        done = subprocess.run(
            [
                *(sys.executable, "-m", "service", "rehearse", "--json", "--service", replica.url),
                *("--template", str(folder / "mail.liquid"), "--users", str(folder / "users.txt")),
                *("--per-minute", str(PER_MINUTE), "--passes", str(PASSES), "--peak", str(PEAK)),
            ],
            cwd=ROOT,
            env=inherited(),
            capture_output=True,
            check=True,
        )
    report = orjson.loads(done.stdout)
    plan = simulate(
        Send(
            recipients=USERS,
            passes=PASSES,
            minutes=USERS / PER_MINUTE,
            tps=TPS,
            batch=batch,
            peak=PEAK,
            latency_seconds=LATENCY_MS / 1000,
        )
    )
    measured = {one["source"]: 0.0 for one in report["sources"]}
    for one in report["sources"]:
        measured[one["source"]] += one["messages"] / USERS
    return {
        "messages": {source: [measured.get(source, 0.0), plan.share(source)] for source in SOURCES},
        "good": report["good_share"],
        "late": report["late_calls"],
        "p99_ms": report["p99_ms"],
        "transactions": [report["transactions"], plan.transactions],
    }


def promises(report: dict[str, Any]) -> dict[str, bool]:
    """Each share that occurs, rehearsed and planned; and every message is good."""
    kept = {
        f"{name}, {source}: rehearsed {measured:.1%}, planned {planned:.1%}": abs(measured - planned) <= ALLOWED
        for name, one in report.items()
        for source, (measured, planned) in one["messages"].items()
        if measured or planned
    }
    for name, one in report.items():
        kept[f"{name}: every message good, none late"] = one["good"] == 1.0 and not one["late"]
    return kept
