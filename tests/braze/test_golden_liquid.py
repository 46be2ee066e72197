"""The golden cases of Liquid, but for what Braze has not."""

from typing import Final

from service.braze.engine import render
from service.braze.ports import Answer, Call, Job
from service.errors import TemplateError
from tests.support.golden import Golden, golden_cases

LISTED: Final = "braze.com/docs, Filters, lists it as not supported"
NEWER: Final = "came with Liquid 5.7 of January 2025, and braze.com/docs, Filters, does not list it"

NOT_OF_BRAZE: Final = {
    "doc_tag": "came with Liquid 5.8 of 2025, and braze.com/docs, Supported personalization tags, does not name it",
    "find_filter": NEWER,
    "find_index_filter": LISTED,
    "has_filter": NEWER,
    "ifchanged_tag": "neither braze.com/docs nor shopify.github.io/liquid names it",
    "lstrip_filter": LISTED,
    "reject_filter": NEWER,
    "rstrip_filter": LISTED,
}
"""Filters and tags of Liquid that we refuse, and why. A case of theirs that renders after all fails the test."""


def nobody(call: Call) -> Answer:
    raise AssertionError(f"no case calls {call.url}")


def rendered(case: Golden) -> str | None:
    try:
        return render(Job(case.template, namespaces=case.values), nobody).text
    except TemplateError:
        return None


def test_a_template_renders_as_in_liquid_unless_braze_has_not_what_it_uses() -> None:
    cases = golden_cases()
    wanted = {case[:3]: None if case.group in NOT_OF_BRAZE else case.result for case in cases}
    found = {case[:3]: rendered(case) for case in cases}

    assert len(found) > 900
    assert {group for group, *_ in found} > set(NOT_OF_BRAZE)
    assert {one: (result, wanted[one]) for one, result in found.items() if result != wanted[one]} == {}
