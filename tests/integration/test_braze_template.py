import csv
import socket
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from service.cli import main
from tests.support.liquid import MessageAborted, render
from tests.support.processes import SAMPLE, Process, service

CALL = "{% connected_content http://127.0.0.1:PORT/recommendations?user_id={{${user_id}}} :save recommendations %}"
GUARD = "{% if recommendations[0].name == blank %}{% abort_message('no items') %}{% endif %}"
LOOP = "{% for item in recommendations limit: 4 %}{{ item.id }} {% endfor %}"


def template(replica: Process, *parts: str) -> str:
    return "".join((CALL, *parts)).replace("PORT", str(replica.port))


def test_a_braze_template_renders_the_first_item(replica: Process) -> None:
    first = "{{ recommendations[0].name }}|{{ recommendations[0].price }}|"
    second = "{{ recommendations[0].image }}|{{ recommendations[0].url }}"
    name, price, image, url = render(template(replica, first, second), user_id="user1").split("|")

    with (SAMPLE / "items.csv").open(encoding="utf-8", newline="") as file:
        [row] = [row for row in csv.DictReader(file) if row["name"] == name]
    assert float(price) == float(row["price"])
    assert (image, url) == (row["image"], row["url"])


def test_the_picture_of_a_sample_item_is_served_by_the_service(replica: Process) -> None:
    image = render(template(replica, "{{ recommendations[0].image }}"), user_id="user1")

    path = urlsplit(image).path
    assert path.startswith("/sample/images/")
    with urllib.request.urlopen(replica.url + path) as picture:  # noqa: S310  # loopback only
        assert picture.headers["Content-Type"].startswith("image/svg+xml")
        assert ET.fromstring(picture.read()).tag.endswith("svg")  # noqa: S314  # the project's own file


def test_a_template_can_loop_and_two_users_see_different_items(replica: Process) -> None:
    one = render(template(replica, LOOP), user_id="user1").split()
    other = render(template(replica, LOOP), user_id="user2").split()

    assert len(set(one)) == len(set(other)) == 4
    assert one != other


@pytest.mark.parametrize("user_id", ["user1", "", "a b", "ü", "😀", "../x", "nobody", "a&b", "x" * 256])
def test_the_guard_for_an_array_lets_every_user_pass(replica: Process, user_id: str) -> None:
    parts = render(template(replica, GUARD, LOOP), user_id=user_id).split()

    assert len(set(parts)) == 4


def test_an_object_tells_its_status_and_its_source(replica: Process) -> None:
    call = (
        f"{{% connected_content {replica.url}/recommendations?user_id={{{{${{user_id}} | url_param_escape}}}}"
        "&format=object&num_results=3 :save answer %}"
        "{% if answer.__http_status_code__ != 200 %}{% abort_message() %}{% endif %}"
        "{{ answer.count }} {{ answer.items[2].name | size }} {{ answer.source }}"
    )

    count, size, source = render(call, user_id="a+b&c=d").split()

    assert (count, source) == ("3", "personalize")
    assert int(size) > 0


def test_only_a_template_that_calls_a_dead_host_or_asks_wrongly_is_aborted(replica: Process) -> None:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        dead = CALL.replace("PORT", str(refusing.getsockname()[1]))
        with pytest.raises(MessageAborted):
            render(dead + GUARD, user_id="user1")
    wrong = template(replica, GUARD).replace("?user_id=", "?num_results=500&user_id=")
    with pytest.raises(MessageAborted):
        render(wrong, user_id="user1")


def test_a_key_in_the_headers_of_the_tag_opens_a_closed_service(personalize: Process) -> None:
    with service(personalize, ALLOW_ANONYMOUS="false", API_KEYS="an-api-key-of-these-tests") as closed:
        call = template(closed, GUARD, "{{ recommendations.size }}")
        with pytest.raises(MessageAborted):
            render(call, user_id="user1")
        opened = call.replace(" :save", ' :headers {"X-API-Key": "an-api-key-of-these-tests"} :save')
        assert render(opened, user_id="user1") == "10"


def test_the_command_renders_what_the_running_service_answers(replica: Process, tmp_path: Path) -> None:
    file = tmp_path / "push.liquid"
    file.write_text(
        "{% connected_content https://recommendations.example.com/recommendations?user_id={{${user_id}}} :save r %}"
        "{% if r[0].name == blank %}{% abort_message('no items') %}{% endif %}{{ r.size }} {{ r[0].name }}"
    )
    asked = ["liquid", "render", str(file), "--user-id", "user1", "--as", "push", "--service", replica.url]

    usual, down, one = (
        CliRunner().invoke(main, [*asked, *case]) for case in ([], ["--case", "down"], ["--case", "one"])
    )

    assert (usual.exit_code, usual.stdout.partition(" ")[0]) == (0, "10")
    assert (down.stdout, "no items" in down.stderr) == ("", True)
    assert one.stdout.split(" ", 1) == ["1", usual.stdout.partition(" ")[2]]
