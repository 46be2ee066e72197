"""How many files this process may open: a connection is one, and many systems allow few at first."""

import resource
from typing import Final

import structlog

from service.api.connections import MAX_CONNECTIONS

_log = structlog.stdlib.get_logger(__name__)

KEPT_BACK: Final = 256
"""For Redis, Personalize, the catalogue and the log; half of all where there are fewer than twice as many."""

ENOUGH: Final = MAX_CONNECTIONS + KEPT_BACK

_TRIED: Final = (1_048_576, 65_536, ENOUGH, 10_240)
"""Where the hard limit is none: macOS allows far fewer than it says."""

ADVICE: Final = (
    f"allow {ENOUGH} open files: LimitNOFILE of systemd, --ulimit nofile of docker, `ulimits` of a task or compose file"
)


def raise_open_files() -> int:
    """The files that this process may open, after it has allowed itself all that the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *_TRIED):
        if soft == hard or wanted == resource.RLIM_INFINITY or (soft != resource.RLIM_INFINITY and wanted <= soft):
            continue
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue
        break
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS + KEPT_BACK if soft == resource.RLIM_INFINITY else soft


def max_connections(files: int) -> int:
    """Connections that may be open at a time where so many files may be; logs a warning if that is fewer than usual."""
    most = min(MAX_CONNECTIONS, max(1, files - min(KEPT_BACK, files // 2)))
    if most < MAX_CONNECTIONS:
        _log.warning("open_files_few", max_files=files, max_connections=most, advice=ADVICE)
    return most
