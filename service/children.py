"""What a child process of ours inherits: what Python needs to run, and nothing that configures the service.

The environment of a replica holds its keys, Redis's password and AWS credentials. A child that does not need them must
not have them, where a crash dump or `/proc` would show them.
"""

import os
from collections.abc import Mapping
from typing import Final

INHERITED: Final = frozenset(
    {
        "HOME",
        "LANG",
        "LD_LIBRARY_PATH",
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "PYTHONWARNINGS",
        "TMPDIR",
        "TZ",
        "VIRTUAL_ENV",
    }
)
"""And `LC_...`."""


def child_environment(**more: str) -> Mapping[str, str]:
    """The environment of a child: what it inherits, and what is named here."""
    kept = {name: value for name, value in os.environ.items() if name in INHERITED or name.startswith("LC_")}
    return kept | more
