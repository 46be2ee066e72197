import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.credentials import hash_key
from service.errors import ConfigurationError
from service.settings import Settings, load_settings
from service.settings.unknown import unknown_variables

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
CAMPAIGN = "arn:aws:personalize:eu-west-1:123456789012:campaign/shop"
RECOMMENDER = "arn:aws:personalize:eu-west-1:123456789012:recommender/shop"
FILTER = "arn:aws:personalize:eu-west-1:123456789012:filter/bought"
ENOUGH = {
    "PERSONALIZE_CAMPAIGN_ARN": CAMPAIGN,
    "CATALOG_URL": "file:///items.csv",
    "ALLOW_ANONYMOUS": "true",
}
CONTRACT = {
    "HOST", "PORT", "PERSONALIZE_CAMPAIGN_ARN", "PERSONALIZE_RECOMMENDER_ARN", "PERSONALIZE_TPS",
    "PERSONALIZE_FILTER_ARN", "CATALOG_URL", "REDIS_URL", "CACHE_FRESH_SECONDS", "CACHE_STALE_SECONDS",
    "CACHE_MAX_MB", "REQUEST_DEADLINE_SECONDS", "EXCLUSION_FILTER", "POPULAR_ITEMS",
    "CATALOG_REFRESH_SECONDS", "CATALOG_MAX_SHRINK",
    "DATA_DIR", "API_KEYS", "BASIC_AUTH", "ADMIN_KEYS", "ALLOW_ANONYMOUS", "LOG_LEVEL", "LOG_FORMAT",
    "CATALOG_COLUMNS", "CATALOG_FILE", "ACCESS_LOG_SAMPLE", "USER_KEY_SECRET", "DRAIN_SECONDS",
    "API_KEYS_FILE", "BASIC_AUTH_FILE", "ADMIN_KEYS_FILE", "METRICS_ACCESS", "DOCS_ACCESS", "CONSOLE_ACCESS",
    "CONSOLE_HOSTS", "CONSOLE_SECRET", "API_KEY_WEIGHTS",
    "EVENT_KEYS", "EVENT_KEYS_FILE", "PERSONALIZE_TRACKING_ID", "PERSONALIZE_EVENTS_TPS", "EVENT_TYPES",
    "PERSONALIZE_ITEMS_DATASET_ARN", "PERSONALIZE_USERS_DATASET_ARN",
    "EVENT_ITEM_ID", "EXCLUDE_AFTER", "GROUP_COLUMN",
    "LISTS_LIVE_UNTIL_EVENT", "SEND_PIN_SECONDS", "GO_KEYS", "GO_URL", "GO_EVENT_TYPE",
    "EXPECTED_REPLICAS", "REPLICA_LINKS", "REPLICA_LINKS_PORT",
    "PLACEMENTS_FILE", "TOP_UP", "ROOT_PATH", "CATEGORY_COLUMN",
    "SIMILAR_ITEMS_CAMPAIGN_ARN", "SIMILAR_ITEMS_RECOMMENDER_ARN", "SIMILAR_ITEMS_TPS", "SIMILAR_ITEMS_FILTER_ARN",
    "RANKING_CAMPAIGN_ARN", "RANKING_TPS", "RANKING_FILTER_ARN",
}  # fmt: skip


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper() in CONTRACT or name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> "type[Given]":
    Given.monkeypatch = monkeypatch
    return Given


class Given:
    """The settings of an environment that would do, changed by some variables; None takes one away."""

    monkeypatch: pytest.MonkeyPatch

    @classmethod
    def settings(cls, **variables: str | None) -> Settings:
        for name, value in {**ENOUGH, **variables}.items():
            if value is None:
                cls.monkeypatch.delenv(name, raising=False)
            else:
                cls.monkeypatch.setenv(name, value)
        return load_settings()

    @classmethod
    def problems(cls, **variables: str | None) -> tuple[str, ...]:
        with pytest.raises(ConfigurationError) as caught:
            cls.settings(**variables)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        assert not any("\n" in problem for problem in caught.value.problems)
        return caught.value.problems


def shown(default: object) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:.10g}" if isinstance(default, float) else str(default)


def test_the_variables_are_those_of_the_contract() -> None:
    assert {name.upper() for name in Settings.model_fields} == CONTRACT


