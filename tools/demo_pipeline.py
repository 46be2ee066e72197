"""`make demo-pipeline`: from the sample's CSVs to a campaign that the service asks, and to a second version.

Everything runs on loopback, in a temporary directory: a local Personalize, the service, and the commands that an
operator would type. A step that does not do what it shows ends the demo with exit status 1.
"""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("personalize-connect")
SPEED = "1200"
"""A training of 40 minutes takes two seconds."""

EVENT_KEY = "events-key-of-the-demo-only"
HELD_BACK = 0.1
"""Share of the interactions, the newest, that only the second version learns from."""

WANTED = """\
name = "shop"
role_arn = "arn:aws:iam::000000000000:role/local"
upload = "file://{folder}/uploads/"
event_tracker = true

[data]
interactions = "data/interactions.csv"
items = "data/items.csv"
users = "data/users.csv"

[solutions.for-you]
recipe = "user-personalization-v2"
event_weights = {{ Purchase = 1.0, AddToCart = 0.5, View = 0.2 }}

[solutions.popular]
recipe = "popularity-count"

[campaigns.for-you]
solution = "for-you"
min_tps = 20

[batch.nightly]
solution = "for-you"
results = 30
output = "file://{folder}/batch/"
"""


class Demo:
    """The steps, over a folder and an environment of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.began = time.monotonic()
        self.personalize, self.service = _free_port(), _free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "HOST": "127.0.0.1",
            "PORT": str(self.service),
            "CATALOG_URL": f"file:{ROOT / 'sample/items.csv'}",
            "PLACEMENTS_FILE": str(folder / "placements.toml"),
            "DATA_DIR": str(folder / "state"),
            "ALLOW_ANONYMOUS": "true",
            "EVENT_KEYS": EVENT_KEY,
            "EXCLUDE_AFTER": "Purchase:180d",
            "CACHE_FRESH_SECONDS": "1",
            "LOG_LEVEL": "error",
            "DRAIN_SECONDS": "0",
        }
        for name in ("", "_RUNTIME", "_EVENTS"):
            self.environment[f"AWS_ENDPOINT_URL_PERSONALIZE{name}"] = f"http://127.0.0.1:{self.personalize}"

    def run(self) -> None:
        """All of it."""
        newest = self.prepare()
        self.say("A local Personalize stands in for Amazon's")
        self.start("local-personalize", "--port", str(self.personalize), "--speed", SPEED)
        _until(lambda: _get(f"http://127.0.0.1:{self.personalize}/_health"), "the local Personalize")

        self.say("1. Is the data good enough?")
        self.call("data", "check", "sample/", "--fix", str(self.folder / "data"), cwd=ROOT)
        self.hold_back(newest)

        self.say("2. From CSV to a campaign")
        applied = json.loads(self.call("train", "apply", "--yes", "--json", "--poll-seconds", "0.2", shows=False))
        self.environment["PERSONALIZE_TRACKING_ID"] = applied["trackingId"]
        self.call("train", "status")

        self.say("3. The service asks it")
        self.start("serve")
        _until(lambda: _get(f"{self.url}/readyz"), "the service")
        first = self.show("user7")
        _demand(first["source"] == "personalize", "the first answer comes from the campaign")

        self.say("4. A batch job, loaded: who has no list yet is served from it when Personalize has no time")
        self.call("batch", "run", "nightly", "--users", str(ROOT / "sample/users.csv"), "--poll-seconds", "0.2")
        _post(f"http://127.0.0.1:{self.personalize}/_faults", {"mode": "throttle", "seconds": 600})
        _until(lambda: self.recommend("user40")["source"] == "batch", "a list of the batch job")
        self.show("user40")
        _post(f"http://127.0.0.1:{self.personalize}/_faults", {"mode": "none"})

        self.say("5. user7 buys the first item; the next list is without it")
        self.buy("user7", first["items"][0]["id"])
        bought = first["items"][0]["id"]
        _until(lambda: self.recommend("user7")["source"] == "personalize", "Personalize, which has time again")
        _demand(bought not in self.ids("user7"), "the list is without what was bought")
        self.show("user7")

        self.say("6. New data makes a second version; it is compared, promoted and rolled back")
        shutil.copy(newest, self.folder / "data/interactions.csv")
        self.call("train", "apply", "--yes", "--poll-seconds", "0.2")
        self.call("train", "metrics")
        serving = self.serving()
        # The sample is small, so which version is the better one is chance; an operator would think twice.
        self.call("train", "promote", "for-you", "--force", "--poll-seconds", "0.2")
        _demand(self.serving() != serving, "the campaign serves the second version")
        self.show("user12")
        self.call("train", "rollback", "for-you", "--poll-seconds", "0.2")
        _demand(self.serving() == serving, "the campaign serves the first version again")

        self.say("7. All of it is deleted")
        self.call("train", "destroy", "--yes", "--poll-seconds", "0.2")
        self.say(f"done in {time.monotonic() - self.began:.0f} s")

    @property
    def url(self) -> str:
        """Of the service."""
        return f"http://127.0.0.1:{self.service}"

    def prepare(self) -> Path:
        """Write personalize.toml, and give where the whole interactions will be."""
        (self.folder / "personalize.toml").write_text(WANTED.format(folder=self.folder), "utf-8")
        return self.folder / "whole.csv"

    def hold_back(self, whole: Path) -> None:
        """Keep the newest interactions for the second version."""
        path = self.folder / "data/interactions.csv"
        shutil.copy(path, whole)
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        rows.sort(key=lambda row: int(row[header.index("TIMESTAMP")]))
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([header, *rows[: -int(len(rows) * HELD_BACK)]])

    def say(self, line: str) -> None:
        """A heading, with the time that has passed."""
        print(f"\n=== {time.monotonic() - self.began:4.0f} s  {line}", flush=True)

    def call(self, *words: str, cwd: Path | None = None, shows: bool = True) -> str:
        """Run a command as an operator would; what it prints."""
        print(f"$ personalize-connect {' '.join(words)}", flush=True)
        done = subprocess.run(  # noqa: S603  # our own command
            [COMMAND, *words], cwd=cwd or self.folder, env=self.environment, text=True, capture_output=True,
            check=False, timeout=120,
        )  # fmt: skip
        if shows or done.returncode:
            print(done.stdout, flush=True)
        if done.returncode:
            print(done.stderr, file=sys.stderr, flush=True)
            raise SystemExit(f"demo: {' '.join(words[:2])} ended with exit status {done.returncode}")
        return done.stdout

    def start(self, *words: str) -> None:
        """Start a process that ends with the demo."""
        log = self.stack.enter_context((self.folder / f"{words[0]}.log").open("wb"))
        child = subprocess.Popen(  # noqa: S603  # our own command
            [COMMAND, *words], cwd=self.folder, env=self.environment, stdout=log, stderr=log
        )
        self.stack.callback(_stop, child)

    def recommend(self, user: str) -> dict[str, Any]:
        """What the service answers."""
        answer: dict[str, Any] = json.loads(
            _get(f"{self.url}/recommendations?user_id={user}&num_results=4&format=object")
        )
        return answer

    def ids(self, user: str) -> list[str]:
        """The items that a user gets."""
        return [item["id"] for item in self.recommend(user)["items"]]

    def show(self, user: str) -> dict[str, Any]:
        """Ask, and print what comes."""
        answer = self.recommend(user)
        print(f"{user}: {', '.join(item['name'] for item in answer['items'])}  ({answer['source']})", flush=True)
        return answer

    def buy(self, user: str, item: str) -> None:
        """Send an event to the service, which sends it on to Personalize."""
        event = {"eventType": "Purchase", "itemId": item, "sentAt": int(time.time()), "eventId": "demo-1"}
        body = {"userId": user, "sessionId": "demo", "eventList": [event]}
        print(_post(f"{self.url}/events", body, key=EVENT_KEY), flush=True)

    def serving(self) -> str:
        """The version that the campaign serves, by the metrics command."""
        versions = json.loads(self.call("train", "metrics", "--json", shows=False))["versions"]
        return next(str(one["arn"]) for one in versions if one["serving"])


@contextmanager
def _demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="personalize-demo-") as folder, ExitStack() as stack:
        yield Demo(Path(folder), stack)


def _get(url: str) -> str:
    with urlopen(Request(url), timeout=5) as answer:  # noqa: S310  # our own loopback
        return str(answer.read().decode())


def _post(url: str, body: object, key: str = "") -> str:
    headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=5) as answer:  # noqa: S310  # as above
        return str(answer.read().decode())


def _until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except (URLError, OSError):
            pass  # not there yet
        time.sleep(0.2)
    raise SystemExit(f"demo: waited 30 s for {what}")


def _demand(holds: object, what: str) -> None:
    if not holds:
        raise SystemExit(f"demo: it is not so that {what}")
    print(f"-> {what}", flush=True)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    with _demo() as demo:
        demo.run()
