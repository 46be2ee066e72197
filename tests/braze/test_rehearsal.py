"""Sends as Braze plays them, on virtual time, against a service that can be asked what it heard."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.braze.adapters.pooled import PooledService
from service.braze.ports import UNREACHABLE, Answer, Call, Heard, Job, Message
from service.braze.rehearsal.flaws import flaws_of
from service.braze.rehearsal.host import UNHEALTHY_FAILURES, HostHealth
from service.braze.rehearsal.outcome import Outcome
from service.braze.rehearsal.ports import Played
from service.braze.rehearsal.report import as_json, as_text
from service.braze.rehearsal.schedule import Schedule
from service.braze.rehearsal.send import Send, SendTerms
from service.braze.rehearsal.sheet import sheet
from service.braze.renderers import Renderers
from service.errors import TemplateError
from tests.support.virtual_time import run_virtual

URL = "https://recs.example.com/recommendations?user_id="


def items(*ids: str) -> Answer:
    return Answer(200, orjson.dumps([{"id": one} for one in ids]).decode())


class AskableService:
    """Answers as it is ordered, and knows when it was called for whom."""

    def __init__(self, answer: Callable[[str, int], Answer], seconds: float = 0.1) -> None:
        self._answer = answer
        self._seconds = seconds
        self.calls: list[tuple[float, str]] = []

    async def call(self, call: Call) -> Heard:
        user = call.url.partition("=")[2]
        number = sum(one == user for _, one in self.calls)
        self.calls.append((asyncio.get_running_loop().time(), user))
        await asyncio.sleep(self._seconds)
        return Heard(self._answer(user, number), self._seconds, "cache", "")


class CallingRenderer:
    """One call a template, whose options the template names; then the ids of the answer, or an abort."""

    def __init__(self) -> None:
        self.rendered = 0

    async def render(self, job: Job, answers: Sequence[Answer]) -> Message | Call:
        self.rendered += 1
        if "broken" in job.template:
            raise TemplateError("no such filter", 3)
        if not answers:
            cache = None if "no_cache" in job.template else 300
            return Call(f"{URL}{job.attributes['user_id']}", cache_seconds=cache, retry="retry" in job.template)
        [answer] = answers
        if answer.status != 200 and "guard" in job.template:
            return Message("", "no items")
        return Message("hello" if answer.status == 200 else "", None)


def play(
    service: AskableService,
    users: Iterable[str],
    *templates: str,
    passes: int = 2,
    per_minute: float = 600,
    peak: float = 1.0,
    slowness: float = 1.0,
) -> tuple[Outcome, Send, CallingRenderer]:
    outcome = Outcome("email", 5, random.Random(1))
    renderer = CallingRenderer()

    async def scenario() -> Send:
        terms = SendTerms(
            [Job(template) for template in templates or ("guard",)],
            passes,
            Schedule(per_minute, peak),
        )
        send = Send(terms, service=service, renderer=renderer, now=lambda: slowness * asyncio.get_running_loop().time())
        await send.play(users, outcome.add)
        return send

    return outcome, run_virtual(scenario()), renderer


def test_each_part_is_rendered_in_every_pass_at_once_and_each_pass_calls() -> None:
    service = AskableService(lambda user, _: items(user))
    outcome, _, renderer = play(service, ["a", "b"], "title", "body", passes=2)

    assert [user for _, user in service.calls] == ["a"] * 4 + ["b"] * 4
    assert len({moment for moment, user in service.calls if user == "a"}) == 1
    assert outcome.fates == {"rendered": 2}
    # Passes that came out alike are rendered once: up to the call, and to the end.
    assert renderer.rendered == 2 * 2 * 2


def test_messages_come_at_brazes_rate_and_in_bursts() -> None:
    service = AskableService(lambda user, _: items(user))
    play(service, map(str, range(240)), passes=1, per_minute=120, peak=2.4)

    begin = service.calls[0][0]
    moments = [moment - begin for moment, _ in service.calls]
    assert [sum(minute * 60 <= one < minute * 60 + 60 for one in moments) for minute in (0, 1)] == [120, 120]
    assert max(one for one in moments if one < 60) == pytest.approx(25.0, abs=0.3)


def test_a_machine_that_does_not_keep_up_plays_fewer_at_a_time_and_says_so() -> None:
    service = AskableService(lambda user, _: items(user), seconds=1.0)
    users = [str(number) for number in range(40)]

    _, quick, _ = play(service, users, passes=1)
    together = _most_at_once(service.calls, 1.0)
    service.calls.clear()
    outcome, slow, _ = play(service, users, passes=1, slowness=4.0)

    assert together == 10
    assert quick.seconds_behind == pytest.approx(0.0, abs=0.001)
    assert _most_at_once(service.calls, 1.0) < together
    assert slow.seconds_behind > 1.0
    assert any("did not keep up" in line for line in as_text(outcome, slow, None))
    assert as_json(outcome, slow, None)["seconds_behind"] == slow.seconds_behind


def _most_at_once(calls: Sequence[tuple[float, str]], seconds: float) -> int:
    return max(sum(moment <= one < moment + seconds - 0.01 for one, _ in calls) for moment, _ in calls)


def test_a_call_with_retry_is_tried_again_and_the_message_sent_late() -> None:
    service = AskableService(lambda user, number: items(user) if number == 3 else Answer(500))
    outcome, send, _ = play(service, ["a"], "guard retry", passes=1)

    assert [moment - service.calls[0][0] for moment, _ in service.calls] == pytest.approx([0.0, 1.1, 3.2, 7.3])
    assert (outcome.fates, send.retries) == ({"rendered": 1}, 3)


def test_a_call_that_never_answers_is_given_up_after_five_retries() -> None:
    service = AskableService(lambda *_: Answer(503))
    outcome, _, _ = play(service, ["a"], "guard retry", passes=1)

    assert len(service.calls) == 6
    assert outcome.fates == {"aborted": 1}
    assert outcome.whys == {"no answer after 5 retries": 1}


def test_braze_answers_itself_what_it_has_kept_unless_the_template_forbids_it() -> None:
    kept = AskableService(lambda user, _: items(user))
    outcome, send, _ = play(kept, ["a", "a"], passes=1)
    assert (len(kept.calls), send.cached, outcome.fates["rendered"]) == (1, 1, 2)

    asked = AskableService(lambda user, _: items(user))
    _, send, _ = play(asked, ["a", "a"], "no_cache", passes=1)
    assert (len(asked.calls), send.cached) == (2, 0)


def test_a_failure_is_not_kept() -> None:
    service = AskableService(lambda user, number: items(user) if number else Answer(500))
    outcome, send, _ = play(service, ["a", "a"], passes=1)

    assert (outcome.fates, send.cached) == ({"aborted": 1, "rendered": 1}, 0)


@pytest.mark.long
def test_a_host_that_fails_is_left_in_peace_for_a_minute() -> None:
    service = AskableService(lambda *_: Answer(503), seconds=0.0)
    outcome, send, _ = play(service, (str(number) for number in range(6_000)), passes=1, per_minute=6_000)

    assert send.health.pauses == 1
    assert len(service.calls) == UNHEALTHY_FAILURES + 1
    assert outcome.fates == {"aborted": 6_000}
    assert any("would have stopped calling" in line for line in as_text(outcome, send, None))


@pytest.mark.parametrize("status", [500, 404, 401])
def test_errors_that_do_not_count_leave_the_host_healthy(status: int) -> None:
    health = HostHealth(lambda: 0.0)
    for _ in range(2 * UNHEALTHY_FAILURES):
        health.add(status)
    assert health.is_called()


def test_a_message_has_the_worst_fate_of_its_parts() -> None:
    service = AskableService(lambda *_: Answer(UNREACHABLE, problem="no answer within 2 s"))
    outcome, send, _ = play(service, ["a"], "title", "guard", "broken")

    assert outcome.fates == {"failed": 1}
    assert outcome.whys == {"no such filter": 1}
    assert outcome.good_share == 0.0
    assert "no answer within 2 s" in "\n".join(as_text(outcome, send, 0.0))


def test_parts_that_disagree_and_an_item_that_everybody_gets_are_named() -> None:
    service = AskableService(lambda user, number: items("same", f"{user}-{number}"))
    outcome, send, _ = play(service, ["a", "b"], "no_cache", passes=2)

    assert outcome.differing == 2
    assert outcome.most_shown == ("same", 1.0)
    text = "\n".join(as_text(outcome, send, 3.0))
    assert "parts of 2 messages show different items" in text
    assert "most users see the same item" in text
    assert orjson.loads(orjson.dumps(as_json(outcome, send, 3.0)))["transactions"] == 3.0


@given(per_minute=st.integers(1, 5_000), peak=st.floats(1, 60), number=st.integers(0, 20_000))
def test_no_minute_has_more_messages_than_its_rate_and_none_is_due_before_the_one_before_it(
    per_minute: int, peak: float, number: int
) -> None:
    schedule = Schedule(per_minute, peak)
    due = schedule.due(number)
    assert 60 * (number // per_minute) <= due < 60 * (number // per_minute + 1)
    assert due <= schedule.due(number + 1)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ('<img alt="x" src="">', "empty-image"),
        ("<IMG SRC=' '>", "empty-image"),
        ('<a class="b" href="">go</a>', "empty-link"),
        ('<a href="https:/shop.example">go</a>', "one-slash"),
        ("<a href=' JavaScript:alert(1)'>go</a>", "script-link"),
        ('<img src="http://shop.example/a.jpg">', "plain-http"),
        ("Hello {{ name }}", "liquid-left"),
        ('[{"id":"a","url":"https://u/"}]', "json-pasted"),
        ("only $ today", "money-missing"),
        ("x" * 110_000, "too-long"),
    ],
)
def test_what_a_reader_would_see_of_a_mistake_is_found_in_the_message(text: str, flaw: str) -> None:
    assert flaws_of(text, "email") == [flaw]


def test_a_good_message_has_no_flaw() -> None:
    text = '<a href="https://shop.example/a?x=1"><img src="https://shop.example/a.jpg" alt="A"></a> $39.00'
    assert flaws_of(text, "email") == []


def test_the_sheet_shows_each_message_in_a_frame_without_rights_and_escapes_what_it_says() -> None:
    played = Played("<script>1</script>", "rendered", texts=['<b onclick="x()">hi</b>'] * 2)
    aborted = Played("b", "aborted", "no <items>")
    page = sheet([played, aborted], "50 % & more")

    assert page.count("<iframe") == 1
    assert 'sandbox=""' in page
    assert "<script>" not in page
    assert 'srcdoc="&lt;b onclick=&quot;x()&quot;&gt;hi&lt;/b&gt;"' in page
    assert "no &lt;items&gt;" in page


@pytest.mark.processes
async def test_one_process_renders_other_messages_while_a_call_is_on_its_way() -> None:
    template = "{% connected_content https://a.example/recommendations?u={{${user_id}}} :save r %}{{ r[0].id }}"
    async with Renderers(1) as renderers:
        jobs = [Job(template, {"user_id": f"u{number}"}) for number in range(3)]
        calls = [await renderers.render(job, []) for job in jobs]
        assert [call.url[-2:] for call in calls if isinstance(call, Call)] == ["u0", "u1", "u2"]
        made = [await renderers.render(job, [items(f"i{number}")]) for number, job in enumerate(jobs)]
        assert [one.text for one in made if isinstance(one, Message)] == ["i0", "i1", "i2"]


@pytest.mark.processes
@pytest.mark.parametrize("template", ["{{ (1..1000000000) | join: ',' | size }}", "{{ 1 | lstrip }}"])
async def test_a_template_that_harms_its_process_or_is_wrong_costs_only_itself(template: str) -> None:
    async with Renderers(1) as renderers:
        with pytest.raises(TemplateError) as ended:
            await renderers.render(Job(template), [])
        assert len(ended.value.problem.splitlines()) == 1
        made = await renderers.render(Job("{{ 'still' }}"), [])
        assert isinstance(made, Message)
        assert made.text == "still"


@pytest.mark.processes
async def test_a_process_that_the_machine_does_not_let_run_is_waited_for() -> None:
    async with Renderers(1, render_seconds=0.2) as renderers:
        [process] = renderers._processes
        assert process._child is not None
        process._child.send_signal(signal.SIGSTOP)
        asyncio.get_running_loop().call_later(0.6, process._child.send_signal, signal.SIGCONT)

        made = await renderers.render(Job("{{ 'still' }}"), [])

        assert isinstance(made, Message)
        assert made.text == "still"


@pytest.mark.processes
async def test_a_template_is_not_blamed_for_the_time_in_which_this_process_stood_still() -> None:
    async with Renderers(1, render_seconds=0.2) as renderers:
        [process] = renderers._processes
        assert process._child is not None
        process._child.send_signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, 0.4)
        loop.call_later(0.5, process._child.send_signal, signal.SIGCONT)

        made = await renderers.render(Job("{{ 'still' }}"), [])

        assert isinstance(made, Message)


async def test_a_service_that_answers_no_http_is_one_problem_and_names_no_user() -> None:
    async def rambling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"rambling\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(rambling, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with PooledService(f"http://127.0.0.1:{port}") as service:
            heard = [await service.call(Call(f"https://a.example/recommendations?user_id={one}")) for one in "ab"]

    assert {one.answer.problem for one in heard} == {"no answer: Bad status line"}
