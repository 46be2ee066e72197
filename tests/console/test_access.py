"""Who may see the console."""

import re
import sys

import pytest
from fastapi.routing import APIRoute
from structlog.testing import capture_logs

from service.console.pages import NAVIGATION
from service.console.room import ROUTERS
from service.console.routes import ApiRoute
from service.console.sessions import SESSION_SECONDS
from service.credentials import hash_key
from tests.support.console import ADMIN_KEY, Visitor
from tests.support.front_door import OpenDoor

KEYED = {"ADMIN_KEYS": ADMIN_KEY}


async def test_nothing_is_seen_without_a_login_and_all_pages_after_it(open_door: OpenDoor) -> None:
    async with open_door(**KEYED) as door:
        visitor = Visitor(door)
        for link in NAVIGATION:
            page = await visitor.read(f"/console{link.path}")
            assert (page.status_code, "<h1>Log in to the console</h1>" in page.text) == (401, True)
            assert "www-authenticate" not in page.headers
        answer = await visitor.log_in(page="/console/operations")
        assert answer.headers["location"] == "/console/operations"
        cookie = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/console"} <= set(cookie.split("; "))
        for link in NAVIGATION:
            page = await visitor.read(f"/console{link.path}")
            assert page.status_code == 200
            assert f'aria-current="page">{link.name}</a>' in page.text
        assert (await visitor.log_out()).status_code == 303
        assert (await visitor.read()).status_code == 401


async def test_a_wrong_key_gets_nobody_in_and_is_counted_as_any_wrong_credential(open_door: OpenDoor) -> None:
    async with open_door(**KEYED) as door:
        visitor = Visitor(door)
        refused = await visitor.log_in("wrong-key-of-24-characters-")
        assert (refused.status_code, "This admin key is not known." in refused.text) == (401, True)
        assert (await visitor.read()).status_code == 401
        metrics = (await door.get("/metrics")).text
        assert "http_unauthorized_total 1.0" in metrics
        assert 'http_refused_total{parameter="",route="/console/login",status="401"} 1.0' in metrics


async def test_neither_an_api_key_nor_a_visit_is_a_login(open_door: OpenDoor) -> None:
    api_key = "an-api-key-of-24-characters"
    async with open_door(**KEYED, API_KEYS=api_key, BASIC_AUTH=f"braze:{api_key}") as door:
        visitor = Visitor(door)
        for key in (api_key, f"braze:{api_key}", ""):
            assert (await visitor.log_in(key)).status_code == 401
        visit = door.http.cookies["personalize_connect_visit"]
        door.http.cookies.set("personalize_connect_session", visit)
        assert (await visitor.read()).status_code == 401
        headers = {"X-API-Key": ADMIN_KEY}
        assert (await door.http.get("/console/api/operations", headers=headers)).status_code == 401


