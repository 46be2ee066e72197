"""Somebody at the console, as a browser would be: keeps cookies, and sends the token of the page that it has read."""

import json
import re
from dataclasses import dataclass

import httpx

from tests.support.front_door import Door

ADMIN_KEY = "admin-key-of-24-characters-"


@dataclass(slots=True)
class Visitor:
    """Reads pages and posts what their forms and modules post."""

    door: Door
    token: str = ""

    async def read(self, path: str = "/console") -> httpx.Response:
        page = await self.door.http.get(path)
        found = re.search(r'<meta name="console-token" content="([^"]+)">', page.text)
        self.token = found[1] if found else ""
        return page

    async def log_in(self, key: str = ADMIN_KEY, page: str = "/console") -> httpx.Response:
        await self.read(page)
        form = {"token": self.token, "key": key, "next": page.removeprefix("/console")}
        answer = await self.door.http.post("/console/login", data=form)
        if answer.status_code == 303:
            await self.read(answer.headers["location"])
        return answer

    async def log_out(self) -> httpx.Response:
        return await self.door.http.post("/console/logout", data={"token": self.token})

    async def post(self, path: str, **body: object) -> httpx.Response:
        headers = {"X-Console-Token": self.token, "Content-Type": "application/json"}
        return await self.door.http.post(f"/console/api/{path}", content=json.dumps(body), headers=headers)

    async def get(self, path: str) -> httpx.Response:
        return await self.door.http.get(f"/console/api/{path}")
