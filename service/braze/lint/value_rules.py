"""Rules about what comes back: guards, fields, and how they are shown."""

import re
from typing import Final

from service.braze.lint.call_site import CallSite
from service.braze.lint.examples import CALL, MAIL, NAME, PUSH, call
from service.braze.lint.findings import Hits, Rule
from service.braze.lint.template import Template, Use

FIELDS: Final = frozenset({"id", "url", "name", "price", "image"})
ANSWER: Final = frozenset(
    (
        *("items", "count", "source", "degraded_reason", "recommendation_id", "placement", "variant", "because"),
        *("topped_up", "popular", "size", "__http_status_code__"),
    )
)
ESCAPES: Final = frozenset({"escape", "escape_once", "url_param_escape", "url_encode", "strip_html", "json_escape"})
NUMBERS: Final = frozenset({"money", "number_with_delimiter", "round", "ceil", "floor", "times", "divided_by", "date"})
STATUS: Final = "__http_status_code__"
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


def _of(call: CallSite, use: Use) -> bool:
    return use.reference is not None and use.reference.call is call


def _is_array(template: Template, call: CallSite) -> bool:
    """Whether the answer is an array: this service's usual one, or one that is used like it."""
    if call.path:
        return not call.is_object
    name = re.escape(call.variable)
    return bool(
        re.search(rf"\b{name}\[\s*\d+\s*\]|\bin\s+(\{{\{{\s*)?{name}\b(?!\.)|\b{name}\.(first|last)\b", template.text)
    )


def _status(template: Template) -> Hits:
    for use in template.uses:
        if use.path.endswith("." + STATUS) and use.reference and _is_array(template, use.reference.call):
            yield use.at, use.path


_LESS: Final = re.compile(r"([\w.\[\]]+)\.(size|count)\s*\}*\s*(?:<=?\s*\d+|==\s*0\b)")


def _size(template: Template) -> Hits:
    for one in template.calls:
        if any(_catches_failure(template, use) for use in template.uses if _of(one, use)):
            continue
        for piece in template.tags("if", "elsif"):
            for match in _LESS.finditer(piece.inner):
                at = piece.inner_start + match.start()
                if any(_of(one, use) and use.at == at for use in template.uses):
                    yield at, match[0]


def _catches_failure(template: Template, use: Use) -> bool:
    """Whether a condition also finds the call that failed."""
    if use.place != "condition":
        return False
    after = template.text[use.at + len(use.path) :].lstrip(" }\n")
    if re.match(r"(==|!=)\s*(blank|nil|null)\b|(and|or)\b|-?%|>=?\s*\d", after):
        return True
    if use.reference is not None and _is_array(template, use.reference.call):
        return False
    return use.path.endswith(STATUS) and re.match(r"(==|!=)", after) is not None


def _no_guard(template: Template) -> Hits:
    for one in template.calls:
        uses = [use for use in template.uses if _of(one, use)]
        shown = [use for use in uses if use.place == "output" and "default" not in use.filters]
        if shown and not any(use.place == "condition" for use in uses):
            yield shown[0].at, shown[0].path


def _index(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if found is not None and found.kind in {"item", "field"} and found.index is not None:
            most = found.call.count
            if most and found.index >= most:
                yield use.at, f"{use.path} of {most} items"
    for piece in template.tags("for"):
        match = re.search(r"\blimit:\s*(\d+)", piece.inner)
        words = piece.inner.partition(" in ")[2].split()
        found = template.resolve(words[0]) if words else None
        if match and found is not None and found.kind == "list" and int(match[1]) > (found.call.count or int(match[1])):
            yield piece.inner_start + match.start(), f"{match[0]} of {found.call.count} items"


def _field(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if found is None or found.kind != "field" or not found.call.path:
            continue
        if found.name.startswith("object."):
            if found.name.removeprefix("object.") not in ANSWER:
                yield use.at, use.path
        elif "." not in found.name and found.name not in FIELDS | {"size"}:
            asked = found.call.value("fields") or ""
            if "{{" not in asked and found.name not in asked.split(","):
                yield use.at, use.path


def _of_list(template: Template) -> Hits:
    for use in template.uses:
        found = use.reference
        if found is not None and found.name.startswith("list.") and found.call.path and not use.path.endswith(STATUS):
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
        if use.place != "output" or found is None or NUMBERS & set(use.filters):
            continue
        # A number of a JSON object stays one.
        in_json = re.search(r"[\"']\s*:\s*\Z", template.text[: use.at].rstrip("{ "))
        if found.call.path and _name(use) == "price" and not in_json:
            yield use.at, use.path


def _name(use: Use) -> str:
    return use.path.rpartition(".")[2]


def _texts(template: Template) -> list[Use]:
    """Outputs of what a catalogue says."""
    return [
        use
        for use in template.uses
        if use.place == "output"
        and use.reference is not None
        and use.reference.kind in {"field", "other"}
        and "." in use.path + "."
        and _name(use) not in {"price", "size", "count", STATUS}
        and not NUMBERS & set(use.filters)
    ]


def _html(template: Template) -> Hits:
    if template.is_html:
        for use in _texts(template):
            if not ESCAPES & set(use.filters):
                yield use.at, use.path


def _plain(template: Template) -> Hits:
    if not template.is_html:
        for use in _texts(template):
            if {"escape", "escape_once"} & set(use.filters):
                yield use.at, use.path


def _undefined(template: Template) -> Hits:
    for use in template.uses:
        root = re.split(r"[.\[]", use.path, maxsplit=1)[0]
        if not use.is_defined and root not in NAMESPACES:
            yield use.at, root


RULES: Final = (
    Rule(
        "status-on-array",
        "An array has no status: the condition is true for everybody, and every message is aborted.",
        "Write {% if r[0].name == blank %}, or ask for format=object.",
        PUSH.replace("r[0].name == blank", "r.__http_status_code__ != 200"),
        PUSH,
        _status,
    ),
    Rule(
        "size-guard",
        "After a call that failed there is no size, and nothing is not below 1: the message is sent without items.",
        "Write {% if r[0].name == blank %}: it finds an empty list and a failed call.",
        PUSH.replace("r[0].name == blank", "r.size < 1"),
        PUSH,
        _size,
    ),
    Rule(
        "no-guard",
        "If the list is empty or the call fails, the message is sent with nothing where the items should be.",
        "After the call: {% if r[0].name == blank %}{% abort_message('no items') %}{% endif %}.",
        CALL + NAME,
        PUSH,
        _no_guard,
    ),
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