async def test_all_that_pages_ask_for_needs_a_login_and_every_post_the_pages_token(open_door: OpenDoor) -> None:
    """Of pages that are added later too; and no path has room for a user id."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    apis = [route for route in routes if isinstance(route, ApiRoute)]
    assert len(apis) > 5
    assert {route.path for route in routes if route.path.startswith("/console/api/")} == {one.path for one in apis}
    assert {name for route in routes for name in route.param_convertors} == {"digest", "name", "rest"}
    async with open_door(**KEYED) as door:
        visitor = Visitor(door)
        await visitor.read()
        for token, status in ((visitor.token, 401), ("", 403), ("made-up", 403)):
            for route in apis:
                for method in route.methods or ():
                    wanted = 200 if (method, status) == ("GET", 403) else status
                    headers = {"X-Console-Token": token}
                    answer = await door.http.request(method, route.path, json={}, headers=headers)
                    assert answer.status_code == wanted, (method, route.path)
                    assert answer.headers["x-content-type-options"] == "nosniff"
                    assert "www-authenticate" not in answer.headers
            await visitor.log_in()


async def test_a_login_without_the_pages_token_or_from_another_site_is_no_login(open_door: OpenDoor) -> None:
    async with open_door(**KEYED) as door:
        visitor = Visitor(door)
        await visitor.read()
        form = {"key": ADMIN_KEY, "next": ""}
        assert (await door.http.post("/console/login", data=form)).status_code == 403
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        form["token"] = visitor.token
        assert (await door.http.post("/console/login", data=form, headers=elsewhere)).status_code == 403
        assert (await door.http.post("/console/login", data=form)).status_code == 303


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/../recommendations"])
async def test_a_login_leads_to_pages_of_the_console_only(open_door: OpenDoor, target: str) -> None:
    async with open_door(**KEYED) as door:
        visitor = Visitor(door)
        await visitor.read()
        form = {"token": visitor.token, "key": ADMIN_KEY, "next": target}
        assert (await door.http.post("/console/login", data=form)).headers["location"] == "/console"


async def test_a_login_ends_after_eight_hours_and_cannot_be_made_up(open_door: OpenDoor) -> None:
    async with open_door(**KEYED) as door:
        visitor = Visitor(door)
        await visitor.log_in()
        cookie = door.http.cookies["personalize_connect_session"]
        made_up = ("A" if cookie[0] != "A" else "B") + cookie[1:]
        door.http.cookies.set("personalize_connect_session", made_up)
        assert (await door.http.get("/console")).status_code == 401
        door.http.cookies.clear()
        door.http.cookies.set("personalize_connect_session", cookie)
        assert (await door.http.get("/console")).status_code == 200
        door.clock.moved_seconds += SESSION_SECONDS + 2
        assert (await door.http.get("/console")).status_code == 401


async def test_a_login_holds_on_every_replica_and_over_a_restart_until_a_key_changes(open_door: OpenDoor) -> None:
    async with open_door(**KEYED) as door:
        await Visitor(door).log_in()
        cookie = door.http.cookies["personalize_connect_session"]

    async def is_known(**settings: str) -> bool:
        async with open_door(**settings) as other:
            other.http.cookies.set("personalize_connect_session", cookie)
            return (await other.http.get("/console")).status_code == 200

    assert await is_known(ADMIN_KEYS=ADMIN_KEY)
    assert not await is_known(ADMIN_KEYS=f"{ADMIN_KEY},another-key-of-24-characters")
    assert not await is_known(ADMIN_KEYS=ADMIN_KEY, CONSOLE_SECRET="a secret that signs sessions")


async def test_who_reads_the_hash_of_an_admin_key_cannot_sign_a_session(open_door: OpenDoor) -> None:
    hashed = hash_key(ADMIN_KEY)
    secret = "a secret that signs sessions"
    cookies = []
    for settings in ({"ADMIN_KEYS": hashed}, {"ADMIN_KEYS": hashed, "CONSOLE_SECRET": secret}):
        async with open_door(**settings) as door:
            with capture_logs() as lines:
                assert (await Visitor(door).log_in()).status_code == 303
            assert ("console_sessions_local" in [line["event"] for line in lines]) == ("CONSOLE_SECRET" not in settings)
            cookies.append(door.http.cookies["personalize_connect_session"])
    async with open_door(ADMIN_KEYS=hashed, CONSOLE_SECRET=secret) as door:
        door.http.cookies.set("personalize_connect_session", cookies[1])
        assert (await door.http.get("/console")).status_code == 200
    async with open_door(ADMIN_KEYS=hashed, CONSOLE_SECRET="") as door:
        door.http.cookies.set("personalize_connect_session", cookies[0])
        assert (await door.http.get("/console")).status_code == 401


async def test_without_an_admin_key_the_page_says_how_to_get_one(open_door: OpenDoor) -> None:
    async with open_door() as door:
        visitor = Visitor(door)
        page = await visitor.read()
        assert (page.status_code, "ADMIN_KEYS" in page.text) == (401, True)
        assert 'type="password"' not in page.text
        assert (await visitor.log_in("")).status_code == 401
        assert (await visitor.get("operations")).status_code == 401


async def test_open_needs_no_login_but_the_token_of_every_post(open_door: OpenDoor) -> None:
    async with open_door(CONSOLE_ACCESS="open") as door:
        visitor = Visitor(door)
        page = await visitor.read()
        assert (page.status_code, "Log out" in page.text) == (200, False)
        asked = {"item_id": "item000"}
        assert (await visitor.post("items/block", **asked)).status_code == 200
        visitor.token = "made-up"
        assert (await visitor.post("items/block", **asked)).status_code == 403


async def test_off_is_as_if_there_were_none(open_door: OpenDoor) -> None:
    async with open_door(CONSOLE_ACCESS="off", **KEYED) as door:
        assert (await door.http.get("/console")).status_code == 404
        assert (await door.http.get("/console/static/x/console.css")).status_code == 404


async def test_off_imports_nothing_of_it(open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is imported with everything else is kept out by `.importlinter`: only this module knows the room."""
    monkeypatch.setitem(sys.modules, "service.wiring.console", None)  # its import fails
    async with open_door(CONSOLE_ACCESS="off") as door:
        assert (await door.get("/recommendations", user_id="ann")).status_code == 200
    with pytest.raises(ImportError):
        async with open_door(CONSOLE_ACCESS="keyed"):
            pass