def test_the_example_names_every_variable_with_its_default_and_one_line() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    found = {}
    for number, line in enumerate(lines):
        if match := re.fullmatch(r"([A-Z_]+)=(.*)", line):
            found[match[1]] = match[2]
            assert lines[number - 1].startswith("# "), f"{match[1]} has no comment"
            assert not lines[number - 2].startswith("# "), f"{match[1]} has more than one line"
    assert found == {name.upper(): shown(field.default) for name, field in Settings.model_fields.items()}


def test_the_example_is_read_like_an_empty_environment(given: type[Given]) -> None:
    ours = given.settings()
    Given.monkeypatch.setenv("ALLOW_ANONYMOUS", "true")
    assert load_settings(EXAMPLE) == ours


def test_little_is_enough(given: type[Given]) -> None:
    settings = given.settings()
    assert (settings.host, settings.port, settings.personalize_tps) == ("0.0.0.0", 8000, 1)  # noqa: S104
    assert (settings.first_placement.arn, settings.user_key) == (CAMPAIGN, CAMPAIGN)
    assert (settings.api_key_list, settings.admin_key_list, settings.basic_auth_pair) == ([], [], None)
    assert (settings.column_mapping, settings.popular_ids, settings.redis_url) == ({}, [], None)


def test_everything_given_is_read(given: type[Given]) -> None:
    settings = given.settings(
        PERSONALIZE_CAMPAIGN_ARN=None,
        PERSONALIZE_RECOMMENDER_ARN=RECOMMENDER,
        PERSONALIZE_FILTER_ARN=FILTER,
        PERSONALIZE_TPS="0.5",
        CATALOG_COLUMNS="name=product_name, price = PRICE_USD,",
        REDIS_URL="rediss://:pw@cache.example.com:6380/1",
        POPULAR_ITEMS="a, b,,c ",
        API_KEYS="k1-in-a-key-of-the-tests-1, k2-in-a-key-of-the-tests-1",
        ADMIN_KEYS="boss-in-a-key-of-the-tests-1",
        BASIC_AUTH="braze:a:b",
        USER_KEY_SECRET="salt",
        LOG_LEVEL="WARNING",
        LOG_FORMAT="text",
        PORT="0",
        DATA_DIR="/var/lib/connect",
    )
    assert settings.first_placement.arn == RECOMMENDER
    assert settings.personalize_filter_arn == FILTER
    assert settings.personalize_tps == 0.5
    assert settings.column_mapping == {"name": "product_name", "price": "PRICE_USD"}
    assert settings.popular_ids == ["a", "b", "c"]
    assert (settings.api_key_list, settings.admin_key_list) == (
        ["k1-in-a-key-of-the-tests-1", "k2-in-a-key-of-the-tests-1"],
        ["boss-in-a-key-of-the-tests-1"],
    )
    assert (settings.basic_auth_pair, settings.user_key) == ("braze:a:b", "salt")
    assert settings.redis_url == SecretStr("rediss://:pw@cache.example.com:6380/1")
    assert (settings.log_level, settings.log_format, settings.port) == ("warning", "text", 0)
    assert settings.data_dir == Path("/var/lib/connect")


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_value_is_the_default(given: type[Given], blank: str) -> None:
    assert given.settings(**dict.fromkeys(CONTRACT - ENOUGH.keys(), blank)) == given.settings()


