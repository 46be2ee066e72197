"""The OpenAPI document, as a tool understands it that tries to prove it wrong."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.examples import examples
from tests.support.processes import Process, service

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}

# Which columns and placeholders there are is the catalogue's and the filters' matter; and who asks GET of
# /users/prewarm hears of DELETE, since there may be a user of that name.
UNFIT = "positive_data_acceptance,allow_header_conformance"

# Of a repeated parameter the first counts, and what the document does not name is ignored.
TOLERATED = "negative_data_rejection"


@pytest.fixture(scope="module")
def closed(personalize: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A replica with keys."""
    data = str(tmp_path_factory.mktemp("data"))
    with service(
        personalize,
        PERSONALIZE_TPS="500",
        API_KEYS="an-api-key-of-these-tests",
        ADMIN_KEYS=ADMIN["X-API-Key"],
        DATA_DIR=data,
    ) as running:
        yield running


@pytest.mark.parametrize(
    ("phase", "unfit"),
    [("coverage", UNFIT), pytest.param("fuzzing", f"{UNFIT},{TOLERATED}", marks=pytest.mark.hypothesis)],
)
def test_schemathesis_finds_no_answer_that_the_document_does_not_describe(
    closed: Process, tmp_path: Path, phase: str, unfit: str
) -> None:
    document = f"{closed.url}/openapi.json"
    # The first phase tries what the document suggests, the second one draws so many of each operation.
    drawn = str(examples(4).max_examples)
    options = ["--phases", phase, "--max-examples", drawn, "--seed", "1", "--exclude-checks", unfit]

    tried = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            document,
            "-H",
            f"X-API-Key: {ADMIN['X-API-Key']}",
            *options,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tried.returncode == 0, tried.stdout[-6000:]
    operations = sum(len(methods) for methods in httpx.get(document, headers=ADMIN).json()["paths"].values())
    assert operations >= 10
    assert f"Tested: {operations}" in tried.stdout
    assert closed.is_running
