"""Files of events: JSON Lines, Currents' Avro, or a table of interactions. The content says which."""

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import IO, Any, Final

import orjson

from service.catalog.reading.csv_rows import CsvRows
from service.catalog.reading.formats import readable_errors
from service.catalog.reading.lines import next_line
from service.catalog.reading.packing import HEAD_BYTES, unpacked
from service.catalog.reading.ports import Surprise, Unreadable
from service.errors import ConfigurationError
from service.events.adapters.avro import avro_records
from service.events.braze import CUSTOM_EVENT, BrazeTerms, Ignored, braze_events
from service.events.event import Event, EventProblem, events_of
from service.events.rows import InteractionColumns
from service.files.seekable import SeekableFile
from service.files.stored import StoredFile

SUFFIXES: Final = tuple(
    f"{kind}{packing}"
    for kind in (".jsonl", ".ndjson", ".json", ".avro", ".csv", ".tsv")
    for packing in ("", ".gz", ".zip")
)
"""Files of a folder or a prefix that are read; a file that is named is read whatever its name is."""

MAX_DOCUMENT_BYTES: Final = 64 << 20
"""Of JSON that is one document over several lines, which is read as a whole."""

AVRO: Final = b"Obj\x01"

Outcome = Event | EventProblem | Ignored

_EVENT_TYPE_IN_PATH: Final = re.compile(r"event_type=([A-Za-z0-9_.]+)")
_NAMESPACE: Final = re.compile(r"^(?:.*\.)?(?=(?:users|agentconsole)\.)")
"""What stands in front of an event's name in Currents' schemas: `dataexport.S3.inner.`."""


@dataclass(frozen=True, slots=True)
class Record:
    """A line, row or record of a file."""

    number: int
    """From 1, in the order of the file."""

    place: str
    """For people: `line 3`, `record 3`."""

    outcomes: list[Outcome]
    """Its events, and what stands in the place of one that is none."""


