"""Rules about what comes back: guards, fields, and how they are shown."""

import re
from typing import Final

from service.braze.lint.examples import CALL, MAIL, NAME, PUSH, call
from service.braze.lint.findings import Hits, Rule
from service.braze.lint.template import Template
from service.braze.lint.uses import INDEXED, LENGTH, OF_ITEM, OF_LIST, OF_OBJECT, STATUS, Use, split_filters

FIELDS: Final = frozenset({"id", "url", "name", "price", "image"})
ANSWER: Final = frozenset(
    (
        *("items", "count", "source", "degraded_reason", "recommendation_id", "placement", "variant", "because"),
        *("topped_up", "popular", "size", "__http_status_code__"),
    )
)
ESCAPES: Final = frozenset({"escape", "escape_once", "url_param_escape", "url_encode", "strip_html", "json_escape"})
MARKS: Final = frozenset({"escape", "escape_once", "url_param_escape", "url_encode", "json_escape"})
"""Filters that write several characters for one."""

CUTS: Final = frozenset({"truncate", "slice"})
NUMBERS: Final = frozenset({"money", "number_with_delimiter", "round", "ceil", "floor", "times", "divided_by", "date"})
PRICES: Final = NUMBERS - {"times", "divided_by"}
"""Filters of which one, at least, must have been asked how a price looks."""

MAX_LEAD: Final = 200
"""Characters before a price that are looked at; a search of all of them would take minutes in a large template."""

NAMESPACES: Final = frozenset(
    (
        *("custom_attribute", "event_properties", "api_trigger_properties", "canvas_entry_properties", "campaign"),
        *(
            "canvas",
            "context",
            "app",
            "card",
            "content_blocks",
            "subscribed_state",
            "targeted_device",
            "sms",
            "message",
        ),
        *("most_recently_used_device", "connected", "catalog_items", "catalog_selection_items", "promotion"),
        *("push", "message", "whats_app"),
    )
)


OBJECT: Final = (
    CALL.replace(" :save", "&format=object :save")
    + "{% if r.items[0].name == blank %}{% abort_message('none') %}{% endif %}{{ r.items[0].name }}"
)


