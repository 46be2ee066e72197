"""Whatever the parameters that the OpenAPI document names hold: no fault, and no label that a client chose."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from service.telemetry import LABELS
from tests.api.test_metrics import CLOSED, label_values
from tests.support.examples import examples
from tests.support.front_door import Door, OpenDoor

ADMIN = {"X-API-Key": "an-admin-key-of-the-tests"}
# A door takes a second to open: all examples go through the same one, whatever was forgotten or blocked before.
EXAMPLES = settings(examples(120), suppress_health_check=list(HealthCheck))

GOOD = {
    "user_id": ["u1", "ann", ""],
    "num_results": ["1", "10", "25"],
    "fields": ["category", "stock,category"],
    "format": ["array", "object"],
}
texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "u1", "item001", "item001,item002", "10", "0", "-1", "51", "1_0", "٣", "array", "object"]
    ),
    st.sampled_from(["category", "stock", "a" * 300, "a," * 501, '{"A":"b"}', '{"A":1}', "[" * 600, "\x00", "../x"]),
    st.text(st.characters(), min_size=1, max_size=3).map(lambda text: text * 90),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
prewarm_bodies = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {"user_ids": st.lists(texts, max_size=4)},
        optional={
            "seconds": st.floats() | st.sampled_from([0, 0.01]),
            "spare": st.floats() | st.integers(),
            "num_results": st.integers() | texts,
            "max_age_seconds": st.floats() | st.integers(),
        },
    ).map(lambda body: {**body, "seconds": 0.01} if isinstance(body.get("seconds"), float) else body),
)


@st.composite
def calls(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A call of any operation of an OpenAPI document, some of its parameters wrong."""
    operations = [(path, method) for path, one in document["paths"].items() for method in one]
    path, method = draw(st.sampled_from(operations))
    operation = document["paths"][path][method]
    query = []
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(
                "{" + parameter["name"] + "}",
                quote(draw(texts), draw(st.sampled_from(["", "/"])), errors="surrogatepass"),
            )
        elif parameter.get("required") or draw(st.booleans()):
            name = parameter["name"].replace("NAME", draw(st.sampled_from(["A", "COLOR", "é", ""])))
            good = st.sampled_from(GOOD.get(name, ["item001"]))
            query += [(name, value) for value in draw(st.lists(good | good | good | texts, min_size=1, max_size=2))]
    body = draw(prewarm_bodies) if "requestBody" in operation else None
    return {
        "method": method.upper(),
        "url": path + "?" + urlencode(query, errors="surrogatepass"),
        "content": None if body is None else json.dumps(body).encode(),
        "headers": draw(st.sampled_from([ADMIN, ADMIN, ADMIN, {}])) | {"Content-Type": "application/json"},
    }


@pytest.fixture
async def any_door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door(ADMIN_KEYS="an-admin-key-of-the-tests", REQUEST_DEADLINE_SECONDS="0.3") as door:
        yield door


@pytest.mark.long
@EXAMPLES
@given(st.data())
async def test_no_call_that_the_document_describes_is_a_fault_or_makes_a_label(
    any_door: Door, data: st.DataObject
) -> None:
    call = data.draw(calls(any_door.app.application.openapi()))

    answer = await any_door.http.request(**call)

    event(f"{call['method']} {answer.status_code}")
    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert {"error", "message"} <= answer.json().keys()
    elif call["url"].startswith("/recommendations"):
        assert answer.headers["X-Recommendation-Source"] in LABELS["source"]
    for label, seen in (await label_values(any_door)).items():
        # Of a route it is its pattern, such as /users/{user_id:id}.
        assert label == "route" or seen <= {*CLOSED[label]}
