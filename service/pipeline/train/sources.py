"""The data that `personalize.toml` names: what it is by content, and how it gets to where Personalize reads it.

Nothing is read but for its fingerprint until a schema or an import needs it; then all datasets are checked once.
"""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Self

from service.errors import ConfigurationError, PipelineError
from service.files.adapters.find import find
from service.files.stored import StoredFile
from service.pipeline.data.check import CheckReport, Wishes, checked
from service.pipeline.data.findings import Finding
from service.pipeline.data.fix import write
from service.pipeline.data.limits import DatasetKind
from service.pipeline.data.places import SUFFIXES
from service.pipeline.data.tables import Workspace
from service.pipeline.ports import Display, Storage
from service.pipeline.train.account import Account
from service.pipeline.train.names import schema_name
from service.pipeline.train.nouns import SCHEMA
from service.pipeline.train.terms import PipelineTerms
from service.pipeline.train.wanted import DataWanted

FINGERPRINT_CHARACTERS: Final = 10
CONVERSION: Final = "1"
"""Part of the fingerprint; another number has the same files imported again."""

CONVERTED: Final = frozenset(
    {
        *("not-plain-csv", "column-name", "wrong-delimiter", "quoted-header", "byte-order-mark", "illegal-column-name"),
        *("not-upper-case", "boolean-not-lower-case", "timestamp-not-seconds", "timestamp-not-whole", "columns-differ"),
    }
)
"""Kinds of mistakes whose mending loses nothing; any other error stops an apply."""

_CHUNK: Final = 1 << 20


class Sources:
    """The datasets of one pipeline; a context manager.

    Args:
        terms: Names them.
        account: Knows the schemas that are in use.
        storage: Where converted files go.
        display: Shows how far reading is.
        now: Unix seconds.

    Raises:
        ConfigurationError: A file is not there.
    """

    def __init__(
        self, terms: PipelineTerms, *, account: Account, storage: Storage, display: Display, now: float
    ) -> None:
        self._terms = terms
        self._account = account
        self._storage = storage
        self._display = display
        self._now = now
        self._stack = ExitStack()
        self._checked: tuple[CheckReport, Workspace] | None = None
        self._files: dict[DatasetKind, list[StoredFile]] = {}
        for kind in terms.kinds:
            files, _ = find(terms.data.of(kind), error=ConfigurationError, suffixes=SUFFIXES)
            self._files[kind] = files

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def wanted(self) -> dict[DatasetKind, DataWanted]:
        """The data of each dataset, ready to be asked for."""
        return {kind: self._wanted(kind) for kind in self._files}

    def megabytes(self) -> float:
        """How large the files are, as they are stored."""
        return sum(file.size for files in self._files.values() for file in files) / 1e6

    def interactions(self) -> int | None:
        """How many interactions there are, if the data has been read."""
        return self._checked[0].datasets["interactions"].rows if self._checked else None

    def _wanted(self, kind: DatasetKind) -> DataWanted:
        own = self._own_schema(kind)
        return DataWanted(
            kind=kind,
            fingerprint=_fingerprint(self._files[kind], own),
            schema=lambda: own or json.dumps(self._report().schemas()[kind]),
            schema_hash=sha256(own.encode()).hexdigest()[:6] if own else "",
            location=partial(self._location, kind),
            facts=partial(self._facts, kind),
        )

    def _own_schema(self, kind: DatasetKind) -> str:
        path = self._terms.data.schemas.get(kind)
        if path is None:
            return ""
        try:
            text = Path(path).read_text("utf-8")
            return json.dumps(json.loads(text))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"data.schemas.{kind}: {path}: {error}") from error

    def _report(self) -> CheckReport:
        return self._tables()[0]

    def _tables(self) -> tuple[CheckReport, Workspace]:
        if self._checked is None:
            events = {
                f"solutions.{name}": one.event_type for name, one in self._terms.solutions.items() if one.event_type
            }
            wishes = Wishes(domain=self._terms.domain, wanted_events=events)
            entered = checked(self._files, wishes, now=self._now, display=self._display)
            self._checked = self._stack.enter_context(entered)
        return self._checked

    def check(self) -> None:
        """Do nothing if Personalize can import the data and train on it.

        Raises:
            PipelineError: It cannot; a line for each mistake.
        """
        stopping = [one for one in self._report().findings if self._stops(one)]
        if stopping:
            raise PipelineError(*(one.text() for one in stopping), "mend it first; `data check --fix DIR` helps")

    def _stops(self, finding: Finding) -> bool:
        return finding.level == "error" and finding.code not in CONVERTED and finding.code != "no-interactions"

    def _location(self, kind: DatasetKind) -> str:
        """Where Personalize reads a dataset: where it is, if it is there as it must be; else a copy."""
        report, workspace = self._tables()
        in_place = self._in_place(kind, report)
        if in_place:
            return in_place
        if self._terms.upload is None:
            raise PipelineError(f"the {kind} have to be converted, and `upload` says no place for that")
        columns = [field["name"] for field in self._schema(kind)["fields"]]
        missing = [name for name in columns if name not in report.types[kind]]
        if missing:
            raise PipelineError(
                f"the {kind} lack {', '.join(missing)}, which the schema in use has; add them, or write a schema"
                f" without them and name it in data.schemas"
            )
        url = f"{self._terms.upload}{self._terms.name}/{kind}-{self._wanted(kind).fingerprint}.csv"
        if not self._storage.has(url):
            with TemporaryDirectory(prefix="personalize-upload-") as folder:
                path = Path(folder, f"{kind}.csv")
                rows = write(workspace, report.datasets[kind], report.types[kind], report.history, path, names=columns)
                self._display.say(f"{kind}: {rows:,} rows to {url}")
                self._storage.put(path, url)
        return url

    def _facts(self, kind: DatasetKind) -> dict[str, str]:
        report, _ = self._tables()
        facts = {"rows": str(report.datasets[kind].rows), "content": self._wanted(kind).fingerprint}
        if kind == "interactions" and report.history is not None:
            history = report.history
            facts |= {"users": str(history.users), "items": str(history.items), "newest": str(history.newest)}
        return facts

    def _in_place(self, kind: DatasetKind, report: CheckReport) -> str:
        addresses = self._terms.data.of(kind)
        is_right = not any(
            one.dataset == kind and (one.level == "error" or one.code in CONVERTED) for one in report.findings
        )
        return addresses[0] if is_right and len(addresses) == 1 and addresses[0].startswith("s3://") else ""

    def _schema(self, kind: DatasetKind) -> Mapping[str, Any]:
        wanted = self._wanted(kind)
        found = self._account.find(SCHEMA, schema_name(self._terms, kind, wanted.schema_hash))
        schema: Mapping[str, Any] = json.loads(str(found.described["schema"]) if found else wanted.schema())
        return schema


def _fingerprint(files: list[StoredFile], schema: str) -> str:
    """By content where the file is here, by S3's word for the content where it is there."""
    whole = sha256(f"{CONVERSION}\n{schema}\n".encode())
    for file in files:
        if file.url.startswith("file://"):
            stream = file.stored_from(0)
            try:
                while chunk := stream.read(_CHUNK):
                    whole.update(chunk)
            except OSError as error:
                raise ConfigurationError(f"{file.url}: cannot be read: {error.strerror}") from error
            finally:
                stream.close()
        else:
            whole.update(f"{file.url}\n{file.version}\n".encode())
    return whole.hexdigest()[:FINGERPRINT_CHARACTERS]
