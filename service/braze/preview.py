"""What a message looks like for some users and in the hard cases, while its author writes it.

    parts ──► a process renders up to a call ──► the case changes it ──► asked once for all who call alike ──► on

A preview is for a person who waits, so it has an end: what is not rendered by then is shown as that.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Literal, Self

from service.braze.cases import CASES, Case
from service.braze.ports import Answer, Call, Heard, Job, Message, Service
from service.braze.rehearsal.flaws import flaws_of, words_of
from service.braze.renderers import LintReport, Renderers
from service.braze.source import line_and_column
from service.errors import TemplateError
from service.tasks import OneAtATime

PREVIEW_SECONDS: Final = 1.8
"""For everything that a preview shows."""

RENDER_SECONDS: Final = 1.0
"""Of them, for one message; an honest one takes milliseconds."""

IDLE_SECONDS: Final = 120.0
"""After the last preview its process, of about 50 MB, is ended."""

MAX_WAITING: Final = 8
"""Previews that wait for their turn."""

MAX_CALLS: Final = 20
"""Of one part of a message. The mails that we know make one or two."""

MAX_SHOWN_CHARACTERS: Final = 150_000
"""Of a part; Gmail cuts a mail off at 102 kB."""

NICENESS: Final = 5
"""The process stands back behind the one that answers."""

Fate = Literal["rendered", "blank", "aborted", "failed", "unrendered"]


@dataclass(frozen=True, slots=True)
class Subject:
    """For whom a message is rendered: a user, perhaps in a hard case."""

    user_id: str
    case: str = ""
    """A name of `CASES`; empty: as it is."""


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A call as the preview shows it."""

    url: str
    status: int
    problem: str
    source: str
    reason: str
    milliseconds: float


@dataclass(slots=True)
class ShownPart:
    """A part of a message for one subject.

    Attributes:
        name: Of the part.
        fate: What becomes of it; `unrendered`: the preview was over before.
        text: What is shown.
        why: Why Braze would not send it.
        line: Where that stands, from 1; 0 if nowhere.
        calls: Those that it made.
        flaws: What a reader would see of mistakes.
    """

    name: str
    fate: Fate
    text: str = ""
    why: str = ""
    line: int = 0
    is_cut: bool = False
    calls: list[ShownCall] = field(default_factory=list)
    flaws: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Shown:
    """A message for one subject."""

    subject: Subject
    parts: list[ShownPart] = field(default_factory=list)


class Previews:
    """Renders previews one after another; a context manager. Starts nothing before the first one."""

    def __init__(self) -> None:
        self._renderers = Renderers(1, RENDER_SECONDS, niceness=NICENESS, lazy=True)
        self._looking = OneAtATime(MAX_WAITING, "Others look at their templates. Try again in a moment.")
        self._idle: asyncio.TimerHandle | None = None
        self._resting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._renderers.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._resting is not None:
            await self._resting
        await self._renderers.__aexit__(kind, error, traceback)

    async def lint(self, parts: Mapping[str, str], channel: str) -> LintReport:
        """What lint finds in the parts of a message.

        Raises:
            TemplateError: It took too long or too much memory.
            TryLater: Others wait already.
        """
        async with self._a_turn():
            return await self._renderers.lint(parts, channel)

    async def show(
        self, parts: Mapping[str, Job], subjects: Sequence[Subject], service: Service, *, channel: str
    ) -> list[Shown]:
        """The message for each subject, in the same order.

        Args:
            parts: By name; each for whichever user.
            subjects: For whom; each case is a name of `CASES`.
            service: Answers the calls.
            channel: What the message is.

        Raises:
            TryLater: Others wait already.
        """
        async with self._a_turn():
            shown = [Shown(one, [ShownPart(name, "unrendered", why=_OVER) for name in parts]) for one in subjects]
            await self._renderers.ready()
            with suppress(TimeoutError):
                async with asyncio.timeout(PREVIEW_SECONDS), asyncio.TaskGroup() as group:
                    showing = _Showing(self._renderers, service, channel, group)
                    for one in shown:
                        for part, job in zip(one.parts, parts.values(), strict=True):
                            group.create_task(showing.fill(part, job, one.subject))
            return shown

    @asynccontextmanager
    async def _a_turn(self) -> AsyncIterator[None]:
        """One preview at a time; some time after the last one its process is ended."""
        async with self._looking.turn():
            try:
                yield
            finally:
                if self._idle is not None:
                    self._idle.cancel()
                self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._begin_to_rest)

    def _begin_to_rest(self) -> None:
        self._resting = asyncio.create_task(self._renderers.rest(), name="previews rest")


_OVER: Final = f"not rendered: the {PREVIEW_SECONDS:g} s of a preview were over"


def _allow(calls: int) -> None:
    if calls > MAX_CALLS:
        raise TemplateError(f"more than {MAX_CALLS} calls: is one of them in a loop?")


class _Showing:
    """One preview. Parts and cases that call alike share one answer, as they do in Braze."""

    def __init__(self, renderers: Renderers, service: Service, channel: str, group: asyncio.TaskGroup) -> None:
        self._renderers = renderers
        self._service = service
        self._channel = channel
        self._group = group
        self._asked: dict[tuple[str, str, str], asyncio.Task[Heard]] = {}

    async def fill(self, part: ShownPart, job: Job, subject: Subject) -> None:
        """Render a part and put into it what came of that."""
        attributes = {**job.attributes, "user_id": subject.user_id}
        job = replace(job, attributes=attributes, most_characters=MAX_SHOWN_CHARACTERS)
        case = CASES[subject.case] if subject.case else Case("")
        answers: list[Answer] = []
        try:
            while isinstance(made := await self._renderers.render(job, answers), Call):
                _allow(len(answers) + 1)
                answers.append(await self._answer(made, case, part))
        except TemplateError as error:
            part.fate, part.why = "failed", error.problem
            if error.offset is not None:
                part.line, _ = line_and_column(job.template, error.offset)
        else:
            self._judge(part, made, subject)

    async def _answer(self, call: Call, case: Case, part: ShownPart) -> Answer:
        asked = case.before(call)
        heard = Heard(asked, 0.0) if isinstance(asked, Answer) else await self._heard(asked)
        part.calls.append(
            ShownCall(
                url=call.url,
                status=heard.answer.status,
                problem=heard.answer.problem,
                source=heard.source,
                reason=heard.reason,
                milliseconds=round(1000 * heard.seconds, 1),
            )
        )
        return case.after(heard.answer)

    async def _heard(self, call: Call) -> Heard:
        key = call.method, call.url, call.body
        if key not in self._asked:
            self._asked[key] = self._group.create_task(self._service.call(call))
        return await self._asked[key]

    def _judge(self, part: ShownPart, message: Message, subject: Subject) -> None:
        part.text, part.is_cut, part.why = message.text, message.is_cut, message.aborted or ""
        if message.aborted is not None:
            part.fate = "aborted"
        else:
            part.fate = "rendered" if message.text.strip() else "blank"
            flaws = flaws_of(message.text, self._channel)
            # Where a name holds Liquid, that it is not rendered is right.
            part.flaws = [words_of(one) for one in flaws if (subject.case, one) != ("nasty-name", "liquid-left")]
