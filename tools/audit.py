"""Look the locked dependencies up in the public database of vulnerabilities.

Exit status 1 when one is known to be vulnerable. Where the database cannot be reached: 0, with a word, since
that says nothing about the dependencies.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements/liquid.txt", "requirements/build.txt")


def main() -> int:
    """0, or 1 when something was found."""
    return max(audit(lock) for lock in LOCKS)


def audit(lock: str) -> int:
    """Audit one lock; 1 when something was found."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
    run = subprocess.run(  # noqa: S603  # our own command
        [*command, "--format", "json", "-r", lock], cwd=ROOT, capture_output=True, text=True, check=False
    )
    try:
        dependencies: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except ValueError:
        reasons = run.stderr.strip().splitlines()
        print(f"{lock}: not audited: {reasons[-1] if reasons else 'no answer'}", file=sys.stderr)
        return 0
    audited = [one for one in dependencies if "skip_reason" not in one]
    vulnerable = [one for one in audited if one["vulns"]]
    for one in vulnerable:
        print(f"{lock}: {one['name']} {one['version']}: {', '.join(known['id'] for known in one['vulns'])}")
    word = f"{len(audited)} of {len(dependencies)} audited" if audited else "not audited: no database in reach"
    print(f"{lock}: {word}", file=sys.stderr)
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
