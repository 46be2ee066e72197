"""A local Personalize, and no credentials but those of the test."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from botocore.utils import ContainerMetadataFetcher

from service.aws import credentials
from service.local_personalize.app import create_app
from service.local_personalize.data import read_dataset
from service.local_personalize.learn import learn
from tests.support.credential_endpoint import CredentialEndpoint
from tests.support.local_personalize import LocalPersonalize, serving
from tests.support.processes import SAMPLE


@pytest.fixture(scope="module")
def model_server() -> Iterator[LocalPersonalize]:
    with serving(create_app(learn(read_dataset(SAMPLE)), tps=0, latency_ms=0)) as running:
        yield running


@pytest.fixture
def local(model_server: LocalPersonalize) -> Iterator[LocalPersonalize]:
    yield model_server
    model_server.refuse()


@pytest.fixture(autouse=True)
def no_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own credentials."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look, and the SDK's next attempt within one, begin at once instead of after half a second or one."""
    monkeypatch.setattr(credentials, "FIRST_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setattr(ContainerMetadataFetcher, "TIMEOUT_SECONDS", 0.5)


@pytest.fixture
async def endpoint() -> AsyncIterator[CredentialEndpoint]:
    """Silent until a test opens it."""
    endpoint = CredentialEndpoint()
    yield endpoint
    await endpoint.close()