def test_no_secret_is_shown(given: type[Given]) -> None:
    settings = given.settings(
        API_KEYS="hush1-in-a-key-of-the-tests-1",
        ADMIN_KEYS="hush2-in-a-key-of-the-tests-1",
        BASIC_AUTH="u:hush3",
        REDIS_URL="redis://:hush4@h",
        USER_KEY_SECRET="hush5",
    )
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings.model_dump())


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PORT", "70000", "'70000' is not a whole number of at least 0 and at most 65535"),
        ("PORT", "-1", "'-1' is not a whole number of at least 0 and at most 65535"),
        ("PORT", "http", "'http' is not a whole number of at least 0 and at most 65535"),
        ("ROOT_PATH", "personalize", "'personalize' is not the beginning of a path; write / and letters"),
        ("ROOT_PATH", "https://shop.example.com/personalize", "is not the beginning of a path; write / and letters"),
        ("ROOT_PATH", "/personalize/*", "'/personalize/*' is not the beginning of a path; write / and letters"),
        ("ROOT_PATH", "/a//b", "'/a//b' is not the beginning of a path; write / and letters"),
        ("ROOT_PATH", "/a/../b", "'/a/../b' is not the beginning of a path; write / and letters"),
        ("ROOT_PATH", "/a b", "'/a b' is not the beginning of a path; write / and letters"),
        ("ROOT_PATH", f"/{'a' * 200}", "has 201 characters; at most 200"),
        ("ROOT_PATH", "/users", "'/users': paths of the service begin so; use another prefix"),
        ("PERSONALIZE_TPS", "0", "'0' is not a number above 0 and at most 2500"),
        ("PERSONALIZE_TPS", "2501", "'2501' is not a number above 0 and at most 2500"),
        ("PERSONALIZE_TPS", "inf", "'inf' is not a number above 0 and at most 2500"),
        ("PERSONALIZE_TPS", "nan", "'nan' is not a number above 0 and at most 2500"),
        ("PERSONALIZE_TPS", "x" * 99, f"'{'x' * 60}...' is not a number above 0 and at most 2500"),
        ("CATALOG_REFRESH_SECONDS", "0", "'0' is not a number of at least 1 and at most 86400"),
        ("CACHE_FRESH_SECONDS", "-1", "'-1' is not a number of at least 0 and at most 2592000"),
        ("CACHE_STALE_SECONDS", "1e9", "'1e9' is not a number of at least 0 and at most 31536000"),
        ("CACHE_STALE_SECONDS", "899", "899 is less than CACHE_FRESH_SECONDS, 900; must be at least as much"),
        ("CACHE_MAX_MB", "0", "'0' is not a number of at least 1 and at most 65536"),
        ("REQUEST_DEADLINE_SECONDS", "0.05", "'0.05' is not a number of at least 0.1 and at most 30"),
        ("REQUEST_DEADLINE_SECONDS", "31", "'31' is not a number of at least 0.1 and at most 30"),
        ("ACCESS_LOG_SAMPLE", "1.1", "'1.1' is not a number of at least 0 and at most 1"),
        ("DRAIN_SECONDS", "301", "'301' is not a number of at least 0 and at most 300"),
        ("ALLOW_ANONYMOUS", "maybe", "'maybe' is not true or false"),
        ("LOG_LEVEL", "loud", "'loud' is not one of debug, info, warning, error, critical"),
        ("METRICS_ACCESS", "closed", "'closed' is not one of open, keyed, off"),
        ("API_KEY_WEIGHTS", "0", "'0' is no number from 0.01 to 100.0"),
        ("API_KEY_WEIGHTS", "twice", "'twice' is no number from 0.01 to 100.0"),
        ("API_KEY_WEIGHTS", "1,2,3", "has 3 weights for "),
        ("CONSOLE_SECRET", "short", "has 5 characters; at least 24"),
        (
            "CONSOLE_HOSTS",
            "a.example,https://b.example",
            "'https://b.example' is no host name; write",
        ),
        ("DOCS_ACCESS", "closed", "'closed' is not one of open, keyed, off"),
        ("API_KEYS_FILE", "/none/such", "'/none/such' cannot be read: No such file or directory"),
        ("BASIC_AUTH_FILE", "/", "'/' cannot be read: Is a directory"),
        ("ADMIN_KEYS_FILE", "/dev/null", "'/dev/null' holds no credential"),
        ("API_KEYS", "blake2b:hush", "a hash is cut short; `personalize-connect hash-key` makes one"),
        ("LOG_FORMAT", "xml", "'xml' is not one of json, text"),
        ("PERSONALIZE_CAMPAIGN_ARN", "shop", "'shop' is not the ARN of a campaign"),
        ("PERSONALIZE_CAMPAIGN_ARN", RECOMMENDER, "is not the ARN of a campaign"),
        ("PERSONALIZE_FILTER_ARN", CAMPAIGN, "is not the ARN of a filter"),
        ("CATALOG_URL", "/items.csv", "must begin with one of file://, s3://, dynamodb://"),
        ("CATALOG_URL", "https://u:hush@x/items.csv", "must begin with one of file://, s3://, dynamodb://"),
        ("REDIS_URL", "cache:6379", "must begin with one of redis://, rediss://, unix:// and name a host"),
        (
            "REDIS_URL",
            "http://:hush@cache",
            "must begin with one of redis://, rediss://, unix:// and name a host",
        ),
        ("REDIS_URL", "redis://", "must begin with one of redis://, rediss://, unix:// and name a host"),
        (
            "REDIS_URL",
            "redis://cache:port",
            "must begin with one of redis://, rediss://, unix:// and name a host",
        ),
        ("BASIC_AUTH", "hush", "must be user:password, neither of them empty"),
        ("BASIC_AUTH", "hush:", "must be user:password, neither of them empty"),
        ("BASIC_AUTH", ":hush", "must be user:password, neither of them empty"),
        ("API_KEYS", " , ", "holds commas but no key"),
        ("API_KEYS", "a", "a key has 1 characters; at least 24 are needed, such as `openssl rand -hex 16` prints"),
        ("ADMIN_KEYS", "hush", "a key has 4 characters; at least 24 are needed"),
        ("EVENT_KEYS", f"{'x' * 24}, {'hush' * 5}", "a key has 20 characters; at least 24 are needed"),
        ("ADMIN_KEYS", ",", "holds commas but no key"),
        (
            "CATALOG_COLUMNS",
            "title=x",
            "'title=x' is not OURS=THEIRS with OURS one of id, url, name, price, image",
        ),
        ("CATALOG_COLUMNS", "name", "'name=' is not OURS=THEIRS"),
        ("CATALOG_COLUMNS", "name=a,name=b", "'name' stands 2 times among ours; must be once"),
        ("CATALOG_COLUMNS", "name=a,price=a", "'a' stands 2 times among theirs; must be once"),
        ("POPULAR_ITEMS", f"a,{'x' * 257}", "an id is longer than 256 characters"),
    ],
)
def test_a_wrong_value_is_one_line(given: type[Given], name: str, value: str, problem: str) -> None:
    (line,) = given.problems(**{name: value})
    assert line.startswith(f"{name}: ")
    assert problem in line
    assert "hush" not in line


