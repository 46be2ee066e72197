"""A job from its file to its result."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from service.local_personalize.control.workers import JOB_FILE, result_of, write_result
from service.local_personalize.work.failure import JobFailed

Work = Callable[[dict[str, Any], Path], dict[str, Any]]
"""Takes a job and its directory; gives the result; may raise `JobFailed`."""


def carry_out(directory: Path) -> None:
    """Do what the job says, and write down what came of it. A job with a result stays as it is."""
    if result_of(directory) is not None:
        return
    job = orjson.loads((directory / JOB_FILE).read_bytes())
    try:
        result = _work(job["do"])(job, directory)
    except ModuleNotFoundError as missing:
        result = {"failure": f"The package {missing.name} is not installed: requirements/pipeline.txt has it."}
    except JobFailed as failed:
        result = {"failure": str(failed)}
    except Exception as error:  # noqa: BLE001  # whatever it is, the resource must not stay in progress for ever
        traceback.print_exc()
        result = {"failure": f"InternalFailure: {type(error).__name__}: {error}"}
    write_result(directory, result)


def _work(name: str) -> Work:
    """Each kind of work loads only what it needs."""
    if name == "import":
        from service.local_personalize.work.imports import import_rows  # noqa: PLC0415

        return import_rows
    if name == "train":
        from service.local_personalize.work.trainings import train  # noqa: PLC0415

        return train
    if name == "batch":
        from service.local_personalize.work.batches import run_batch  # noqa: PLC0415

        return run_batch
    if name in ("export", "delete"):
        from service.local_personalize.work.rewrites import delete_users, export_rows  # noqa: PLC0415

        return export_rows if name == "export" else delete_users
    raise AssertionError(f"no work {name}")
