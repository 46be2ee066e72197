from collections.abc import Callable
from typing import Any

import pytest

from service.braze.engine import render
from service.braze.ports import Answer, Call, Job, Message
from service.errors import TemplateError
from tests.braze.documented import CALLS, CASES, REFUSED, VARIABLES, Aborted, Case

ITEMS = '[{"name": "Kettle", "price": 39.0}, {"name": "Pan", "price": 5}]'
OBJECT = '{"title": "New York", "weather": [{"state": "Clear"}]}'


def failing(calls: list[Call]) -> Callable[[Call], Answer]:
    def call(wanted: Call) -> Answer:
        calls.append(wanted)
        return Answer(598)

    return call


def nobody(call: Call) -> Answer:
    raise AssertionError(f"nobody may call {call.url}")


def rendered(template: str, answer: Answer | Callable[[Call], Answer] = nobody, **user: object) -> Message:
    caller = (lambda _: answer) if isinstance(answer, Answer) else answer
    return render(Job(template, user, {"custom_attribute": {}}, {}), caller)


def test_there_are_as_many_cases_as_promised() -> None:
    assert len(CASES) + len(ANSWERED) + len(ASKED) >= 120
    assert len({(case.template, str(case.user), str(case.custom)) for case in CASES}) == len(CASES)
    assert all(case.source.startswith("https://") for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.template[:60])
def test_it_renders_as_documented(case: Case) -> None:
    job = Job(case.template, case.user, {"custom_attribute": case.custom})

    if case.result is REFUSED:
        with pytest.raises(TemplateError):
            render(job, nobody)
    elif isinstance(case.result, Aborted):
        assert render(job, nobody).aborted == case.result.reason
    else:
        assert render(job, nobody) == Message(str(case.result))


SAVED = "{% connected_content https://example.com/recommendations :save r %}"

ANSWERED = [
    (VARIABLES, "{% connected_content https://example.com/a %}{{connected.title}}", Answer(200, OBJECT), "New York"),
    (VARIABLES, SAVED + "{{r.title}} {{r.weather[0].state}}", Answer(200, OBJECT), "New York Clear"),
    (VARIABLES, SAVED, Answer(200, "plain text"), "plain text"),
    (VARIABLES, SAVED + "{{r.__http_status_code__}}", Answer(201, OBJECT), "201"),
    (VARIABLES, SAVED + "[{{r.__http_status_code__}}]", Answer(200, ITEMS), "[]"),
    (VARIABLES, SAVED + "[{{r.__http_status_code__}}{{r.title}}]", Answer(500, OBJECT), "[]"),
    (CALLS, SAVED + "[{{r}}]", Answer(404, "not found"), "[]"),
    (CALLS, SAVED + "[{{r.title}}]", Answer(301, OBJECT), "[]"),
    (CALLS, SAVED + "{% if r == null %}null{% endif %}", Answer(598), "null"),
    (CALLS, SAVED + "[{{r}}]", Answer(200, "x" * 1_000_001), "[]"),
    (VARIABLES, SAVED + "{{r[1].name}} {{r.first.name}} {{r.size}}", Answer(200, ITEMS), "Pan Kettle 2"),
    (VARIABLES, SAVED + "{% for i in r limit: 1 %}{{i.price | money}}{% endfor %}", Answer(200, ITEMS), "$39.00"),
    (VARIABLES, SAVED + "{% if {{r[0].name}} == 'Kettle' %}y{% endif %}", Answer(200, ITEMS), "y"),
    (CALLS, SAVED + "{% if r[0].name == blank %}none{% endif %}", Answer(200, "[]"), "none"),
    (CALLS, SAVED + "{% if r[0].name == blank %}none{% endif %}", Answer(598), "none"),
    (CALLS, SAVED + "{% if r.size < 1 %}none{% endif %}[]", Answer(598), "[]"),
    (CALLS, SAVED + "{% if r.size < 1 %}none{% endif %}", Answer(200, "[]"), "none"),
]


@pytest.mark.parametrize(("source", "template", "answer", "text"), ANSWERED)
def test_an_answer_is_used_as_documented(source: str, template: str, answer: Answer, text: str) -> None:
    assert source.startswith("https://")
    assert rendered(template, answer).text == text


