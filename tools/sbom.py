"""Write the software bill of materials of what the image installs, as CycloneDX JSON, to standard output.

It comes from requirements/runtime.txt, so that it names exactly what is locked, hashes included. The base
image's own packages are not in it.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """The exit status of the generator."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", "pyproject.toml"]
    options = ["--short-PURLs", "--output-reproducible", "--of", "JSON", "requirements/runtime.txt"]
    return subprocess.run([*command, *options], cwd=ROOT, check=False).returncode  # noqa: S603  # our own command


if __name__ == "__main__":
    sys.exit(main())