class EventFiles:
    """Reads files.

    Args:
        terms: What of Braze's events is used.
        event_type: Of a table without the column EVENT_TYPE.
        now: Unix seconds; nothing may lie far behind it in the future.
    """

    def __init__(self, terms: BrazeTerms, *, event_type: str, now: float) -> None:
        self._terms = terms
        self._event_type = event_type
        self._now = now

    def records(self, file: StoredFile) -> Generator[Record, None, None]:
        """The records of a file, in constant memory; the same whenever the file is read.

        Raises:
            ConfigurationError: It cannot be read to its end, or is none of the formats.
        """
        label = file.url.removeprefix("file://")
        with readable_errors(label), SeekableFile.buffered(file) as stored:
            if not file.size:
                return
            with unpacked(stored, label, takes=(AVRO,)) as content:
                head = content.read(HEAD_BYTES)
                content.seek(0)
                if head.startswith(AVRO):
                    yield from self._of_avro(content, file, label)
                elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
                    yield from self._of_json(content, file, label)
                else:
                    yield from self._of_table(content, label)

    def _of_json(self, content: IO[bytes], file: StoredFile, label: str) -> Iterator[Record]:
        number = line_number = 0
        while True:
            line, is_whole = next_line(content.readline)
            if not line:
                return
            line_number += 1
            if not (text := line.strip(b"\xef\xbb\xbf \t\r\n")):
                continue
            number += 1
            place = f"line {line_number}"
            if not is_whole:
                yield Record(number, place, [EventProblem("is longer than a line can be")])
                continue
            try:
                given: object = orjson.loads(text)
            except orjson.JSONDecodeError:
                if number == 1:
                    # One document over several lines, as people write JSON.
                    content.seek(0)
                    yield from self._of_document(content, file, label)
                    return
                yield Record(number, place, [EventProblem("is not JSON")])
                continue
            yield Record(number, place, self._outcomes(given, file, number))

    def _of_document(self, content: IO[bytes], file: StoredFile, label: str) -> Iterator[Record]:
        text = content.read(MAX_DOCUMENT_BYTES + 1)
        if len(text) > MAX_DOCUMENT_BYTES:
            raise ConfigurationError(f"{label}: is one JSON document of more than 64 MB; write one object a line")
        try:
            given = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"{label}: is neither JSON Lines nor a JSON document: {error}") from None
        for number, one in enumerate(given if isinstance(given, list) else [given], start=1):
            yield Record(number, f"entry {number}", self._outcomes(one, file, number))

    def _of_avro(self, content: IO[bytes], file: StoredFile, label: str) -> Iterator[Record]:
        name, records = avro_records(content, label)
        in_path = _EVENT_TYPE_IN_PATH.search(file.url)
        event_type = in_path[1] if in_path else _NAMESPACE.sub("", name)
        for number, record in enumerate(records, start=1):
            yield Record(number, f"record {number}", self._outcomes(_nested(record, event_type), file, number))

    def _of_table(self, content: IO[bytes], label: str) -> Iterator[Record]:
        with closing(CsvRows(content, label)) as rows:
            try:
                columns = InteractionColumns(rows.names, event_type=self._event_type)
            except EventProblem as problem:
                raise ConfigurationError(f"{label}: {problem}") from None
            try:
                yield from self._of_rows(rows, columns)
            except Surprise:
                # All of it decides its encoding. What was read before is read again, with the same ids.
                rows.learn(lambda _: None)
                yield from self._of_rows(rows, columns)

    def _of_rows(self, rows: CsvRows, columns: InteractionColumns) -> Iterator[Record]:
        for number, row in enumerate(rows.records(texts=rows.names), start=1):
            outcome: Outcome
            if isinstance(row, Unreadable):
                outcome = EventProblem(row.problem)
            else:
                try:
                    outcome = columns.event(row, self._now)
                except EventProblem as problem:
                    outcome = problem
            yield Record(number, f"line {rows.line}", [outcome])

    def _outcomes(self, given: Any, file: StoredFile, number: int) -> list[Outcome]:  # noqa: ANN401  # any JSON
        """The events of an entry of ours, of PutEvents' or of Braze's."""
        given = _dated(given, file.made_at, f"{file.url}:{number}")
        first = given[0] if isinstance(given, list) and given else given
        try:
            if isinstance(first, dict) and "eventList" in first:
                return list(events_of(given, self._now))
            if isinstance(first, dict) and "eventType" in first:
                singles = given if isinstance(given, list) else [given]
                return list(events_of([{**one, "eventList": [one]} for one in singles], self._now))
            return list(braze_events(given, self._terms, self._now))
        except EventProblem as problem:
            return [problem]


def _dated(given: object, made_at: float, place: str) -> object:
    """The entry with a time wherever it has none: the file's.

    An event that has neither time nor id gets an id of its place. So it is the same event whenever the file is read,
    also when the file has grown meanwhile.
    """
    if isinstance(given, list):
        return [_dated(one, made_at, f"{place}:{number}") for number, one in enumerate(given)]
    if not isinstance(given, dict):
        return given
    for name in ("eventList", "events"):
        if isinstance(given.get(name), list):
            return {**given, name: _dated(given[name], made_at, place)}
    time_key, id_key = ("sentAt", "eventId") if "eventType" in given else ("time", "id")
    if given.get(time_key) is not None:
        return given
    event_id = given.get(id_key) or blake2b(place.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    return {**given, time_key: made_at, id_key: event_id}


def _nested(record: dict[str, Any], event_type: str) -> dict[str, Any]:
    """A flat record of Currents' files as Currents' HTTP connector sends the same event."""
    flat = {name: value for name, value in record.items() if value is not None}
    custom: object = None
    if isinstance(flat.get("properties"), str):
        try:
            custom = orjson.loads(flat.pop("properties"))
        except orjson.JSONDecodeError:
            custom = None
    user = {name: flat.pop(name) for name in ("external_user_id", "user_id", "device_id", "timezone") if name in flat}
    if isinstance(custom, dict) and custom:
        flat["custom_properties" if event_type == CUSTOM_EVENT else "purchase_properties"] = custom
    return {
        "event_type": event_type,
        "id": flat.pop("id", None),
        "time": flat.pop("time", None),
        "user": user,
        "properties": flat,
    }
