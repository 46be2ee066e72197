"""Rules about Liquid itself, as Braze has it."""

import re
from typing import Final

from service.braze.engine import BrazeEnvironment
from service.braze.filters import UNSUPPORTED
from service.braze.lint.call_site import OUTPUTS
from service.braze.lint.examples import CALL, MAIL, NAME, PUSH
from service.braze.lint.findings import Hits, Rule
from service.braze.lint.template import STRINGS, Template
from service.braze.lint.uses import split_filters

CURLY: Final = re.compile(r"[\u2018\u2019\u201c\u201d]")
_KNOWN: Final = BrazeEnvironment({})
_BLOCKS: Final = ("else", "elsif", "when", "raw", "endraw", "comment", "endcomment")
_NESTED: Final = re.compile(r"\{\{.*?\}\}+")


def _filter_names(text: str) -> Hits:
    """The filters of an expression and where each begins."""
    at = 0
    for number, part in enumerate(split_filters(text)):
        match = re.match(r"\s*(\w+)", part)
        if number and match:
            yield at + match.start(1), match[1]
        at += len(part) + 1


def _filters(template: Template) -> Hits:
    for piece in template.pieces:
        texts = [(piece.inner, 0)]
        if piece.kind == "text" or piece.name in {"abort_message", "#"}:
            continue
        if piece.name == "connected_content":
            texts = [(match[0].rstrip("}"), match.start()) for match in _NESTED.finditer(piece.inner)]
        for text, begin in texts:
            for at, name in _filter_names(text):
                yield piece.inner_start + begin + at, name


def _unsupported(template: Template) -> Hits:
    for at, name in _filters(template):
        if name in UNSUPPORTED:
            yield at, f"{name}: {UNSUPPORTED[name]}"


def _unknown_filter(template: Template) -> Hits:
    for at, name in _filters(template):
        # `content_blocks.${x} | id: 'cb1'` is Braze's own.
        if name not in _KNOWN.filters and name not in UNSUPPORTED and name != "id":
            yield at, name


def _output_in_tag(template: Template) -> Hits:
    for piece in template.tags(*{one.name for one in template.pieces if one.kind == "tag"}):
        if not _is_tag(piece.name) and re.match(r"[.\[|]|\Z", piece.inner):
            yield piece.start, template.text[piece.start : piece.end]


def _is_tag(name: str) -> bool:
    return name in _KNOWN.tags or name in _BLOCKS or name.removeprefix("end") in _KNOWN.tags


def _unknown_tag(template: Template) -> Hits:
    for piece in template.pieces:
        if piece.kind == "tag" and not _is_tag(piece.name) and not re.match(r"[.\[|]|\Z", piece.inner):
            yield piece.start, piece.name


def _filter_in_tag(template: Template) -> Hits:
    for piece in template.tags("if", "elsif", "unless", "case", "when", "for", "tablerow"):
        hidden = STRINGS.sub(lambda match: " " * len(match[0]), piece.inner)
        if "|" in hidden and "||" not in hidden:
            yield piece.inner_start + hidden.index("|"), piece.inner
    for piece in template.pieces:
        match = re.search(r"\[[^\]\"']*\|", piece.inner) if piece.kind == "output" or piece.name == "assign" else None
        if match:
            yield piece.inner_start + match.start(), piece.inner


def _operator(template: Template) -> Hits:
    for piece in template.tags("assign"):
        hidden = STRINGS.sub(lambda match: " " * len(match[0]), piece.inner)
        match = re.search(r"[<>]=?|==|!=|\s(?:and|or|contains)\s", hidden)
        if match:
            yield piece.inner_start + match.start(), piece.inner


def _parentheses(template: Template) -> Hits:
    for piece in template.tags("if", "elsif", "unless"):
        hidden = STRINGS.sub(lambda match: " " * len(match[0]), piece.inner)
        match = re.search(r"\((?![^()]*\.\.)", hidden)
        if match:
            yield piece.inner_start + match.start(), piece.inner


