"""From CSV files to a campaign that answers, as a notebook does it with boto3."""

import re
import time
from pathlib import Path

import pytest

from tests.support.personalize_account import Account, write_shop

pytestmark = pytest.mark.long


def test_a_campaign_trained_from_csv_recommends_what_alike_people_like(account: Account) -> None:
    group = account.shop()
    campaign = account.campaign(account.version(group, "aws-user-personalization"))

    found = account.ids(campaign, userId="cook1", numResults=10)

    assert len(found) == 10
    assert sum(item.startswith("cook") for item in found) >= 8


def test_an_event_put_to_the_tracker_changes_the_users_list(account: Account) -> None:
    group = account.shop()
    campaign = account.campaign(account.version(group, "aws-user-personalization"))
    tracker = account.personalize.create_event_tracker(name="tracker", datasetGroupArn=group)
    account.wait()
    before = account.ids(campaign, userId="stranger", numResults=5)

    account.events.put_events(
        trackingId=tracker["trackingId"],
        sessionId="1",
        userId="stranger",
        eventList=[{"eventType": "View", "itemId": "code-7", "sentAt": 1_800_000_000}],
    )

    after = account.ids(campaign, userId="stranger", numResults=5)
    assert after != before
    assert all(item.startswith("code") for item in after)


def test_the_example_of_the_page_works(
    account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "local-personalize.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found is not None
    data = write_shop(account.folder, people=150)["Interactions"]
    for name in ("", "_RUNTIME", "_EVENTS"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_PERSONALIZE{name}", account.server.url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(time, "sleep", lambda _: account.wait(1))
    names: dict[str, object] = {}

    exec(found[1].replace("/data/interactions.csv", str(data)), names)  # noqa: S102  # our own page

    shown = capsys.readouterr().out
    assert "'coverage'" in shown
    assert "'itemId'" in shown
    for client in (names["personalize"], names["runtime"]):
        client.close()  # type: ignore[attr-defined]  # botocore makes the client's class at run time