GET = {"Content-Type": "application/json", "Accept": "*/*"}
URL = "https://example.com/api"
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    (CALLS, URL, {"url": URL, "method": "GET", "headers": GET, "cache_seconds": 300, "retry": False}),
    (CALLS, URL + "?u={{${user_id}}}", {"url": URL + "?u=a b&c"}),
    (CALLS, URL + "?u={{${user_id} | url_param_escape}}&x={{1}}", {"url": URL + "?u=a%20b%26c&x=1"}),
    (CALLS, URL + " :basic_auth credential_name", {"credential": "credential_name"}),
    (CALLS, URL + " :auth_credentials token_abc", {"credential": "token_abc"}),
    (CALLS, URL + ' :headers {\n "X-A": "{{${user_id}}}",\n "B": "c"}', {"headers": GET | {"X-A": "a b&c", "B": "c"}}),
    (CALLS, URL + " :retry", {"retry": True}),
    (CALLS, URL + " :no_cache", {"cache_seconds": None}),
    (CALLS, URL + " :cache_max_age 900", {"cache_seconds": 900}),
    (VARIABLES, URL + " :content_type a/b", {"headers": {"Content-Type": "a/b", "Accept": "a/b"}}),
    (VARIABLES, URL + " :method post", {"method": "POST", "cache_seconds": None}),
    (VARIABLES, URL + " :method post :cache_max_age 900", {"cache_seconds": 900}),
    (VARIABLES, URL + " :method post :body k=v&k2={{1}}", {"body": "k=v&k2=1"}),
    (
        VARIABLES,
        URL + " :method post :body k=v",
        {"headers": {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"}},
    ),
    (VARIABLES, URL + " :method post :body k=v&l=w :content_type application/json", {"body": '{"k":"v","l":"w"}'}),
    (
        VARIABLES,
        URL + ' :method post :body {"foo":"bar","baz":"{{1|plus:1}}"} :content_type application/json',
        {"body": '{"foo":"bar","baz":"2"}'},
    ),
]


@pytest.mark.parametrize(("source", "asked", "wanted"), ASKED)
def test_a_call_is_made_as_documented(source: str, asked: str, wanted: dict[str, Any]) -> None:
    calls: list[Call] = []

    rendered(f"{{% connected_content\n{asked}\n%}}", failing(calls), user_id="a b&c")

    assert source.startswith("https://")
    [call] = calls
    assert {name: getattr(call, name) for name in wanted} == wanted


def test_a_body_with_spaces_comes_from_a_capture() -> None:
    calls: list[Call] = []
    template = (
        '{% capture postbody %}{"foo": "bar", "baz": "{{ 1 | plus: 1 }}"}{% endcapture %}'
        "{% connected_content https://example.com/a :method post :body {{postbody}} :content_type application/json %}"
    )

    rendered(template, failing(calls))

    assert calls[0].body == '{"foo": "bar", "baz": "2"}'


@pytest.mark.parametrize("asked", [" :method put", " :sve r", " and more", " :save", " :save größe", " :headers {a}"])
def test_a_call_that_braze_does_not_know_is_refused(asked: str) -> None:
    with pytest.raises(TemplateError):
        rendered(f"{{% connected_content {URL}{asked} %}}", Answer(200, ITEMS))


def test_a_content_block_is_part_of_the_template() -> None:
    blocks = {"top": "{% assign name = 'Janet' %}", "greeting": "{{content_blocks.${top}}}Hi {{name}}"}

    message = render(Job("{{content_blocks.${greeting} | id: 'cb1'}}, {{name}}", blocks=blocks), nobody)

    assert message.text == "Hi Janet, Janet"


def test_a_content_block_may_be_assigned_as_brazes_library_of_use_cases_does() -> None:
    template = (
        "{% assign blocked = {{content_blocks.${Blocked}}} | split: ',' %}"
        "{% for email in blocked %}{% if {{${email_address}}} == email %}{% abort_message('blocked') %}{% endif %}"
        "{% endfor %}Hi"
    )
    users = ({"email_address": one} for one in ("a@example.com", "c@example.com"))
    blocks = {"Blocked": "a@example.com,b@example.com"}

    first, second = (render(Job(template, user, blocks=blocks), nobody) for user in users)

    assert (first.aborted, second.text) == ("blocked", "Hi")


@pytest.mark.parametrize(
    ("blocks", "problem"), [({}, "no Content Block 'a'"), ({"a": "{{content_blocks.${a}}}"}, "deep")]
)
def test_a_content_block_that_is_missing_or_holds_itself_is_refused(blocks: dict[str, str], problem: str) -> None:
    with pytest.raises(TemplateError, match=problem) as refused:
        render(Job("x {{content_blocks.${a}}}", blocks=blocks), nobody)

    assert refused.value.offset == 2


def test_an_error_says_where_it_is() -> None:
    template = "<!-- a -->first\n{{ ${first_name} }} {% assign a = 1 > 2 %}"

    with pytest.raises(TemplateError) as refused:
        rendered(template)

    assert refused.value.offset == template.index(">", 20)