def _single_equals(template: Template) -> Hits:
    for piece in template.tags("if", "elsif", "unless"):
        hidden = STRINGS.sub(lambda match: " " * len(match[0]), piece.inner)
        match = re.search(r"(?<![=<>!])=(?!=)|===|&&|\|\|", hidden)
        if match:
            yield piece.inner_start + match.start(), piece.inner


def _else_if(template: Template) -> Hits:
    for piece in template.tags("else"):
        if piece.inner:
            yield piece.start, f"else {piece.inner}"


_SCRIPT: Final = re.compile(r"<script\b.*?</script>", re.DOTALL | re.IGNORECASE)
_BARE: Final = re.compile(r"(?:\w+\.)?\$\{[\w ]+\}")


def _bare(template: Template) -> Hits:
    for piece in template.pieces:
        if piece.kind == "text":
            text = _SCRIPT.sub(lambda match: " " * len(match[0]), piece.inner)
            for match in _BARE.finditer(text):
                yield piece.start + match.start(), match[0]
        elif piece.name == "connected_content":
            text = OUTPUTS.sub(lambda match: "\0" * len(match[0]), piece.inner)
            for match in _BARE.finditer(text):
                yield piece.inner_start + match.start(), match[0]


def _curly(template: Template) -> Hits:
    for piece in template.pieces:
        if piece.kind != "text":
            hidden = STRINGS.sub(lambda match: " " * len(match[0]), piece.inner)
            match = CURLY.search(hidden)
            if match:
                yield piece.inner_start + match.start(), match[0]


def _ascii(template: Template) -> Hits:
    for piece in template.tags("assign", "capture", "connected_content"):
        name = piece.inner.partition("=")[0] if piece.name == "assign" else piece.inner
        if piece.name == "connected_content":
            match = re.search(r":save\s+(\S+)", piece.inner)
            name = match[1] if match else ""
        if not name.isascii():
            yield piece.inner_start, name.strip()


def _comment(template: Template) -> Hits:
    for start, end in template.comments:
        match = re.search(r"\{%.*?%\}|\{\{.*?\}\}", template.text[start:end], re.DOTALL)
        if match and not template.is_silent(start):
            yield start + match.start(), match[0][:60]


def _body(template: Template) -> Hits:
    begin, end = (re.search(pattern, template.text, re.IGNORECASE) for pattern in (r"<body\b", r"</body>"))
    if begin is not None:
        for piece in template.pieces:
            if piece.kind != "text" and (piece.start < begin.start() or (end and piece.start > end.start())):
                yield piece.start, template.text[piece.start : piece.end][:60]
                return


def _reason(template: Template) -> Hits:
    for piece in template.tags("abort_message"):
        if (
            "{{" in piece.inner
            or "${" in piece.inner
            or not re.fullmatch(r"""(\(\s*("[^"]*"|'[^']*')?\s*\))?""", piece.inner)
        ):
            yield piece.inner_start, piece.inner


