"""A check of data: its files are read once into tables, and each rule asks these."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from service.files.stored import StoredFile
from service.pipeline.data.cell_checks import cell_findings
from service.pipeline.data.file_checks import column_findings, file_findings, metadata_findings
from service.pipeline.data.findings import Finding
from service.pipeline.data.history import History, measure
from service.pipeline.data.history_checks import (
    amount_findings,
    catalog_findings,
    event_type_findings,
    wanted_event_findings,
)
from service.pipeline.data.limits import REQUIRED, DatasetKind, Domain
from service.pipeline.data.staging import stage
from service.pipeline.data.tables import Dataset, Workspace
from service.pipeline.data.types import TypedColumn, infer_types, schema_of
from service.pipeline.ports import Display

_LEVELS: Final = ("error", "warning", "note")
_STEPS_PER_SECOND_SHOWN: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the data is for."""

    domain: Domain | None = None
    wanted_events: Mapping[str, str] | None = None
    """Event types by the solution that trains only on them."""


@dataclass(slots=True, kw_only=True)
class CheckReport:
    """What was found in data, and what the data looks like."""

    datasets: dict[DatasetKind, Dataset]
    findings: list[Finding]
    types: dict[DatasetKind, dict[str, TypedColumn]]
    history: History | None
    """None without interactions that have all required columns."""

    @property
    def is_fine(self) -> bool:
        """Whether Personalize would import the data and train on it."""
        return all(finding.level != "error" for finding in self.findings)

    def schemas(self) -> dict[DatasetKind, dict[str, Any]]:
        """The Avro schema of each dataset, inferred from its values."""
        return {kind: schema_of(kind, types) for kind, types in self.types.items()}


@contextmanager
def open_workspace(on_share: Callable[[float], None] = lambda _: None) -> Iterator[tuple[Workspace, Path]]:
    """Tables in a folder of their own, taken away afterwards."""
    with tempfile.TemporaryDirectory(prefix="personalize-data-") as folder:
        files = Path(folder, "files")
        files.mkdir()
        workspace = Workspace(Path(folder), on_share)
        try:
            yield workspace, files
        finally:
            workspace.close()


@contextmanager
def checked(
    files: Mapping[DatasetKind, Sequence[StoredFile]], wishes: Wishes, *, now: float, display: Display
) -> Iterator[tuple[CheckReport, Workspace]]:
    """A report, with the tables that it is about for as long as the block lasts.

    Args:
        files: Of each dataset.
        wishes: What the data is for.
        now: Unix seconds.
        display: Shows how far it is.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    total = sum(file.size for of_kind in files.values() for file in of_kind)
    shares: list[Callable[[float], None]] = []
    with open_workspace(lambda share: shares[-1](share) if shares else None) as (workspace, folder):
        staged = {}
        with display.track("read", "bytes", total) as track:
            done = 0

            def on_bytes(count: int) -> None:
                nonlocal done
                done += count
                track.reach(done, "")

            for kind, of_kind in files.items():
                staged[kind] = [stage(file, folder, on_bytes) for file in of_kind]
        datasets = {}
        for kind, of_kind_staged in staged.items():
            with display.track(f"load {kind}", "per mille", _STEPS_PER_SECOND_SHOWN) as loading:
                shares[:] = [lambda share, loading=loading: loading.reach(int(share * _STEPS_PER_SECOND_SHOWN), "")]  # type: ignore[misc]  # mypy infers no lambda with a default
                datasets[kind] = workspace.load(kind, of_kind_staged)
        shares.clear()
        with display.track("check", "datasets", len(datasets)) as checking:
            yield _report(workspace, datasets, wishes, now, lambda n: checking.reach(n, "")), workspace


def _report(
    workspace: Workspace,
    datasets: dict[DatasetKind, Dataset],
    wishes: Wishes,
    now: float,
    on_dataset: Callable[[int], None],
) -> CheckReport:
    findings: list[Finding] = []
    types: dict[DatasetKind, dict[str, TypedColumn]] = {}
    history: History | None = None
    for number, (kind, dataset) in enumerate(datasets.items(), 1):
        findings += file_findings(dataset)
        findings += column_findings(dataset, wishes.domain)
        if any(file.is_headless for file in dataset.files) or not dataset.names:
            continue
        types[kind] = infer_types(workspace, dataset)
        findings += metadata_findings(dataset, types[kind])
        findings += cell_findings(workspace, dataset, types[kind], now)
        if kind == "interactions" and set(REQUIRED[kind]) <= set(dataset.names) and dataset.rows:
            history = measure(workspace, dataset)
            findings += amount_findings(dataset, history)
            findings += event_type_findings(dataset, history)
            findings += wanted_event_findings(dataset, history, wishes.wanted_events or {})
        elif kind != "interactions" and set(REQUIRED[kind]) <= set(dataset.names) and dataset.rows:
            findings += catalog_findings(workspace, dataset, has_interactions=history is not None)
        on_dataset(number)
    if "interactions" not in datasets:
        findings.append(_no_interactions())
    findings.sort(key=lambda finding: _LEVELS.index(finding.level))
    return CheckReport(datasets=datasets, findings=findings, types=types, history=history)


def _no_interactions() -> Finding:
    return Finding(
        code="no-interactions", level="error", dataset="interactions",
        message="no file holds interactions, and every recipe but semantic-similarity learns from them",
        remedy="Name it so, or use --interactions FILE",
    )  # fmt: skip
