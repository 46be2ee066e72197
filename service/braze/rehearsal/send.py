"""One send: each message at its time, with all its parts and passes at once.

A part of a message is a template: the mail, or the title, body and image of a push. Braze renders each more than once,
HTML and plain text apart, and each pass makes its own calls. So a pass is what is played here::

    due -> render up to a call without an answer -> kept by Braze? -> host called? -> 2 s -> render on -> message
                 ^                                                                             |
                 +------------- `:retry`: the message waits, up to five times <----------------+  the call failed
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import orjson

from service.braze.ports import UNREACHABLE, Answer, Call, Job, Message, Renderer, Service
from service.braze.rehearsal.host import HostHealth, KeptAnswers, is_good
from service.braze.rehearsal.ports import Played
from service.braze.rehearsal.schedule import Schedule
from service.errors import TemplateError
from service.tasks import stop_task

RETRIES: Final = 5
"""More tries of a call with `:retry`. Source: braze.com/docs, Connected Content, Retries."""

RETRY_SECONDS: Final = 1.0
"""Before the first of them; each waits twice as long as the one before it."""

MAX_OPEN: Final = 4_000
"""Messages under way at once. What is due beyond it waits, as behind Braze's own connections."""

PULSE_SECONDS: Final = 0.047
"""Between two looks whether this process keeps up; no part of a minute, so that no message is due at the same time."""

MAX_LAG_SECONDS: Final = 0.1
"""How far it may be behind before the next message waits: its calls would look late, and would not be."""

FATES: Final = ("rendered", "blank", "aborted", "failed")
"""From good to bad: a message has the worst of its parts."""


@dataclass(frozen=True, slots=True)
class SendTerms:
    """How a send is played.

    Attributes:
        parts: Those of a message, each with what it needs besides the user.
        passes: How often Braze renders each part.
        schedule: When each message is due.
    """

    parts: Sequence[Job]
    passes: int
    schedule: Schedule


class Send:
    """Plays a send.

    Args:
        terms: How.
        service: Answers the calls.
        renderer: Renders the templates.
        now: Seconds that never run backwards.
    """

    def __init__(self, terms: SendTerms, *, service: Service, renderer: Renderer, now: Callable[[], float]) -> None:
        self._terms = terms
        self._service = service
        self._renderer = renderer
        self._now = now
        self._kept = KeptAnswers(now)
        self.health = HostHealth(now)
        self.cached = 0
        """Calls that Braze answered itself."""
        self.retries = 0
        self.seconds_behind = 0.0
        """How long after its time the last message began, because this machine did not keep up."""
        self._lag = 0.0
        self._open = 0

    async def play(self, users: Iterable[str], done: Callable[[Played], None]) -> None:
        """Play the whole send; `done` gets each message when it is over, in no certain order."""
        began = self._now()
        room = asyncio.Semaphore(MAX_OPEN)
        pulse = asyncio.create_task(self._feel_pulse(), name="pulse of the rehearsal")
        try:
            async with asyncio.TaskGroup() as group:
                for number, user in enumerate(users):
                    due_at = began + self._terms.schedule.due(number)
                    if due_at > self._now():
                        await asyncio.sleep(due_at - self._now())
                    while self._lag > MAX_LAG_SECONDS and self._open:  # noqa: ASYNC110  # nothing announces it
                        await asyncio.sleep(PULSE_SECONDS)
                    await room.acquire()
                    self.seconds_behind = self._now() - due_at
                    self._open += 1
                    group.create_task(self._message(user, room, done))
        finally:
            await stop_task(pulse)

    async def _feel_pulse(self) -> None:
        """Know how late the event loop is."""
        while True:
            began = self._now()
            await asyncio.sleep(PULSE_SECONDS)
            self._lag = self._now() - began - PULSE_SECONDS

    async def _message(self, user: str, room: asyncio.Semaphore, done: Callable[[Played], None]) -> None:
        try:
            rendered = _Rendered(self._renderer)
            jobs = [replace(part, attributes={**part.attributes, "user_id": user}) for part in self._terms.parts]
            passes = [self._pass(user, job, rendered) for job in jobs for _ in range(self._terms.passes)]
            done(_whole(user, await asyncio.gather(*passes)))
        finally:
            self._open -= 1
            room.release()

    async def _pass(self, user: str, job: Job, rendered: "_Rendered") -> Played:
        played = Played(user, "rendered")
        answers: list[Answer] = []
        while True:
            try:
                made = await rendered.get(job, answers)
            except TemplateError as error:
                played.fate, played.why = "failed", error.problem
                return played
            if isinstance(made, Message):
                _judge(played, made)
                return played
            answer = await self._answer(made, played)
            if answer is None:
                played.fate, played.why = "aborted", f"no answer after {RETRIES} retries"
                return played
            answers.append(answer)

    async def _answer(self, call: Call, played: Played) -> Answer | None:
        """What Braze gives to the template; None if it gives up the message."""
        pause = RETRY_SECONDS
        for left in range(RETRIES if call.retry else 0, -1, -1):
            answer = await self._ask(call, played)
            if is_good(answer.status) or not call.retry:
                return answer
            if left:
                self.retries += 1
                await asyncio.sleep(pause)
                pause *= 2
        return None

    async def _ask(self, call: Call, played: Played) -> Answer:
        kept = self._kept.get(call)
        if kept is not None:
            self.cached += 1
            played.items.append(item_ids(kept.text))
            return kept
        if not self.health.is_called():
            return Answer(UNREACHABLE, problem="Braze does not call this host for a minute, since it failed too often")
        heard = await self._service.call(call)
        self.health.add(heard.answer.status)
        played.heard.append(heard)
        if is_good(heard.answer.status):
            played.items.append(item_ids(heard.answer.text))
        self._kept.put(call, heard.answer)
        return heard.answer


class _Rendered:
    """What one message has rendered: passes that have the same answers come out alike, and are rendered once."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._begun: dict[tuple[str, tuple[Answer, ...]], asyncio.Future[Message | Call]] = {}

    async def get(self, job: Job, answers: list[Answer]) -> Message | Call:
        """See `Renderer`."""
        key = job.template, tuple(answers)
        if key not in self._begun:
            self._begun[key] = asyncio.ensure_future(self._renderer.render(job, list(answers)))
        return await self._begun[key]


@lru_cache(maxsize=64)
def item_ids(text: str) -> tuple[str, ...]:
    """The ids of an answer, an array or an object with `items`; none if it is neither. Passes hear the same."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ()
    items = value.get("items") if isinstance(value, dict) else value
    if not isinstance(items, list):
        return ()
    return tuple(str(item["id"]) for item in items if isinstance(item, dict) and "id" in item)


def _judge(played: Played, message: Message) -> None:
    if message.aborted is not None:
        played.fate, played.why = "aborted", message.aborted or "without a reason"
    elif not message.text.strip():
        played.fate = "blank"
    else:
        played.texts.append(message.text)


def _whole(user: str, parts: Sequence[Played]) -> Played:
    """The message of these parts: Braze sends none of which a part aborts."""
    worst = max(parts, key=lambda part: FATES.index(part.fate))
    return Played(
        user,
        worst.fate,
        worst.why,
        [text for part in parts for text in part.texts],
        [ids for part in parts for ids in part.items],
        [heard for part in parts for heard in part.heard],
    )
