"""No route but the probes answers who has no credential for it."""

import pytest

from service.api import delays
from tests.support.front_door import OpenDoor

API = "an-api-key-of-the-24-tests"
ADMIN = "an-admin-key-of-the-tests"
EVENTS = "events-key-of-24-characters"
PROBES = {"/livez", "/readyz"}
OUTSIDE_OF_THE_DOCUMENT = ("/openapi.json", "/docs", "/docs/start.js", "/metrics")
KEYS = {"API_KEYS": API, "ADMIN_KEYS": ADMIN, "EVENT_KEYS": EVENTS}


@pytest.mark.parametrize("key", ["", "an-api-key-of-nobody-at-all", EVENTS], ids=["no key", "a wrong key", "of events"])
async def test_every_route_asks_for_a_credential(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    # Of one caller in one second they are more than are refused at once.
    monkeypatch.setattr(delays, "UNDELAYED", 1000)
    async with open_door(**KEYS) as door:
        document = (await door.http.get("/openapi.json", headers={"X-API-Key": API})).json()
        routes = [(method, path) for path, methods in document["paths"].items() for method in methods]
        routes += [("get", path) for path in OUTSIDE_OF_THE_DOCUMENT]
        headers = {"X-API-Key": key} if key else {}
        for method, path in routes:
            filled = path.replace("{", "").replace("}", "")
            status = (await door.http.request(method.upper(), filled, headers=headers)).status_code
            if path in PROBES:
                assert status in (200, 503), (method, path)
            elif path == "/go/{token}":
                # Its token is signed.
                assert status == 404, (method, path)
            else:
                # A key of events opens what takes events, and the requests are empty.
                assert status in ((401, 404, 422) if key == EVENTS else (401,)), (method, path)
        assert len(routes) > 20


async def test_a_callers_key_opens_no_administration(open_door: OpenDoor) -> None:
    async with open_door(**KEYS) as door:
        document = (await door.http.get("/openapi.json", headers={"X-API-Key": API})).json()
        administration = [
            (method, path)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if "administration" in operation.get("tags", ())
        ]
        for method, path in administration:
            filled = path.replace("{", "").replace("}", "")
            answer = await door.http.request(method.upper(), filled, headers={"X-API-Key": API})
            assert answer.status_code == 401, (method, path)
        assert len(administration) > 5
