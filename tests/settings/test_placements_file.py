"""`PLACEMENTS_FILE`: every mistake is a line with the placement and the key, all at once."""

from pathlib import Path

import pytest

from service.errors import ConfigurationError
from service.settings import load_settings

CAMPAIGN = "arn:aws:personalize:us-east-1:111122223333:campaign/for-you"
RECOMMENDER = "arn:aws:personalize:us-east-1:111122223333:recommender/r"
FILTER = "arn:aws:personalize:us-east-1:111122223333:filter/f"
HOLDOUT = '{ name = "a", share = 0.7, popular = true }'
GOOD = f'[placements.for-you]\ncampaign_arn = "{CAMPAIGN}"\n'


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "placements.toml"
    monkeypatch.setenv("PLACEMENTS_FILE", str(path))
    monkeypatch.setenv("CATALOG_URL", "file:///items.csv")
    monkeypatch.setenv("ALLOW_ANONYMOUS", "true")
    return path


def problems(path: Path, text: str) -> tuple[str, ...]:
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[placements", "is not TOML"),
        ("", "holds no table [placements.NAME]"),
        ("placements = 3", "holds no table [placements.NAME]"),
        (f"{GOOD}[other]\nx = 1", "unknown key 'other'"),
        (GOOD.replace("s.for-you", 's."For You"'), "placement 'For You': a name is 1 to 63"),
        ("[placements.a]\ntps = 5", "placement a: campaign_arn, recommender_arn: neither is set"),
        (f'{GOOD}recommender_arn = "{RECOMMENDER}"', "placement for-you: campaign_arn, recommender_arn: both are set"),
        (GOOD.replace("campaign/", "recommender/"), "is not the ARN of a campaign"),
        (GOOD.replace("arn:aws", "arn"), "placement for-you: campaign_arn:"),
        (f"{GOOD}tps = 0", "placement for-you: tps: 0"),
        (f"{GOOD}tps = 2501", "placement for-you: tps: 2501"),
        (f'{GOOD}tps = "20"', "placement for-you: tps: '20'"),
        (f"{GOOD}camapign = 1", "placement for-you: camapign: is no key of a placement"),
        (f'{GOOD}kind = "similar"', "placement for-you: kind: 'similar'"),
        (f'{GOOD}filter_arn = "{CAMPAIGN}"', "placement for-you: filter_arn:"),
        (f'{GOOD}exclusion_filter = "EXCLUDE ItemID WHERE"', "placement for-you: exclusion_filter:"),
        (f"{GOOD}max_per = {{ category = 0 }}", "placement for-you: max_per.category: 0"),
        (f'{GOOD}fallback = ["nowhere"]', "placement for-you: fallback: no placement 'nowhere'"),
        (f"{GOOD}needs_user = true", "placement for-you: needs_user: a placement of kind recommendations has none"),
        (f"{GOOD}fresh_seconds = 10\nstale_seconds = 5", "placement for-you: stale_seconds: 5 is below"),
        (f'{GOOD}pin = [{{ item = "a", slot = 1 }}, {{ item = "b", slot = 1 }}]', "pin: slot 1 is given twice"),
        (f'{GOOD}pin = [{{ item = "a", slot = 1, until = 2026-12-24T00:00:00 }}]', "has no time zone"),
        (f'{GOOD}pin = [{{ item = "a", slot = 1 }}, {{ item = "a", slot = 2 }}]', "pin: 'a' is given twice"),
        (
            f'{GOOD}pin = [{{ item = "a", slot = 1, until = 2026-12-24 }}]',
            "pin.0.until: is no moment; write 2026-12-24T",
        ),
        (f"{GOOD}variants = [{HOLDOUT.replace('0.7', '0.00001')}]", "variants.0.share: 1e-05: input should be greater"),
        (
            GOOD + f"variants = [{HOLDOUT}]".replace('"a"', '"control"'),
            "variant control: name: is what the placement's",
        ),
        (GOOD + f"variants = [{HOLDOUT}]".replace('"a"', '"V.2"'), "variants.0.name: 'V.2': a name is 1 to 63 of a-z"),
        (f'{GOOD}variants = [{{ name = "a", share = 0.1, tps = 5 }}]', "variant a: tps: is of no use without an ARN"),
        (f'{GOOD}context = {{ "A-B" = "x" }}', "context.A-B: 'A-B': a name is 1 to 150 letters, digits and _"),
        (
            GOOD.replace("campaign_arn", "kind = 'ranking'\ncampaign_arn")
            + f'variants = [{{ name = "a", share = 0.1, recommender_arn = "{RECOMMENDER}", tps = 1 }}]',
            "variant a: recommender_arn: a placement of kind ranking has none",
        ),
        (
            f"{GOOD}variants = [{HOLDOUT}, {HOLDOUT}]",
            "variants: their shares are 1.4",
        ),
        (
            f'{GOOD}variants = [{{ name = "a", share = 0.1, campaign_arn = "{CAMPAIGN}2" }}]',
            "variant a: tps: is required",
        ),
        (f'{GOOD}tps = 5\n[placements.b]\ncampaign_arn = "{CAMPAIGN}"\ntps = 6', "share one budget and must agree"),
        (f'{GOOD}promotion = {{ name = "sale", percent = 101, filter_arn = "{FILTER}" }}', "promotion.percent: 101"),
        (
            GOOD.replace("campaign_arn", "kind = 'ranking'\nrecommender_arn").replace("campaign/", "recommender/"),
            "recommender_arn: a placement of kind ranking has none",
        ),
    ],
)
def test_a_mistake_is_one_line_with_placement_and_key(file: Path, text: str, said: str) -> None:
    found = problems(file, text)
    assert [line for line in found if said in line], found
    assert all(line.startswith("PLACEMENTS_FILE: ") and "\n" not in line for line in found)


def test_all_mistakes_are_named_at_once(file: Path) -> None:
    text = '[placements.a]\ntps = 0\n[placements.b]\ncampaign_arn = "x"\nunknown = 1\n'
    assert len(problems(file, text)) >= 3


def test_a_file_that_is_not_there_is_one_line(file: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert caught.value.problems == (f"PLACEMENTS_FILE: {file} cannot be read: No such file or directory",)


def test_what_the_contract_shows_is_read(file: Path) -> None:
    file.write_text(
        f"""
[placements.for-you]
campaign_arn = "{CAMPAIGN}"
tps = 20
filter_arn = "{FILTER}"
exclusion_filter = 'EXCLUDE ItemID WHERE Items.IN_STOCK = "false"'
fresh_seconds = 900
max_per = {{ category = 2 }}
context = {{ DEVICE = "email" }}
context_names = ["SEASON"]
promotion = {{ name = "sale", percent = 20, filter_arn = "{FILTER}" }}
variants = [ {{ name = "v2", share = 0.2, campaign_arn = "{CAMPAIGN}2", tps = 5 }},
             {{ name = "holdout", share = 0.1, popular = true }} ]
pin = [{{ item = "a", slot = 1, until = 2026-12-24T00:00:00Z }}]

[placements.because-you-bought]
kind = "similar-items"
recommender_arn = "{RECOMMENDER}"
needs_user = true
item_from = "Purchase"
fallback = ["for-you"]
"""
    )
    placements = load_settings().placements
    assert list(placements) == ["for-you", "because-you-bought"]
    assert placements["for-you"].tps == 20
    assert [one.name for one in placements["for-you"].variants] == ["v2", "holdout"]