RULES: Final = (
    Rule(
        "output-in-tag",
        "Braze knows no such tag, and sends nothing.",
        "Write a value as an output: {{ r[0].name }}.",
        PUSH.replace(NAME, "{% r[0].name %}"),
        PUSH,
        _output_in_tag,
    ),
    Rule(
        "unknown-tag",
        "Braze knows no such tag, and sends nothing.",
        "Use the tags of Braze's documentation. For a part of its own, use a Content Block.",
        "{% include 'footer' %}",
        "{{content_blocks.${footer}}}",
        _unknown_tag,
    ),
    Rule(
        "unsupported-filter",
        "Braze does not have this filter.",
        "Use another filter.",
        PUSH.replace("{{ r[0].name }}", "{{ r[0].name | rstrip }}"),
        PUSH.replace("{{ r[0].name }}", "{{ r[0].name | strip }}"),
        _unsupported,
    ),
    Rule(
        "unknown-filter",
        "Braze has no filter of this name.",
        "Look the name up in Braze's documentation of filters.",
        PUSH.replace("{{ r[0].name }}", "{{ r[0].name | uppercase }}"),
        PUSH.replace("{{ r[0].name }}", "{{ r[0].name | upcase }}"),
        _unknown_filter,
    ),
    Rule(
        "filter-in-tag",
        "Braze takes filters in outputs and in assign only.",
        "Assign the result to a variable first, and use that.",
        PUSH + "{% if r | size > 3 %}more{% endif %}",
        PUSH + "{% assign n = r | size %}{% if n > 3 %}more{% endif %}",
        _filter_in_tag,
    ),
    Rule(
        "operator-in-assign",
        "Braze takes operators in conditions only.",
        "Assign false, and true within an if.",
        PUSH + "{% assign many = r.size > 3 %}",
        PUSH + "{% assign many = false %}{% if r.size > 3 %}{% assign many = true %}{% endif %}",
        _operator,
    ),
    Rule(
        "parentheses",
        "Liquid knows no parentheses in conditions, and Braze sends nothing.",
        "Use one if within another, or a variable.",
        "{% if (1 == 1) %}a{% endif %}",
        "{% if 1 == 1 %}a{% endif %}",
        _parentheses,
    ),
    Rule(
        "wrong-operator",
        "Liquid knows no such operator, and Braze sends nothing.",
        "Use ==, !=, <, >, <=, >=, and, or, contains.",
        "{% if 1 = 1 %}a{% endif %}",
        "{% if 1 == 1 %}a{% endif %}",
        _single_equals,
    ),
    Rule(
        "else-if",
        "Liquid reads else, and passes over the condition: this branch is for everybody else.",
        "Write elsif.",
        "{% if ${a} == 1 %}a{% else if ${a} == 2 %}b{% endif %}",
        "{% if ${a} == 1 %}a{% elsif ${a} == 2 %}b{% endif %}",
        _else_if,
    ),
    Rule(
        "bare-attribute",
        "Braze resolves ${...} within brackets only. Here it is sent as it stands.",
        "Write {{${first_name}}}.",
        "Hello ${first_name}",
        "Hello {{${first_name}}}",
        _bare,
    ),
    Rule(
        "curly-quotes",
        "Liquid does not know curly quotes, and Braze sends nothing.",
        "Write straight quotes: ' or \".",
        "{{ \N{LEFT SINGLE QUOTATION MARK}a\N{RIGHT SINGLE QUOTATION MARK} | upcase }}",
        "{{ 'a' | upcase }}",
        _curly,
    ),
    Rule(
        "ascii-names",
        "A variable's name takes ASCII letters, digits and _ only.",
        "Choose another name.",
        "{% assign größe = 1 %}",
        "{% assign size = 1 %}",
        _ascii,
    ),
    Rule(
        "html-comment",
        "Braze removes HTML comments before it reads any Liquid: nothing in them is called or shown.",
        "Move the Liquid out. For a comment of your own, use {% comment %}.",
        MAIL + "<!-- {{ r[0].name }} -->",
        MAIL + "{% comment %}{{ r[0].name }}{% endcomment %}",
        _comment,
    ),
    Rule(
        "outside-body",
        "Liquid outside of <body> may not render in every mail program.",
        "Move it between <body> and </body>.",
        CALL + MAIL.removeprefix(CALL).replace("<p>", "<body><p>") + "</body>",
        "<body>" + MAIL + "</body>",
        _body,
        "warning",
    ),
    Rule(
        "abort-reason",
        "The reason of abort_message is a text without Liquid; Braze does not render it.",
        "Write one text in quotes.",
        PUSH.replace("'none'", "'none for {{${user_id}}}'"),
        PUSH,
        _reason,
    ),
)
"""Rules about the language."""
