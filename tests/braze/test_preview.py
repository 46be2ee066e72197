"""Previews: a message for users and in the hard cases, by a process of their own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from service.braze.cases import CASES, NASTY_NAME, made_up
from service.braze.ports import Call, Heard, Job
from service.braze.preview import (
    MAX_CALLS,
    MAX_SHOWN_CHARACTERS,
    MAX_WAITING,
    Previews,
    Shown,
    Subject,
)
from service.errors import TryLater
from tests.braze.test_sandbox import HOSTILE
from tests.support.waiting import until

pytestmark = pytest.mark.processes

URL = "https://recs.example.com/recommendations?user_id={{${user_id} | url_param_escape}}&num_results=4"
CALL = (
    "{% connected_content " + URL + " :save r %}{% if r[0].name == blank %}{% abort_message('no items') %}{% endif %}"
)
MAIL = CALL + "{% for item in r %}<p>{{ item.name | escape }} {{ item.price | money }}</p>{% endfor %}"


@dataclass
class AskableService:
    """Answers with made-up items, and knows its calls."""

    calls: list[str] = field(default_factory=list)

    async def call(self, call: Call) -> Heard:
        self.calls.append(call.url)
        return Heard(made_up(call), 0.001, "personalize")


@pytest.fixture
async def previews() -> AsyncIterator[Previews]:
    async with Previews() as running:
        yield running


async def show(previews: Previews, template: str, *subjects: Subject, service: AskableService) -> list[Shown]:
    return await previews.show({"body": Job(template)}, subjects, service, channel="email")


async def test_users_and_hard_cases_stand_side_by_side_and_one_user_is_asked_for_once(previews: Previews) -> None:
    service = AskableService()
    subjects = [Subject("user1"), Subject("user2"), *(Subject("user1", case) for case in CASES)]

    shown = await show(previews, MAIL, *subjects, service=service)
    parts = {(one.subject.user_id, one.subject.case): one.parts[0] for one in shown}

    assert parts["user1", ""].text != parts["user2", ""].text
    assert parts["user1", ""].calls[0].source == "personalize"
    fates = {case: parts["user1", case].fate for case in CASES}
    assert fates == dict.fromkeys(CASES, "rendered") | {"empty": "aborted", "down": "aborted"}
    assert parts["user1", "down"].calls[0].status == 598
    assert "<b>" in NASTY_NAME
    assert "<b>" not in parts["user1", "nasty-name"].text
    # user1, user2, and the blank user of the popular case.
    assert len(service.calls) == len(set(service.calls)) == 3


async def test_parts_of_one_message_share_a_call(previews: Previews) -> None:
    service = AskableService()
    texts = {"title": CALL + "{{ r[0].name }}", "link": CALL + "{{ r[0].url }}", "image": " "}
    parts = {name: Job(text) for name, text in texts.items()}

    [shown] = await previews.show(parts, [Subject("user1")], service, channel="push")

    assert [(part.name, part.fate) for part in shown.parts] == [
        ("title", "rendered"),
        ("link", "rendered"),
        ("image", "blank"),
    ]
    assert len(service.calls) == 1


NEVER_ENDING = "{% for i in (1..99) %}{% connected_content https://a.example/recommendations?u={{i}} %}{% endfor %}"
HARMFUL = {name: HOSTILE[name] for name in ("a range of a billion", "100 MB of output", "an include")} | {
    "calls without end": NEVER_ENDING
}


@pytest.mark.parametrize("name", HARMFUL)
async def test_a_hostile_template_ends_in_a_message_for_everybody(name: str, previews: Previews) -> None:
    service = AskableService()

    shown = await show(previews, HARMFUL[name], Subject("u"), Subject("v"), Subject("u", "free"), service=service)
    [fine] = await show(previews, "still here", Subject("u"), service=service)

    for one in shown:
        [part] = one.parts
        assert part.fate in ("failed", "unrendered")
        assert (part.text, len(part.why.splitlines())) == ("", 1)
    assert fine.parts[0].text == "still here"
    assert len(service.calls) <= 2 * MAX_CALLS


async def test_a_long_message_is_cut(previews: Previews) -> None:
    [shown] = await show(previews, "x" * 160_000, Subject("u"), service=AskableService())

    assert (len(shown.parts[0].text), shown.parts[0].is_cut) == (MAX_SHOWN_CHARACTERS, True)


async def test_a_mistake_of_liquid_is_shown_with_its_line(previews: Previews) -> None:
    [shown] = await show(previews, "a\nb\n{{ 1 | lstrip }}", Subject("u"), service=AskableService())

    assert (shown.parts[0].fate, shown.parts[0].line) == ("failed", 3)
    assert "lstrip" in shown.parts[0].why


async def test_a_flaw_of_the_rendered_message_is_named(previews: Previews) -> None:
    [shown] = await show(previews, "<img src=''>", Subject("u"), service=AskableService())

    assert shown.parts[0].flaws == ["a picture without an address"]


async def test_lint_looks_at_the_parts_and_between_them(previews: Previews) -> None:
    other = CALL.replace("num_results=4", "num_results=3")
    parts = {"title": CALL + "{{ r[0].name }}", "body": other + "{{ r[0].name }}", "link": "{{ 1 | lstrip }}"}

    findings = await previews.lint(parts, "push")

    assert {(one["file"], one["rule"]) for one in findings} == {("body", "urls-differ"), ("link", "unsupported-filter")}


async def test_a_crowd_of_previews_is_turned_away(previews: Previews) -> None:
    asked = [asyncio.create_task(previews.lint({"a": ""}, "email")) for _ in range(MAX_WAITING + 3)]

    answers = await asyncio.gather(*asked, return_exceptions=True)

    assert sum(isinstance(one, TryLater) for one in answers) >= 1
    assert sum(one == [] for one in answers) >= MAX_WAITING


async def test_the_process_ends_when_nobody_previews_and_comes_back(
    previews: Previews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.braze.preview.IDLE_SECONDS", 0.0)
    await previews.lint({"a": ""}, "email")
    [process] = previews._renderers._processes
    await until(lambda: process._child is None)

    assert await previews.lint({"a": ""}, "email") == []
