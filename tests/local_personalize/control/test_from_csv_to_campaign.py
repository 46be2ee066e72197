"""From CSV files to a campaign that answers, as a notebook does it with boto3."""

from tests.support.personalize_account import Account


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
