from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Response

from service.batch.adapters.files import find
from service.batch.files import BatchFileReader
from service.errors import BatchError
from tests.support.amazon import DENIED, Amazon

URL = "s3://batches/send/a.out"


@pytest.fixture
def put(amazon: Amazon) -> Iterator[Callable[[bytes], Any]]:
    client = amazon.client("s3")
    client.create_bucket(Bucket="batches")
    yield lambda content: client.put_object(Bucket="batches", Key="send/a.out", Body=content)
    client.close()


def lines_of(reader: BatchFileReader) -> list[bytes]:
    with reader:
        return list(iter(lambda: reader.readline(1 << 20), b""))


def test_an_object_replaced_since_it_was_found_is_not_read(put: Callable[[bytes], Any]) -> None:
    put(b"one\ntwo\n")
    [file], _ = find([URL])
    assert lines_of(BatchFileReader(file, 4)) == [b"two\n"]

    put(b"three\n")

    with pytest.raises(BatchError, match=rf"^{URL}: PreconditionFailed"):
        BatchFileReader(file, 0)


def test_an_object_that_is_refused_is_one_line(amazon: Amazon, put: Callable[[bytes], Any]) -> None:
    put(b"one\n")
    [file], _ = find([URL])
    amazon.refused["GET"] = DENIED

    with pytest.raises(BatchError, match=rf"^{URL}: AccessDenied \(403\)") as caught:
        BatchFileReader(file, 0)
    assert "\n" not in str(caught.value)
    with pytest.raises(BatchError, match=r"^s3://batches/: AccessDenied \(403\)"):
        find(["s3://batches/"])


def test_a_connection_lost_amid_an_object_is_no_end_of_it(amazon: Amazon, put: Callable[[bytes], Any]) -> None:
    put(b"one\n" * 100)
    [file], _ = find([URL])

    def cut_short() -> Iterator[bytes]:
        yield b"one\n" * 50

    amazon.refused["GET"] = Response(cut_short(), headers={"Content-Length": "400", "Connection": "close"})

    with pytest.raises(BatchError, match=rf"^{URL}: cannot be read: ."):
        lines_of(BatchFileReader(file, 0))


def test_a_load_goes_on_with_credentials_that_were_written_anew(
    put: Callable[[bytes], Any], amazon: Amazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: a load of hours outlives its credentials; a refusal that nothing has changed about stays one."""
    put(b"one\n")
    profile = tmp_path / "credentials"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    profile.write_text("[default]\naws_access_key_id = OLD\naws_secret_access_key = s\n", encoding="utf-8")
    [file], _ = find([URL])
    amazon.refused_keys["OLD"] = "ExpiredToken"
    with pytest.raises(BatchError, match="ExpiredToken"):
        BatchFileReader(file, 0)
    profile.write_text("[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n", encoding="utf-8")
    assert lines_of(BatchFileReader(file, 0)) == [b"one\n"]
