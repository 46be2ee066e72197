"""Every command reads the environment and `.env` as the service does, and an option goes before both."""

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.settings import Settings

CAMPAIGN = "arn:aws:personalize:eu-west-1:123456789012:campaign/shop"
ITEMS = """id,url,title,price,image,stock
a,https://x/a,Ann,1,https://x/a.png,0
b,https://x/b,Bob,2,https://x/b.png,5
c,https://x/c,Cid,3,https://x/c.png,7
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.lower() in Settings.model_fields or name.startswith("AWS_") or name == "ADMIN_KEY":
            monkeypatch.delenv(name)
    return tmp_path


def env_file(**variables: str) -> None:
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()), "utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def planned(*options: str) -> dict[str, Any]:
    result = run("plan", "--recipients", "10", "--minutes", "1", "--json", *options)
    assert result.exit_code == 0, result.output
    send: dict[str, Any] = json.loads(result.stdout)["send"]
    return send


class PlanSetting(NamedTuple):
    """A setting that `plan` reads: its option, its name in the plan, its default, and three other values."""

    option: str
    variable: str
    field: str
    default: float
    values: tuple[float, float, float]


@pytest.mark.parametrize(
    "setting",
    [
        PlanSetting("--tps", "PERSONALIZE_TPS", "tps", 1, (7, 8, 9)),
        PlanSetting("--fresh-seconds", "CACHE_FRESH_SECONDS", "fresh_seconds", 900, (120, 130, 140)),
        PlanSetting("--stale-seconds", "CACHE_STALE_SECONDS", "stale_seconds", 604_800, (1000, 1001, 1002)),
        PlanSetting("--deadline", "REQUEST_DEADLINE_SECONDS", "deadline_seconds", 1.5, (1.1, 1.2, 1.3)),
    ],
    ids=lambda setting: setting.option,
)
def test_plan_takes_an_option_before_the_environment_before_the_file_before_the_default(
    monkeypatch: pytest.MonkeyPatch, setting: PlanSetting
) -> None:
    in_file, in_environment, as_option = setting.values
    assert planned()[setting.field] == setting.default
    env_file(**{setting.variable: str(in_file)})
    assert planned()[setting.field] == in_file
    monkeypatch.setenv(setting.variable, str(in_environment))
    assert planned()[setting.field] == in_environment
    assert planned(setting.option, str(as_option))[setting.field] == as_option


def test_an_option_makes_up_for_a_wrong_value_of_its_setting() -> None:
    env_file(PERSONALIZE_TPS="many", REDIS_URL="nowhere")

    result = run("plan", "--recipients", "10", "--minutes", "1")

    assert result.exit_code == 2
    assert result.stderr == "PERSONALIZE_TPS: 'many' is not a number above 0 and at most 2500\n"
    assert planned("--tps", "5")["tps"] == 5


def test_a_line_that_sets_nothing_stops_a_command_instead_of_being_passed_over() -> None:
    """F4: as YAML, cmd.exe and an editor write it; what stands there may be a secret."""
    text = "# ours\nPORT=80\n\nPERSONALIZE_TPS: 20\nexport PORT=81 # fine\nset API_KEYS=secret\nPOPULAR_ITEMS='a,b\n"
    Path(".env").write_text(text, "utf-8")

    result = run("plan", "--recipients", "10", "--minutes", "1")

    assert result.exit_code == 2
    why = "is no NAME=value, or its quote is not closed; a comment begins with #"
    assert result.stderr.splitlines() == [f".env: line {number} {why}" for number in (4, 6, 7)]


def test_a_reference_to_a_variable_that_is_not_set_stops_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """F4: it was read as nothing, so the default was used."""
    env_file(PERSONALIZE_TPS="${TPS_OF_OURS}", FOREIGN="${OTHER_OF_OURS}")

    result = run("plan", "--recipients", "10", "--minutes", "1")

    assert result.exit_code == 2
    assert result.stderr == "PERSONALIZE_TPS: ${TPS_OF_OURS} is set neither in .env nor in the environment\n"
    monkeypatch.setenv("TPS_OF_OURS", "7")
    assert planned()["tps"] == 7
    env_file(PERSONALIZE_TPS="${NEVER_SET:-8}")
    assert planned()["tps"] == 8


def test_plan_refuses_lists_that_are_fresh_for_longer_than_they_are_served() -> None:
    env_file(CACHE_STALE_SECONDS="60")

    result = run("plan", "--recipients", "10", "--minutes", "1")

    assert result.exit_code == 2
    assert result.stderr.startswith("CACHE_STALE_SECONDS: 60 is less than CACHE_FRESH_SECONDS, 900")


@pytest.fixture
def items(folder: Path) -> Path:
    path = folder / "items.csv"
    path.write_text(ITEMS, "utf-8")
    return path


def test_catalog_check_reads_address_columns_and_exclusion_of_the_file(items: Path) -> None:
    exclusion = "EXCLUDE ItemID WHERE Items.STOCK = 0"
    env_file(CATALOG_URL=items.as_uri(), CATALOG_COLUMNS="name=title", EXCLUSION_FILTER=f"'{exclusion}'")

    result = run("catalog", "check")

    assert result.exit_code == 0, result.output
    assert "items.csv" in result.stdout.splitlines()[0]
    assert figures(result)["items that can be shown"] == 3
    assert figures(result)["left by all together"] == 2


def test_options_of_catalog_check_go_before_the_environment_and_the_file(
    items: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file(CATALOG_URL="file:nowhere.csv", CATALOG_COLUMNS="name=nothing", EXCLUSION_FILTER="none at all")
    monkeypatch.setenv("CATALOG_COLUMNS", "name=nothing_either")

    result = run(
        *("catalog", "check", items.as_uri(), "--columns", "name=title"),
        *("--exclusion-filter", "EXCLUDE ItemID WHERE Items.STOCK < 6"),
    )

    assert result.exit_code == 0, result.output
    assert figures(result)["left by all together"] == 1


def test_catalog_check_without_an_address_says_what_is_missing() -> None:
    result = run("catalog", "check")

    assert result.exit_code == 2
    assert result.stderr.startswith("CATALOG_URL: is required")


def test_a_catalogue_that_cannot_be_read_is_exit_status_1(folder: Path) -> None:
    result = run("catalog", "check", (folder / "nowhere.csv").as_uri())

    assert result.exit_code == 1
    assert "nowhere.csv" in result.stderr


def figures(result: Result) -> dict[str, int]:
    """The report's counts, by what they count."""
    found = re.findall(r"^  (\S.*?) {2,}([0-9,]+)", result.stdout, re.MULTILINE)
    return {words: int(count.replace(",", "")) for words, count in found}


