"""Every template that we tell others to use, rendered as Braze does against the real service."""

import csv
import re
import socket
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import pytest

from service.local_personalize.arns import RANKING_ARN, SIMILAR_ITEMS_ARN
from tests.support.liquid import MessageAborted, render
from tests.support.processes import ROOT, SAMPLE, Process, service
from tests.support.waiting import wait_until

NAME = """Tom & Jerry's "Best of" <b>😀</b>"""
CREDENTIALS = {
    ":basic_auth": {"Authorization": "Basic " + b64encode(b"braze:pass:word").decode()},
    ":auth_credentials": {"X-API-Key": "an-api-key-of-these-tests"},
}
WRONG = {
    ":basic_auth": {"Authorization": "Basic " + b64encode(b"braze:word").decode()},
    ":auth_credentials": {"X-API-Key": "another-key"},
}
STRANGE_USER = "a+b&c#d e/ü😀"


def blocks() -> dict[str, str]:
    """Each template of the pages, by page and heading."""
    found = {}
    for page in ("README.md", "docs/braze/templates.md"):
        text = (ROOT / page).read_text("utf-8")
        for heading, body in re.findall(r"^#+ (.+?)\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL):
            for template in re.findall(r"```liquid\n(.*?)```", body, re.DOTALL):
                found[f"{page}: {heading}"] = template
    return found


TEMPLATES = blocks()
EMAIL = TEMPLATES["docs/braze/templates.md: Email"]
CART = "docs/braze/templates.md: Abandoned cart"
EDIT = "docs/braze/templates.md: A curated edit"
every_template = pytest.mark.parametrize("name", list(TEMPLATES))


def message(
    template: str,
    port: int,
    user_id: str = "user1",
    credentials: Mapping[str, Mapping[str, str]] = CREDENTIALS,
) -> str:
    """What the user gets; the stored credential is of the kind that the template names."""
    kind = ":basic_auth" if ":basic_auth" in template else ":auth_credentials"
    here = template.replace("https://recommendations.example.com/", f"http://127.0.0.1:{port}/")
    return render(here, {"recommendations": credentials[kind]}, user_id=user_id)


@contextmanager
def shop(personalize: Process, folder: Path, items: int | None = None) -> Iterator[Process]:
    """A closed service over the sample with names that no template should trip over."""
    with (SAMPLE / "items.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:items]
    catalog = folder / "items.csv"
    with catalog.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "name": NAME, "url": row["url"] + "?a=1&b=2"} for row in rows)
    with service(
        personalize,
        catalog=catalog,
        PERSONALIZE_TPS="50",
        SIMILAR_ITEMS_CAMPAIGN_ARN=SIMILAR_ITEMS_ARN,
        SIMILAR_ITEMS_TPS="50",
        RANKING_CAMPAIGN_ARN=RANKING_ARN,
        RANKING_TPS="50",
        ALLOW_ANONYMOUS="false",
        BASIC_AUTH="braze:pass:word",
        API_KEYS="an-api-key-of-these-tests",
        ADMIN_KEYS="an-admin-key-of-the-tests",
        DATA_DIR=str(folder / "data"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def port(personalize: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with shop(personalize, tmp_path_factory.mktemp("shop")) as running:
        yield running.port


@pytest.fixture(scope="module")
def empty_port(personalize: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A service whose every answer is `[]`: its only item is blocked."""
    with shop(personalize, tmp_path_factory.mktemp("empty"), items=1) as running:
        block = urllib.request.Request(  # noqa: S310  # loopback only
            f"{running.url}/items/kettle-copper/block", method="PUT", headers={"X-API-Key": "an-admin-key-of-the-tests"}
        )
        with urllib.request.urlopen(block) as answer:  # noqa: S310  # loopback only
            assert answer.status == 200
        yield running.port


@pytest.fixture
def dead_port() -> Iterator[int]:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        yield refusing.getsockname()[1]


class Shown(HTMLParser):
    """What a mail program makes of a message."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_pages_hold_the_templates_that_they_promise() -> None:
    assert set(TEMPLATES) == {
        "README.md: In a Braze template",
        *(
            f"docs/braze/templates.md: {heading}"
            for heading in (
                "Content Card",
                "Email",
                "Push",
                "Abandoned cart",
                "A curated edit",
                "Where the list comes from",
            )
        ),
    }


@pytest.mark.parametrize("name", [name for name in TEMPLATES if name != CART])
def test_each_asks_for_exactly_the_user(name: str, personalize: Process, port: int) -> None:
    user_id = f"{STRANGE_USER} {name}"

    def is_asked_for() -> bool:
        message(TEMPLATES[name], port, user_id)
        return user_id in personalize.get_json("/_stats")["by_user"]

    # On a busy machine a call may be over before its slot.
    wait_until(is_asked_for)
    assert personalize.get_json("/_stats")["by_user"][user_id] == 1


@pytest.mark.parametrize("name", ["README.md: In a Braze template", "docs/braze/templates.md: Email"])
def test_a_mail_shows_four_items_as_they_are_called(name: str, port: int) -> None:
    shown = Shown(message(TEMPLATES[name], port))

    assert [tag for tag, _ in shown.tags] == ["p", "a", "img"] * 4
    assert [attributes["alt"] for tag, attributes in shown.tags if tag == "img"] == [NAME] * 4
    assert len({attributes["href"] for tag, attributes in shown.tags if tag == "a"}) == 4
    assert all((attributes["href"] or "").endswith("?a=1&b=2") for tag, attributes in shown.tags if tag == "a")
    assert len(re.findall(re.escape(NAME) + r", \$\d+\.\d\d", shown.text)) == 4


def test_all_who_left_an_item_share_one_list_without_it(personalize: Process, port: int) -> None:
    before = len(personalize.get_json("/_stats")["arrivals_without_user"])

    mails = [Shown(message(TEMPLATES[CART], port, user)) for user in ("user1", "user2", STRANGE_USER, "")]

    assert len(personalize.get_json("/_stats")["arrivals_without_user"]) <= before + 1
    for shown in mails:
        links = {attributes["href"] or "" for tag, attributes in shown.tags if tag == "a"}
        assert len(links) == 4
        assert not [link for link in links if "kettle-copper" in link]


def test_an_edit_shows_three_of_its_items_and_nothing_else(port: int) -> None:
    given = re.findall(r"item_ids=([\w,-]+)", TEMPLATES[EDIT])[0].split(",")
    shown = Shown(message(TEMPLATES[EDIT], port, "user2"))

    links = [attributes["href"] or "" for tag, attributes in shown.tags if tag == "a"]
    assert len(links) == 3
    assert all(any(item_id in link for item_id in given) for link in links)


def test_a_card_has_name_price_image_and_link(port: int) -> None:
    first, image, url = message(TEMPLATES["docs/braze/templates.md: Content Card"], port).strip().splitlines()

    assert re.fullmatch(re.escape(NAME) + r", \$\d+\.\d\d", first)
    assert image.startswith("http://127.0.0.1:8000/sample/images/")
    assert url.startswith("https://shop.example.com/product/")
    assert url.endswith("?a=1&b=2")


def test_a_push_is_plain_text(port: int) -> None:
    assert message(TEMPLATES["docs/braze/templates.md: Push"], port).strip() == f"{NAME} is waiting for you"


def test_a_template_tells_popular_items_from_personal_ones(port: int) -> None:
    template = TEMPLATES["docs/braze/templates.md: Where the list comes from"]

    assert message(template, port).strip().startswith("For you")
    assert message(template, port, "").strip().startswith("Popular now")


@every_template
def test_each_sends_no_message_when_nothing_can_be_shown(name: str, port: int, empty_port: int, dead_port: int) -> None:
    template = TEMPLATES[name]

    with pytest.raises(MessageAborted):
        message(template, empty_port)
    with pytest.raises(MessageAborted):
        message(template, dead_port)
    with pytest.raises(MessageAborted):
        message(template, port, credentials=WRONG)


def test_a_mail_that_is_good_without_them_is_sent_without_them(port: int, empty_port: int, dead_port: int) -> None:
    call, loop = re.fullmatch(r"(.*?\n){% if .*?{% endif %}\n(.*)", EMAIL, re.DOTALL).groups()  # type: ignore[union-attr]  # no match fails
    page = (ROOT / "docs/braze/templates.md").read_text("utf-8")
    [(begin, end)] = re.findall(r"put\s+the\s+loop\s+between\s+`([^`]+)`\s+and\s+`([^`]+)`", page)
    mail = f"{call}Hello{begin}{loop}{end}"

    assert "<img" in message(mail, port)
    assert message(mail, empty_port).strip() == message(mail, dead_port).strip() == "Hello"


def guards() -> list[str]:
    page = (ROOT / "docs/braze/templates.md").read_text("utf-8")
    return re.findall(r"^\| `({% if .*? %})`", page, re.MULTILINE)


# Whether it aborts with items, with an empty list, and when the call fails.
@pytest.mark.parametrize(
    ("number", "aborts"),
    [(0, [False, True, True]), (1, [True, True, True]), (2, [False, True, False])],
)
def test_a_guard_does_what_its_line_says(
    number: int, aborts: list[bool], port: int, empty_port: int, dead_port: int
) -> None:
    call = EMAIL.partition("\n")[0]
    template = call + guards()[number] + "ABORTED{% endif %}"

    assert len(guards()) == 4
    assert ["ABORTED" in message(template, one) for one in (port, empty_port, dead_port)] == aborts