def _index(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if found is not None and found.kind in {"item", "field"} and found.index is not None:
            most = found.call.count
            if most and found.index >= most:
                yield use.at, f"{use.path} of {most} items"
    for piece in template.tags("for", "tablerow"):
        numbers = {name: int(number) for name, number in re.findall(r"\b(limit|offset):\s*(\d+)", piece.inner)}
        words = piece.inner.partition(" in ")[2].split()
        found = template.resolve(words[0]) if words else None
        if numbers and found is not None and found.kind == "list" and found.call.count:
            last = numbers.get("offset", 0) + numbers.get("limit", 1)
            if last > found.call.count:
                written = ", ".join(f"{name}: {number}" for name, number in numbers.items())
                yield piece.inner_start, f"{written} of {found.call.count} items"


def _field(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if found is None or found.kind != "field" or not found.call.path:
            continue
        if found.name.startswith(OF_OBJECT):
            if found.name.removeprefix(OF_OBJECT) not in ANSWER:
                yield use.at, use.path
        elif not found.name.startswith(OF_LIST):
            name = found.name.removeprefix(OF_ITEM).partition(".")[0]
            asked = found.call.value("fields") or ""
            if name not in FIELDS | {"size", LENGTH} and "{{" not in asked and name not in asked.split(","):
                yield use.at, use.path


def _of_list(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if found is not None and found.name.startswith(OF_LIST) and found.call.path and use.name != STATUS:
            yield use.at, use.path


def _whole(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if use.place != "output" or found is None or {"size", "as_json_string", "map"} & set(use.filters):
            continue
        if found.call.path and found.kind in {"list", "item", "object"}:
            yield use.at, use.path


def _price(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if use.place != "output" or found is None or (PRICES & set(use.filters) and not _is_rounded(use)):
            continue
        # A number of a JSON object stays one.
        in_json = re.search(r"[\"']\s*:\s*\Z", template.text[max(0, use.at - MAX_LEAD) : use.at].rstrip("{ "))
        if found.call.path and use.name == "price" and not in_json and not _is_mended(template, use, PRICES):
            yield use.at, use.path


def _is_rounded(use: Use) -> bool:
    """Whether it is rounded to digits behind the point, of which the last is then left out where it is 0."""
    return re.search(r"\|\s*round\s*:\s*[1-9]", use.rest) is not None and not {"money", "date"} & set(use.filters)


def _is_mended(template: Template, use: Use, filters: frozenset[str]) -> bool:
    """Whether it stands in a capture, and what was captured is shown through one of these filters."""
    shown = template.shown.get(template.captured_at(use.at), [])
    return bool(shown) and all(filters & set(one.filters) for one in shown)


def _texts(template: Template) -> list[Use]:
    """Outputs of what a catalogue says."""
    return [
        use
        for use in template.uses
        if use.place == "output"
        and use.reference is not None
        and (use.reference.kind in {"field", "other"} or (use.reference.kind == "list" and "map" in use.filters))
        and use.name not in {"price", "size", "count", LENGTH, STATUS}
        and not NUMBERS & set(use.filters)
    ]


def _object_as_list(template: Template) -> Hits:
    looped = {one.inner_start + one.inner.find(" in ") + 4 for one in template.tags("for", "tablerow")}
    for use in template.uses:
        found = use.reference
        if found is None or not found.call.path:
            continue
        is_looped = found.kind == "object" and use.at - len(use.lead) in looped and not use.lead.strip(" {")
        if found.name == INDEXED or is_looped:
            yield use.at, use.path


def _html(template: Template) -> Hits:
    if template.is_html:
        for use in _texts(template):
            if not ESCAPES & set(use.filters) and not _is_mended(template, use, ESCAPES):
                yield use.at, use.path


def _cut(template: Template) -> Hits:
    for piece in template.pieces:
        if piece.kind != "output" and piece.name not in {"assign", "echo"}:
            continue
        head, *filters = split_filters(piece.inner)
        names = [match[0] if (match := re.search(r"\w+", one)) else "" for one in filters]
        escaped = [place for place, name in enumerate(names) if name in MARKS]
        cut = [place for place, name in enumerate(names) if name in CUTS]
        if escaped and cut and escaped[0] < cut[-1]:
            yield piece.inner_start, f"{head.strip()} | {' | '.join(names)}"


def _plain(template: Template) -> Hits:
    if not template.is_html:
        for use in _texts(template):
            if {"escape", "escape_once"} & set(use.filters):
                yield use.at, use.path


def _undefined(template: Template) -> Hits:
    for use in template.uses:
        root = re.split(r"[.\[]", use.path, maxsplit=1)[0]
        if not use.is_defined and root not in NAMESPACES and not template.may_be_of_block(root, use.at):
            yield use.at, root


RULES: Final = (
    Rule(
        "index-beyond",
        "There is never an item at this place, so nothing is shown.",
        "Ask for more with num_results, or show fewer.",
        PUSH.replace(NAME, "{{ r[10].name }}"),
        PUSH.replace(NAME, "{{ r[9].name }}"),
        _index,
    ),
    Rule(
        "unknown-field",
        "The answer has no such field, so nothing is shown.",
        "Items have id, url, name, price and image. Other columns are asked for: &fields=brand.",
        PUSH.replace(NAME, "{{ r[0].title }}"),
        call(more="&fields=title").replace(NAME, "{{ r[0].title }}"),
        _field,
    ),
    Rule(
        "field-of-list",
        "The answer is a list, and a list has no such field: nothing is shown.",
        "Name an item: r[0].name, or loop over the list.",
        PUSH.replace(NAME, "{{ r.name }}"),
        PUSH,
        _of_list,
    ),
    Rule(
        "object-as-list",
        "format=object wraps the list, so there is no item at this place: nothing is shown.",
        "Go through items: {{ r.items[0].name }}. Or leave out format=object.",
        OBJECT.replace("r.items[0].name }}", "r[0].name }}"),
        OBJECT,
        _object_as_list,
    ),
    Rule(
        "whole-value",
        "A list or an item is written out as raw data.",
        "Name a field: {{ r[0].name }}.",
        PUSH.replace(NAME, "{{ r[0] }}"),
        PUSH,
        _whole,
    ),
    Rule(
        "price-without-money",
        "A price of 39.5 is shown as 39.5, and one of 39 as 39.0.",
        "Write {{ r[0].price | money }}.",
        PUSH.replace(NAME, "{{ r[0].price }}"),
        PUSH.replace(NAME, "{{ r[0].price | money }}"),
        _price,
    ),
    Rule(
        "html-unescaped",
        "A quote or a < in a name breaks the HTML, or runs as HTML.",
        "Add the filter: {{ r[0].name | escape }}.",
        MAIL.replace(" | escape }}", " }}"),
        MAIL,
        _html,
    ),
    Rule(
        "cut-after-escape",
        "An escaped sign is several characters. Where it is cut in two, its beginning is shown: &am...",
        "Cut first: {{ r[0].name | truncate: 40 | escape }}.",
        MAIL.replace("| escape }}", "| escape | truncate: 40 }}"),
        MAIL.replace("| escape }}", "| truncate: 40 | escape }}"),
        _cut,
    ),
    Rule(
        "escape-in-plain-text",
        "Plain text is shown as it is: Tom & Jerry becomes Tom &amp; Jerry on the phone.",
        "Leave out escape, or say --as email if this is HTML.",
        PUSH.replace(NAME, "{{ r[0].name | escape }}"),
        PUSH,
        _plain,
    ),
    Rule(
        "undefined-variable",
        "Nothing has this name here, so it is empty.",
        "Use the name behind :save; in each field of a message, call again.",
        PUSH.replace(NAME, "{{ recommendations[0].name }}"),
        PUSH,
        _undefined,
    ),
)
"""Rules about values."""
