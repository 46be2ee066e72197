"""`python -m service.local_personalize.work DIRECTORY`: carries out the job of this directory."""

import os
import sys
import threading
from pathlib import Path

from service.local_personalize.work.jobs import carry_out


def _end_with_parent() -> None:
    """End this process once nobody holds the other end of its standard input."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    carry_out(Path(sys.argv[1]))