def test_exactly_one_arn_is_needed(given: type[Given]) -> None:
    both = "PERSONALIZE_CAMPAIGN_ARN, PERSONALIZE_RECOMMENDER_ARN:"
    assert given.problems(PERSONALIZE_CAMPAIGN_ARN=None) == (
        f"{both} neither is set; one is required, or another placement's ARN, or PLACEMENTS_FILE",
    )
    assert given.problems(PERSONALIZE_CAMPAIGN_ARN=CAMPAIGN, PERSONALIZE_RECOMMENDER_ARN=RECOMMENDER) == (
        f"{both} both are set; exactly one is needed",
    )


def test_the_catalogue_is_required(given: type[Given]) -> None:
    (line,) = given.problems(CATALOG_URL=None)
    assert line.startswith("CATALOG_URL: is required")


def test_a_start_without_credentials_must_be_asked_for(given: type[Given]) -> None:
    (line,) = given.problems(ALLOW_ANONYMOUS=None)
    assert line.startswith("API_KEYS, BASIC_AUTH: no credential is set")
    assert given.settings(ALLOW_ANONYMOUS=None, API_KEYS="k1-in-a-key-of-the-tests-1").api_key_list == [
        "k1-in-a-key-of-the-tests-1"
    ]


def test_credentials_are_read_from_mounted_files_too(given: type[Given], tmp_path: Path) -> None:
    keys, admin, basic = tmp_path / "keys", tmp_path / "admin", tmp_path / "basic"
    keys.write_text(
        "# until March\nold-in-a-key-of-the-tests-1\n\nnew-in-a-key-of-the-tests-1,newer-in-a-key-of-the-tests-1\n"
    )
    admin.write_text("boss-in-a-key-of-the-tests-1\n")
    basic.write_text("braze:a,b\nbraze:c\n")
    settings = given.settings(
        ALLOW_ANONYMOUS=None,
        API_KEYS="first-in-a-key-of-the-tests-1",
        API_KEYS_FILE=str(keys),
        ADMIN_KEYS_FILE=str(admin),
        BASIC_AUTH="braze:0",
        BASIC_AUTH_FILE=str(basic),
    )
    assert settings.api_key_list == [
        "first-in-a-key-of-the-tests-1",
        "old-in-a-key-of-the-tests-1",
        "new-in-a-key-of-the-tests-1",
        "newer-in-a-key-of-the-tests-1",
    ]
    assert settings.admin_key_list == ["boss-in-a-key-of-the-tests-1"]
    assert settings.basic_auth_list == ["braze:0", "braze:a,b", "braze:c"]


