"""What the machine lets the service do: open files, and a folder of its own."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from service.doctor.findings import Finding, error, ok, warning
from service.files.private import check_writable

FEW_FILES: Final = 1_024
"""Fewer open files than this cannot hold the connections of a send."""

ENOUGH_FILES: Final = 8_448
"""As many connections as a replica takes, and 256 besides."""

_MORE_FILES: Final = (
    "allow more: LimitNOFILE of systemd, --ulimit nofile of docker, `ulimits` of a task or compose file, `ulimit -n`"
)


def check_open_files() -> Iterator[Finding]:
    """The limit of open files; the service raises the soft one to the hard one by itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= ENOUGH_FILES:
        if soft != resource.RLIM_INFINITY and soft < FEW_FILES:
            yield warning("open files", f"{soft} at first; the service raises them to {_shown(hard)} by itself")
        else:
            yield ok("open files", f"up to {_shown(hard)}")
        return
    what = f"at most {hard}, and each connection is one; a send needs up to {ENOUGH_FILES}"
    yield (error if hard < FEW_FILES else warning)("open files", what, _MORE_FILES)


def check_data_dir(data_dir: Path, *, embedded: bool) -> Iterator[Finding]:
    """Whether DATA_DIR can be written: without Redis all that must survive a restart is there."""
    try:
        check_writable(data_dir)
    except OSError as failure:
        what = f"{data_dir} cannot be written: {failure.strerror or failure}"
        advice = "name a folder that this user may write, on a volume that outlives the container"
        if embedded:
            yield error("DATA_DIR", f"{what}; without REDIS_URL blocked items and batch lists are kept there", advice)
        else:
            yield warning("DATA_DIR", f"{what}; large catalogues and those in S3 are kept there", advice)
    else:
        yield ok("DATA_DIR", f"{data_dir} can be written")


def _shown(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)
