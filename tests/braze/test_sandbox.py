import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.braze.cases import made_up
from service.braze.ports import Answer, Call, Job
from service.braze.sandbox import Sandbox
from service.errors import TemplateError

pytestmark = pytest.mark.processes

DOUBLING = "{% assign a = 'x' %}{% for i in (1..60) %}{% assign a = a | append: a %}{% endfor %}{{ a }}"
SQUARING = "{% assign a = 99 %}{% for i in (1..60) %}{% assign a = a | times: a %}{% endfor %}{{ a }}"

HOSTILE = {
    "a range of a billion": "{{ (1..1000000000) | join: ',' | size }}",
    "loops in loops": "{% for i in (1..99999) %}{% for j in (1..99999) %}x{% endfor %}{% endfor %}",
    "100 MB of output": "{% for i in (1..1000) %}" + "x" * 100_000 + "{% endfor %}",
    "100 MB in a variable": "{% capture a %}{% for i in (1..1000) %}" + "x" * 100_000 + "{% endfor %}{% endcapture %}",
    "a text that doubles": DOUBLING,
    "a number that squares": SQUARING,
    "blocks in blocks": "{% if true %}" * 5_000 + "{% endif %}" * 5_000,
    "brackets in brackets": "{{ " + "(" * 100_000 + " }}",
    "indexes in indexes": "{{ a" + "[a" * 5_000 + "]" * 5_000 + " }}",
    "a template of a megabyte": "x" * 1_000_000,
    "a thousand calls": "{% for i in (1..1000) %}{% connected_content https://a.example/recommendations %}{% endfor %}",
    "an include": "{% include '/etc/passwd' %}",
    "a render": "{% render '../../etc/passwd' %}",
    "conditions without an end": "{% if " + " and ".join(["a"] * 600) + " %}{% endif %}",
    "comments without an end": "{% comment %}{{ {% " * 9_000,
    "a list in lists": "{{ '" + "[" * 900 + "]" * 900 + "' | json_parse }}",
    "more digits than a number has": "{{ '" + "9" * 3_900 + "' | append: '" + "9" * 3_900 + "' | plus: 1 }}",
    "a number that is too large": "{% assign a = 9.5 %}{% for i in (1..9) %}{% assign a = a | times: a %}{% endfor %}"
    "{{ a | times: a | times: a | round }}",
    "a folder for a time zone": "{{ 'now' | time_zone: 'America' }}",
    "a long time zone": "{{ 'now' | time_zone: '" + "x" * 3_900 + "' }}",
    "bytes that are no text": "{{ '/w==' | base64_decode }}",
    "values that nothing sorts": """{{ '[3, "a", {"b": 1}]' | json_parse | sort | join }}""",
    "an option that no filter has": "{{ 'a' | upcase: loud: true }}",
    "a Content Block of the system": "{{content_blocks.${/etc/passwd}}}",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(made_up) as running:
        yield running


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_in_a_message_and_the_next_one_is_rendered(name: str, sandbox: Sandbox) -> None:
    with pytest.raises(TemplateError) as ended:
        sandbox.render(Job(HOSTILE[name]))

    assert re.fullmatch(r"[^\n]{1,200}", ended.value.problem)
    assert not re.search(r"Error|class '|object |\(\)|sys\.|codec", ended.value.problem)
    assert sandbox.render(Job("{{ 'still' | append: ' there' }}")).text == "still there"


def test_no_template_reads_the_environment_or_python(sandbox: Sandbox) -> None:
    for name in ("_caller", "_u.__class__", "_caller._caller", "forloop.__init__", "env", "globals"):
        assert "class" not in sandbox.render(Job(f"{{{{ {name}.__globals__ }}}}")).text


def test_the_process_knows_no_secret_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_KEYS", "a-secret")

    with Sandbox(made_up) as sandbox:
        environment = Path(f"/proc/{sandbox._process.pid}/environ").read_bytes()  # type: ignore[union-attr]  # it runs

    assert b"a-secret" not in environment


def test_the_process_is_gone_afterwards() -> None:
    with Sandbox(made_up) as sandbox:
        pid = sandbox._process.pid  # type: ignore[union-attr]  # it runs

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_caller_is_asked_in_this_process_and_its_time_is_not_the_templates() -> None:
    calls: list[Call] = []

    def caller(call: Call) -> Answer:
        calls.append(call)
        return Answer(200, '[{"name": "Kettle \\u2028 ü"}]')

    with Sandbox(caller) as sandbox:
        template = "{% connected_content https://a.example/r?u={{${user_id}}} :basic_auth b :save r %}{{ r[0].name }}"
        message = sandbox.render(Job(template, {"user_id": "1"}))

    assert message.text == "Kettle \u2028 ü"
    assert [(call.url, call.credential) for call in calls] == [("https://a.example/r?u=1", "b")]
    assert [made.status for made in message.calls] == [200]


def test_a_process_that_ends_during_a_call_is_named_and_the_next_template_is_rendered() -> None:
    def caller(call: Call) -> Answer:
        process = dying._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return made_up(call)

    with Sandbox(caller) as dying:
        with pytest.raises(TemplateError, match="too much memory"):
            dying.render(Job("{% connected_content https://a.example/recommendations?user_id=1 %}"))

        assert dying.render(Job("{{ 1 }}")).text == "1"
