"""Callers of a replica whose AWS credentials come, go and change; and what is done to the credentials."""

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from tests.support.front_door import Door
from tests.support.local_personalize import LocalPersonalize
from tests.support.processes import SAMPLE
from tests.support.waiting import until

NO_KEYS: Final = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
CATALOG: Final = {"CATALOG_URL": f"file://{SAMPLE}/items.csv"}


class Callers:
    """Ask, each time for a user who has no list."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._asked = 0

    async def source(self) -> str:
        """Where the answer to the next of them comes from."""
        self._asked += 1
        answer = await self._door.get("/recommendations", user_id=f"caller{self._asked}")
        assert answer.status_code == 200
        assert len(answer.json()) == 10
        return answer.headers["X-Recommendation-Source"]

    async def are_answered_personally(self) -> None:
        """Return once one is."""

        async def is_personal() -> bool:
            return await self.source() == "personalize"

        await until(is_personal)


def events(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The log events that have to do with credentials, since they were last asked for."""
    out, err = capsys.readouterr()
    words = (out + err).split()
    return [word for word in words if word.startswith("aws_credentials_")]


async def refuse(local: LocalPersonalize, **codes: str) -> None:
    await asyncio.to_thread(local.refuse, **codes)


def write_profile(key: str, profile: str = "default") -> None:
    path = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    path.write_text(f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = secret\n", encoding="utf-8")
