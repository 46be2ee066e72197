"""Write a software bill of materials, as CycloneDX JSON, to standard output.

Without an argument it is that of requirements/liquid.txt: exactly what is locked, hashes included. With the name of
an image it is that of what is installed there: every Python package, and the base's own Debian packages.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).parents[1]


IN_IMAGE = """
import importlib.metadata, json, platform
packages = [["pypi", one.name, one.version, ""] for one in importlib.metadata.distributions()]
packages.append(["generic", "python", platform.python_version(), ""])
for entry in open("/var/lib/dpkg/status", encoding="utf-8").read().split("\\n\\n"):
    fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line and line[0] != " ")
    if fields.get("Status", "").endswith(" installed"):
        packages.append(["deb/debian", fields["Package"], fields["Version"], fields["Architecture"]])
print(json.dumps(packages))
"""


def main() -> int:
    """The exit status of the generator."""
    if sys.argv[1:]:
        print(json.dumps(of_image(sys.argv[1]), indent=2))
        return 0
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", "pyproject.toml"]
    options = ["--short-PURLs", "--output-reproducible", "--of", "JSON", "requirements/liquid.txt"]
    return subprocess.run([*command, *options], cwd=ROOT, check=False).returncode  # noqa: S603  # our own command


def of_image(image: str) -> dict[str, Any]:
    """The bill of materials of an image that the Docker engine has."""
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", IN_IMAGE]
    run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own command
    components = []
    for kind, name, version, architecture in sorted(json.loads(run.stdout)):
        version_in_purl = quote(version, safe=".-_~:")
        purl = f"pkg:{kind}/{name.lower()}@{version_in_purl}" + (f"?arch={architecture}" if architecture else "")
        components.append({"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": image, "bom-ref": image}},
        "components": components,
    }


if __name__ == "__main__":
    sys.exit(main())
