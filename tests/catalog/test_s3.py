"""When an object in S3 is fetched, and when a file of before is used; the SDK's client answers at once."""

import asyncio
import io
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, cast

import pytest

from service.aws.session import AwsSession
from service.catalog.adapters import s3
from service.catalog.adapters.s3 import S3Source
from service.catalog.ports import ItemCatalog
from service.catalog.reading.recipe import Recipe
from tests.support.fakes import FakeCatalog

LABEL = "s3://shop/items.csv"
CONTENT = b"id,url\n" * 1_000


class Body(io.BytesIO):
    """As the SDK gives one."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def read(self, size: int) -> bytes:  # type: ignore[override]  # the SDK's is awaited
        return super().read(size)


class Client:
    """The SDK's, with one object; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self) -> "Client":
        return self

    async def head_object(self, *, Bucket: str, Key: str) -> dict[str, str]:  # noqa: N803  # the SDK's
        self.asked.append(f"head {Bucket} {Key}")
        return {"ETag": "e1"}

    async def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803  # the SDK's
        self.asked.append(f"get {Bucket} {Key}")
        return {"ETag": "e2", "Body": Body(CONTENT)}


@pytest.mark.parametrize(
    ("are_there", "is_found", "first", "said"),
    [
        (False, False, ["get"], ["are there", "prepare", "rename", "build False"]),
        (True, False, ["head", "get"], ["are there", "find", "prepare", "rename", "build False"]),
        (True, True, ["head"], ["are there", "find", "sweep"]),
    ],
)
def test_an_object_is_fetched_unless_a_file_of_its_version_is_kept_and_later_in_any_case(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    are_there: bool,
    is_found: bool,
    first: list[str],
    said: list[str],
) -> None:
    seen: list[str] = []
    made = cast(ItemCatalog, FakeCatalog(["a"]))

    class Kept:
        def __init__(self, recipe: Recipe, label: str) -> None:
            assert (recipe.data_dir, label) == (tmp_path, LABEL)

        def are_there(self) -> bool:
            seen.append("are there")
            return are_there

        def find(self, *, source: str, version: int, known: Sequence[str]) -> ItemCatalog | None:
            assert (source, version, known) == (f"{LABEL} e1", 4, ["size"])
            seen.append("find")
            return made if is_found else None

        def rename(self, content: str, source: str) -> None:
            assert (content, source) == (sha256(CONTENT).hexdigest(), f"{LABEL} e2")
            seen.append("rename")

    async def build(stream: io.BufferedRandom, *, background: bool, **more: Any) -> ItemCatalog:  # noqa: ANN401  # handed on
        stream.seek(0)
        assert stream.read() == CONTENT
        assert (more["content"].digest, more["content"].source) == (sha256(CONTENT).hexdigest(), f"{LABEL} e2")
        seen.append(f"build {background}")
        return made

    monkeypatch.setattr(s3, "KeptFiles", Kept)
    monkeypatch.setattr(s3, "build", build)
    monkeypatch.setattr(s3, "sweep", lambda _: seen.append("sweep"))
    monkeypatch.setattr(s3, "prepare", lambda _: seen.append("prepare"))
    source = S3Source(LABEL, Recipe({}, None, tmp_path), cast(AwsSession, None))
    client = Client()
    source._client = cast(Any, client)
    assert asyncio.run(source.load(4, ["size"])) is made
    assert client.asked == [f"{one} shop items.csv" for one in first]
    assert seen == said
    assert source.loaded_version == ("e1" if is_found else "e2")
    seen.clear()
    assert asyncio.run(source.load(5, ["size"])) is made
    assert seen == ["prepare", "rename", "build True"]
