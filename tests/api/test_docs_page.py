"""The documentation for people works where nothing outside is reached, and nothing outside can change it."""

import re

import pytest

from tests.support.front_door import Door, OpenDoor

KEY = "a-key-of-twenty-four-letters-or-more"
FILES = ("/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css")


async def test_everything_on_the_page_is_served_from_here(door: Door) -> None:
    """I7"""
    page = await door.http.get("/docs")
    document = (await door.http.get("/openapi.json")).json()

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert sorted(one for one in loaded if one != "data:,") == sorted(FILES)
    assert "//" not in page.text.replace("<!DOCTYPE", "")
    assert document["info"]["title"] in page.text
    for file in FILES:
        answer = await door.http.get(file)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/css" if file.endswith("css") else "text/javascript")
    bundle, start = (await door.http.get(FILES[1])).text, (await door.http.get(FILES[0])).text
    assert "SwaggerUIBundle" in bundle
    assert len(bundle) > 500_000
    # Otherwise it would send the document's address to its makers, for a badge.
    assert "validatorUrl: null" in start


@pytest.mark.parametrize("path", ["/docs", *FILES])
async def test_the_browser_may_load_and_run_nothing_else(door: Door, path: str) -> None:
    """I7"""
    answer = await door.http.get(path)

    policy = dict(one.strip().split(" ", 1) for one in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    sources = {source for one in policy.values() for source in one.split()}
    assert sources == {"'none'", "'self'", "data:"}
    assert "data:" not in policy["script-src"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # So nothing may stand in the page itself.
    assert "<style" not in answer.text or path != "/docs"
    assert re.findall(r"<script[^>]*>[^<]", answer.text if path == "/docs" else "") == []


@pytest.mark.parametrize("path", ["/docs/redoc.standalone.js", "/docs/..%2Fcore.py", "/docs/", "/docs/start.js/x"])
async def test_no_other_file_of_the_package_is_served(door: Door, path: str) -> None:
    """I7"""
    assert (await door.http.get(path)).status_code == 404


@pytest.mark.parametrize(("access", "status"), [("keyed", 401), ("off", 404), ("open", 200)])
async def test_the_files_are_as_open_as_the_page(open_door: OpenDoor, access: str, status: int) -> None:
    """I7"""
    async with open_door(DOCS_ACCESS=access, API_KEYS=KEY, ALLOW_ANONYMOUS="false") as door:
        for path in ("/docs", *FILES):
            assert (await door.http.get(path)).status_code == status
            known = 404 if access == "off" else 200
            assert (await door.http.get(path, headers={"X-API-Key": KEY})).status_code == known