async def test_open_to_the_outside_is_warned_of_at_the_start(open_door: OpenDoor) -> None:
    for host, warned in (("192.0.2.1", True), ("127.0.0.1", False), ("::1", False), ("localhost", False)):
        with capture_logs() as lines:
            async with open_door(CONSOLE_ACCESS="open", HOST=host):
                pass
        assert ("console_open" in [line["event"] for line in lines]) == warned, host


async def test_a_page_loads_nothing_from_outside_and_has_no_script_of_its_own(open_door: OpenDoor) -> None:
    async with open_door(CONSOLE_ACCESS="open", ROOT_PATH="/personalize") as door:
        for link in NAVIGATION:
            page = await door.http.get(f"/personalize/console{link.path}")
            policy = page.headers["content-security-policy"]
            assert "default-src 'self'; script-src 'self';" in policy
            assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
            assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=|javascript:", page.text)
            addresses = re.findall(r'(?:src|href|action)="([^"#]+)"', page.text)
            assert [one for one in addresses if not one.startswith(("/personalize/console", "data:"))] == []
            for one in re.findall(r'(?:src|href)="([^"]+/static/[^"]+)"', page.text):
                file = await door.http.get(one)
                assert (file.status_code, "immutable" in file.headers["cache-control"]) == (200, True)


async def test_what_is_not_there_is_a_page_that_says_so(open_door: OpenDoor) -> None:
    async with open_door(CONSOLE_ACCESS="open") as door:
        page = await door.http.get("/console/<script>alert(1)</script>")
        assert (page.status_code, "There is no page" in page.text) == (404, True)
        assert "<script>alert" not in page.text


async def test_the_cookie_is_for_https_only_where_the_browser_speaks_it(open_door: OpenDoor) -> None:
    async with open_door(**KEYED) as door:
        for headers, secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True)):
            door.http.cookies.clear()
            page = await door.http.get("/console", headers=headers)
            assert ("Secure" in page.headers["set-cookie"].split("; ")) == secure


OWN_NAMES = ("localhost:8000", "127.0.0.1", "[::1]:8000", "192.0.2.7:8000", "a.localhost", "shop.example", "LOCALHOST.")
STRANGERS = (
    *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "127.1", "0x7f.1"),
    *("evillocalhost", "other.shop.example", "[::1", "localhost@evil.example", "", "%31", "2130706433"),
)


async def test_an_open_console_does_not_answer_a_strangers_name_that_leads_to_it(open_door: OpenDoor) -> None:
    """DNS rebinding: the browser takes this machine for the stranger's server."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    paths = {(method, one.path) for one in routes for method in one.methods or () if "{digest}" not in one.path}
    async with open_door(CONSOLE_ACCESS="open", CONSOLE_HOSTS="shop.example, b.example") as door:
        visitor = Visitor(door)
        await visitor.read()
        for host in OWN_NAMES:
            assert (await door.http.get("/console", headers={"Host": host})).status_code == 200, host
        for host in STRANGERS:
            refused = await door.http.get("/console", headers={"Host": host})
            assert refused.status_code == 403, host
            assert "CONSOLE_HOSTS" in refused.text
            assert "set-cookie" not in refused.headers
            assert visitor.token not in refused.text
        for method, path in sorted(paths):
            headers = {"Host": "evil.example", "X-Console-Token": visitor.token}
            refused = await door.http.request(method, path, headers=headers, json={})
            assert refused.status_code in {403, 303}, (method, path)
            assert refused.status_code == 403 or path.endswith("/login"), (method, path)


async def test_a_console_with_a_key_answers_under_any_name(open_door: OpenDoor) -> None:
    async with open_door(**KEYED) as door:
        assert (await door.http.get("/console", headers={"Host": "shop.example"})).status_code == 401