def test_serve_reads_the_file() -> None:
    env_file(PERSONALIZE_CAMPAIGN_ARN=CAMPAIGN, CATALOG_URL="file:items.csv", ALLOW_ANONYMOUS="true", PORT="70000")

    result = run("serve")

    assert result.exit_code == 2
    assert result.stderr == "PORT: '70000' is not a whole number of at least 0 and at most 65535\n"


def test_batch_reads_the_file(folder: Path) -> None:
    env_file(
        PERSONALIZE_CAMPAIGN_ARN=CAMPAIGN,
        CATALOG_URL="file:items.csv",
        ALLOW_ANONYMOUS="true",
        DATA_DIR=str(folder / "kept"),
    )

    assert run("batch", "status").output == "no batch lists are active\n"
    assert run("batch", "drop").exit_code == 0
    assert (folder / "kept").is_dir()


def test_prewarm_reads_settings_and_its_key_of_the_file(folder: Path) -> None:
    users = folder / "users.csv"
    users.write_text("user_id\nann\n", "utf-8")
    env_file(PERSONALIZE_CAMPAIGN_ARN=CAMPAIGN, CATALOG_URL="file:items.csv", ALLOW_ANONYMOUS="true")

    shared = run("prewarm", "--users", str(users))
    without_key = run("prewarm", "--users", str(users), "--service", "http://127.0.0.1:1")
    env_file(ADMIN_KEY="boss")
    with_key = run("prewarm", "--users", str(users), "--service", "http://127.0.0.1:1")

    assert [one.exit_code for one in (shared, without_key, with_key)] == [2, 2, 2]
    assert shared.stderr == "REDIS_URL: is not set, so the budget is the replica's; name it with --service URL\n"
    assert without_key.stderr == "ADMIN_KEY: is not set; --service needs one of the service's ADMIN_KEYS\n"
    assert with_key.stderr == "the service does not answer: ClientConnectorError\n"