@pytest.mark.parametrize("name", ["API_KEYS_FILE", "ADMIN_KEYS_FILE", "EVENT_KEYS_FILE"])
def test_a_file_with_a_key_that_could_be_guessed_is_refused(given: type[Given], tmp_path: Path, name: str) -> None:
    """F4: `API_KEYS=a` was ready."""
    path = tmp_path / "keys"
    path.write_text(f"{'x' * 24}\nhush\n")
    (line,) = given.problems(**{name: str(path)})
    assert line == f"{name}: a key has 4 characters; at least 24 are needed, such as `openssl rand -hex 16` prints"


def test_a_hash_of_a_key_may_be_of_any_length_and_a_password_of_a_person_too(given: type[Given]) -> None:
    """F4."""
    hashed = hash_key("x" * 24)
    settings = given.settings(API_KEYS=hashed, BASIC_AUTH="braze:pw")
    assert settings.api_key_list == [hashed]


def test_a_file_of_credentials_is_a_decision(given: type[Given], tmp_path: Path) -> None:
    (tmp_path / "basic").write_text("braze:hush\n")
    given.settings(ALLOW_ANONYMOUS=None, BASIC_AUTH_FILE=str(tmp_path / "basic"))
    (tmp_path / "basic").write_text("hush\n")
    (line,) = given.problems(ALLOW_ANONYMOUS=None, BASIC_AUTH_FILE=str(tmp_path / "basic"))
    assert line == "BASIC_AUTH_FILE: must be user:password, neither of them empty"


def test_an_api_key_is_no_admin_key(given: type[Given]) -> None:
    (line,) = given.problems(
        API_KEYS="hush-in-a-key-of-the-tests-1,other-in-a-key-of-the-tests-1",
        ADMIN_KEYS="boss-in-a-key-of-the-tests-1,hush-in-a-key-of-the-tests-1",
    )
    assert line.startswith("ADMIN_KEYS: shares a key with API_KEYS")
    assert "hush" not in line


def test_all_mistakes_come_at_once(given: type[Given]) -> None:
    problems = given.problems(
        PORT="x",
        PERSONALIZE_TPS="0",
        PERSONALIZE_CAMPAIGN_ARN="x",
        CATALOG_URL="x",
        ALLOW_ANONYMOUS="false",
        BASIC_AUTH=None,
        REDIS_URL="x",
        LOG_FORMAT="x",
    )
    assert [line.partition(":")[0] for line in problems] == [
        "PORT", "LOG_FORMAT", "PERSONALIZE_CAMPAIGN_ARN", "PERSONALIZE_TPS", "CATALOG_URL", "REDIS_URL",
        "API_KEYS, BASIC_AUTH",
    ]  # fmt: skip


def test_a_file_is_read_and_the_environment_goes_before_it(given: type[Given], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nCACHE_MAX_MB=64\nSOMETHING_ELSE=1\n")
    settings = given.settings(PORT="9002")
    assert (settings.port, settings.cache_max_mb) == (9002, 64)


def test_the_sdk_finds_its_variables_of_the_file(
    given: type[Given], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME", "")
    monkeypatch.delenv("AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME")
    (tmp_path / ".env").write_text("AWS_REGION=us-east-1\nAWS_ENDPOINT_URL_PERSONALIZE_RUNTIME=http://local:9100\n")
    given.settings()
    assert os.environ["AWS_REGION"] == "eu-west-1"
    assert os.environ["AWS_ENDPOINT_URL_PERSONALIZE_RUNTIME"] == "http://local:9100"


def test_a_file_that_is_not_text_is_named(given: type[Given], tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        given.settings()


@pytest.mark.parametrize("name", ["API_KEYS", "ADMIN_KEYS", "EVENT_KEYS"])
def test_a_file_of_keys_that_an_editor_of_windows_has_saved_is_read(
    given: type[Given], tmp_path: Path, name: str
) -> None:
    """I6"""
    path = tmp_path / "keys"
    path.write_bytes(b"\xef\xbb\xbf" + b"k" * 24 + b"\r\n" + b"l" * 24 + b"\r\n")
    settings = given.settings(**{f"{name}_FILE": str(path)})
    assert getattr(settings, f"{name[:-1].lower()}_list") == ["k" * 24, "l" * 24]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (("k" * 40).encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"k" * 10 + b"," + b"k" * 20, "line 1: a comma ends a key; write one key a line"),
        (b"\n# mine\n" + b"k" * 24 + b'\n"' + b"k" * 24 + b'"', "line 4: is in quotes"),
        (b"'" + b"k" * 24 + b"'", "line 1: is in quotes"),
        ("k" * 12 + "\u200b" + "k" * 12, "line 1: holds an invisible character, U+200B"),
        ("k" * 24 + "\u00ad", "line 1: holds an invisible character, U+00AD"),
        (b"k" * 2_000, "line 1: is longer than 1024 bytes"),
    ],
)
def test_a_key_that_would_open_to_nobody_is_named(
    given: type[Given], tmp_path: Path, written: bytes | str, problem: str
) -> None:
    """I6"""
    path = tmp_path / "keys"
    path.write_bytes(written if isinstance(written, bytes) else written.encode())
    lines = given.problems(API_KEYS_FILE=str(path))
    assert [line for line in lines if line.startswith("API_KEYS_FILE: ") and problem in line], lines
    assert not [line for line in lines if "kkkk" in line]


def test_a_key_in_quotes_is_named_in_the_environment_too(given: type[Given]) -> None:
    """I6"""
    (line,) = given.problems(API_KEYS=f"{'k' * 24},'{'k' * 24}'")
    assert line == "API_KEYS: credential 2: is in quotes; write it without them"
    (line,) = given.problems(API_KEYS=None, BASIC_AUTH='"braze:hush"')
    assert line.startswith("BASIC_AUTH: credential 1: is in quotes")


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_value_in_the_quotes_that_docker_keeps_is_named(given: type[Given], quote: str) -> None:
    """F4: DATA_DIR made a folder with quotes in its name, and a quoted AWS_ACCESS_KEY_ID was refused by AWS only."""
    values = {
        "POPULAR_ITEMS": "a,b",
        "DATA_DIR": "/data",
        "PERSONALIZE_TPS": "20",
        "ALLOW_ANONYMOUS": "true",
        "REDIS_URL": "redis://:hush@redis:6379/0",
        "PERSONALIZE_TRACKING_ID": "tracker",
        "AWS_REGION": "eu-west-1",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }
    lines = given.problems(**{name: f"{quote}{value}{quote}" for name, value in values.items()})
    wanted = "is in quotes, which docker's --env-file and Kubernetes keep; write it without them"
    assert sorted(lines) == sorted(f"{name}: {wanted}" for name in values)


def test_a_file_of_a_secret_that_cannot_be_one_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """F4: a replica with REDIS_URL_FILE, as other images have it, was embedded without a word."""
    for name in ("REDIS_URL_FILE", "USER_KEY_SECRET_FILE", "API_KEYS_FILE", "REDIS_PORT"):
        monkeypatch.setenv(name, "/run/secrets/one")

    assert unknown_variables() == [
        ("REDIS_URL_FILE", "REDIS_URL"),
        ("USER_KEY_SECRET_FILE", "USER_KEY_SECRET"),
    ]


@pytest.mark.parametrize("name", ["CATALOG_URL", "ROOT_PATH", "PLACEMENTS_FILE", "PERSONALIZE_FILTER_ARN", "GO_URL"])
@pytest.mark.parametrize("login", ["user:hidden", "hidden", ":hidden" * 20])
def test_no_line_repeats_a_login_of_an_address(given: type[Given], name: str, login: str) -> None:
    """E5, I8: what errors and the log name is refused where it holds a secret."""
    lines = given.problems(**{name: f"s3://{login}@bucket/items.csv"})
    assert f"{name}: holds an address with a user or password, which it has no use for; write it without" in lines
    assert "hidden" not in "".join(lines)


def test_a_secret_may_begin_and_end_with_quotes(given: type[Given]) -> None:
    """F4: only a value that cannot work so is refused."""
    assert given.settings(USER_KEY_SECRET='"quoted"').user_key == '"quoted"'


def test_an_env_file_that_an_editor_of_windows_has_saved_is_read(
    given: type[Given], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I6"""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPORT=8123\r\nDRAIN_SECONDS=7\r\n")
    settings = given.settings()
    assert (settings.port, settings.drain_seconds) == (8123, 7)
