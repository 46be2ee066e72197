import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.braze.lint.findings import Finding, Rule
from service.braze.lint.lint import RULES, Lint
from service.cli import main
from tests.braze.documented import OF_BRAZE_ONLY, USE_CASES, Case

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTED = [
    template for page in PAGES for template in re.findall(r"```liquid\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]

HOST = "https://recommendations.example.com"
CALL = "{% connected_content " + HOST + "/recommendations?user_id={{${user_id} | url_param_escape}} :save r %}\n"
GUARD = "{% if r[0].name == blank %}{% abort_message('none') %}{% endif %}\n"
CURLY = "\N{LEFT DOUBLE QUOTATION MARK}x\N{RIGHT DOUBLE QUOTATION MARK}"
STRANGER = "{% connected_content https://a.example/x :save r %}"
OBJECT = CALL.replace(" :save r", "&format=object :save a")
OBJECT_GUARD = "{% if a.__http_status_code__ != 200 %}{% abort_message('none') %}{% endif %}\n"

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def found(text: str, channel: str | None = None) -> list[str]:
    return [finding.rule for finding in Lint(channel).check("file", text)]


@every_rule
def test_a_rule_finds_its_bad_example_and_nothing_else_does(rule: Rule) -> None:
    assert set(found(rule.bad, rule.channel)) == {rule.id}


@every_rule
def test_no_rule_finds_anything_in_the_good_example(rule: Rule) -> None:
    assert found(rule.good, rule.channel) == []


@every_rule
def test_a_rule_says_what_happens_and_what_to_do_in_sentences(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert rule.happens.endswith(".")
    assert rule.remedy.endswith(".")
    assert max(len(one.split()) for one in re.split(r"(?<=[.]) ", f"{rule.happens} {rule.remedy}")) <= 25


def test_ids_are_unique_and_the_page_lists_each() -> None:
    page = (ROOT / "docs/braze/lint.md").read_text("utf-8")
    listed = re.findall(r"^\| `([a-z-]+)` \| (error|warning) \|", page, re.MULTILINE)

    assert len({rule.id for rule in RULES}) == len(RULES)
    assert sorted(listed) == sorted([("syntax", "error"), *((rule.id, rule.severity) for rule in RULES)])


@pytest.mark.parametrize("template", DOCUMENTED)
def test_the_templates_of_the_documentation_have_no_mistake(template: str) -> None:
    assert found(template) == []


# As articles write them: AWS's workshop names the parameters userID and numResults; Braze's pages have the guard on the
# status, the guard on the size and the call over http.
AWS = """
{% connected_content
  http://recommendations.example.com/recommendations/?userID={{${user_id}}}&numResults=4&apiKey=abc123
  :save recommendations
%}
<table>
  <tr><td><img src="{{recommendations[0].image}}"> {{recommendations[0].name}} {{recommendations[0].price}}</td></tr>
  <tr><td>{{recommendations[4].name}}</td></tr>
</table>
"""

BRAZES = """
{% connected_content https:/a.example.com/recommendations?user_id={{${user_id}}}&time={{ 'now' | date: '%s' }}
  :retry :cache_max_age 60 :save connected %}
{% if connected.size < 5 %}{% abort_message('only {{connected.size}} for you') %}{% endif %}
{% if connected.__http_status_code__ != 200 %}{% abort_message() %}{% endif %}
<!-- {% connected_content https://recommendations.example.com/recommendations?user_id=1 :save other %} -->
{% connected[0].name %}
Have a look at {{connected[0].brand}} {{ connected[0].name | escape }}
"""


def test_the_mistakes_of_a_template_in_the_style_of_awss_workshop_are_found() -> None:
    assert set(found(AWS)) == {
        *("url-http", "url-trailing-slash", "url-unescaped", "url-secret", "no-guard", "html-unescaped"),
        *("price-without-money", "index-beyond"),
    }


def test_the_mistakes_of_a_template_in_the_style_of_brazes_articles_are_found() -> None:
    assert set(found(BRAZES)) == {
        *("url-slash", "url-unescaped", "cache-busting", "retry-and-abort", "cache-max-age", "size-guard"),
        *("abort-reason", "status-on-array", "html-comment", "output-in-tag", "unknown-field", "escape-in-plain-text"),
    }


MISTAKES = {
    "size guard by ==": (CALL + "{% if r.size == 0 %}{% abort_message() %}{% endif %}{{ r[0].name }}", "size-guard"),
    "size guard in brackets": (
        CALL + "{% if {{r.size}} <= 0 %}{% abort_message() %}{% endif %}{{ r[0].name }}",
        "size-guard",
    ),
    "count guard": (OBJECT + "{% if a.count < 1 %}{% abort_message() %}{% endif %}{{ a.items[0].name }}", "size-guard"),
    "status in brackets": (CALL + GUARD + "{% if {{r.__http_status_code__}} != 200 %}x{% endif %}", "status-on-array"),
    "status of somebody's array": (
        STRANGER
        + "{% if r.__http_status_code__ != 200 %}{% abort_message() %}{% endif %}{% for i in r %}{{ i.a }}{% endfor %}",
        "status-on-array",
    ),
    "price in a loop": (CALL + GUARD + "{% for i in r %}{{ i.price }}{% endfor %}", "price-without-money"),
    "price of an assigned item": (CALL + GUARD + "{% assign i = r[0] %}{{ i.price }}", "price-without-money"),
    "price in an object": (OBJECT + OBJECT_GUARD + "{{ a.items[1].price }}", "price-without-money"),
    "name of a reversed list": (
        CALL + GUARD + "<p>{% assign l = r | reverse %}{% for i in l %}{{ i.name }}{% endfor %}</p>",
        "html-unescaped",
    ),
    "name in an attribute": (CALL + GUARD + '<img alt="{{ r.first.name }}">', "html-unescaped"),
    "unknown field in a loop": (CALL + GUARD + "{% for i in r %}{{ i.title }}{% endfor %}", "unknown-field"),
    "unknown field of the object": (OBJECT + OBJECT_GUARD + "{{ a.reason }}", "unknown-field"),
    "unknown field in a condition": (CALL + GUARD + "{% if r[0].stock > 1 %}x{% endif %}", "unknown-field"),
    "limit beyond": (CALL + GUARD + "{% for i in r limit: 12 %}{{ i.name }}{% endfor %}", "index-beyond"),
    "index beyond the object's": (
        OBJECT.replace("&format", "&num_results=2&format") + OBJECT_GUARD + "{{ a.items[2].name }}",
        "index-beyond",
    ),
    "no guard in a loop": (CALL + "{% for i in r %}{{ i.name }}{% endfor %}", "no-guard"),
    "no guard on the object": (OBJECT + "{{ a.items[0].name }}", "no-guard"),
    "unescaped in the path": (
        CALL.replace("/recommendations?", "/{{${country}}}/recommendations?") + GUARD,
        "url-unescaped",
    ),
    "unescaped by another filter": (CALL.replace("url_param_escape", "downcase") + GUARD, "url-unescaped"),
    "url_escape is not enough": (CALL.replace("url_param_escape", "url_escape") + GUARD, "url-unescaped"),
    "unescaped variable": (
        "{% assign u = ${user_id} %}" + CALL.replace("${user_id} | url_param_escape", "u") + GUARD,
        "url-unescaped",
    ),
    "address in a variable": (
        "{% assign u = 'https://a.example/recommendations?user_id=' | append: ${user_id} %}"
        + CALL.replace(f"{HOST}/recommendations?user_id={{{{${{user_id}} | url_param_escape}}}}", "{{u}}")
        + GUARD,
        "url-unescaped",
    ),
    "captured as it is": (
        "{% capture u %}{{${user_id}}}{% endcapture %}" + CALL.replace("${user_id} | url_param_escape", "u"),
        "url-unescaped",
    ),
    "password in the host": (CALL.replace("https://", "https://user:pass@") + GUARD, "url-secret"),
    "token": (CALL.replace(" :save", "&access_token={{x | url_param_escape}} :save") + GUARD, "url-secret"),
    "three slashes": (CALL.replace("https://", "https:///") + GUARD, "url-slash"),
    "no slash": (CALL.replace("https://", "https:") + GUARD, "url-slash"),
    "quoted address": (CALL.replace(HOST, f'"{HOST}'), "url-scheme"),
    "slash after similar items": (
        CALL.replace("/recommendations?", "/similar-items/?item_id=1&"),
        "url-trailing-slash",
    ),
    "slash and prefix": (CALL.replace("/recommendations?", "/prefix/recommendations/?"), "url-trailing-slash"),
    "too long in the cache": (CALL.replace(":save", ":cache_max_age 14401 :save"), "cache-max-age"),
    "no number in the cache": (CALL.replace(":save", ":cache_max_age 5m :save"), "cache-max-age"),
    "space in the address": (CALL.replace("&", " &").replace("user_id={{", "user_id= {{"), "call-option"),
    "cb": (CALL.replace(" :save", "&cb=1 :save"), "cache-busting"),
    "attribute as a reason": ("{% abort_message(${user_id}) %}", "abort-reason"),
    "reason without quotes": ("{% abort_message(no items) %}", "abort-reason"),
    "output as a tag": ("{% ${user_id} %}", "syntax"),
    "filter in elsif": ("{% if 1 == 2 %}{% elsif x | size > 2 %}{% endif %}", "filter-in-tag"),
    "filter in for": ("{% for i in x | reverse %}{% endfor %}", "filter-in-tag"),
    "filter in brackets": ("{{ x[y | minus: 1] }}", "filter-in-tag"),
    "and in assign": ("{% assign a = true and false %}", "operator-in-assign"),
    "double curly quotes": ("{% if x == " + CURLY + " %}{% endif %}", "curly-quotes"),
    "filter in the address": (CALL.replace("url_param_escape", "urlencode"), "unknown-filter"),
    "font filter": ("{{ 'a' | font_face }}", "unsupported-filter"),
    "never closed": ("{% if true %}a", "syntax"),
    "bracket that is never closed": ("{{ nobody[0 }}", "syntax"),
    "no-break space": ("{%\N{NO-BREAK SPACE}if true %}{% endif %}", "syntax"),
    "else of nothing": ("{% endif %}", "syntax"),
    "output in a comment of Outlook": ("<!--[if mso]>{{ ${first_name} }}<![endif]-->", "html-comment"),
    "output in an HTML comment behind a comment": (
        "{% comment %}a{% endcomment %} b <!-- {{ ${x} }} -->",
        "html-comment",
    ),
    "head": ("<html><head><title>{{${first_name}}}</title></head><body></body></html>", "outside-body"),
    "small letters of the scheme": (CALL.replace("https://", "HTTP://") + GUARD, "url-http"),
    "one slash after HTTPS": (CALL.replace("https://", "HTTPS:/") + GUARD, "url-slash"),
    "dashes and lines in the tag": (
        "{%-\n  connected_content\n  http://a.example/recommendations?user_id={{- ${user_id} -}}\n  :save r\n-%}",
        "url-unescaped",
    ),
    "attribute without brackets in the address": (
        CALL.replace("{{${user_id} | url_param_escape}}", "${user_id}") + GUARD,
        "bare-attribute",
    ),
    "attribute in single brackets": ("Hello {${first_name}}", "bare-attribute"),
    "status in quotes": (CALL + GUARD + "{% if r['__http_status_code__'] != 200 %}x{% endif %}", "status-on-array"),
    "status in a variable": (
        CALL + GUARD + "{% assign s = r.__http_status_code__ %}{% if s != 200 %}x{% endif %}",
        "status-on-array",
    ),
    "status in a case": (
        CALL + GUARD + "{% case r.__http_status_code__ %}{% when 200 %}x{% endcase %}",
        "status-on-array",
    ),
    "status in lines": (
        CALL + GUARD + "{% liquid\n if r.__http_status_code__ != 200\n abort_message('x')\n endif %}",
        "status-on-array",
    ),
    "size in a variable": (
        CALL + "{% assign n = r.size %}{% if n < 1 %}{% abort_message() %}{% endif %}{{ r[0].name }}",
        "size-guard",
    ),
    "size on the right": (CALL + "{% if 1 > r.size %}{% abort_message() %}{% endif %}{{ r[0].name }}", "size-guard"),
    "size in quotes": (CALL + "{%- if r['size'] < 1 -%}{% abort_message() %}{% endif %}{{ r[0].name }}", "size-guard"),
    "size that is not 0": (CALL + "{% if r.size != 0 %}{{ r[0].name }}{% endif %}", "size-guard"),
    "size in unless": (CALL + "{% unless r.size == 0 %}{{ r[0].name }}{% endunless %}", "size-guard"),
    "price in quotes": (CALL + GUARD + "{{- r[0]['price'] -}}", "price-without-money"),
    "price in a variable": (CALL + GUARD + "{% assign p = r[0].price %}{{ p }}", "price-without-money"),
    "price in a capture": (
        CALL + GUARD + "{% capture p %}{{ r[0].price }}{% endcapture %}{{ p }}",
        "price-without-money",
    ),
    "price assigned in a loop": (
        CALL + GUARD + "{% for i in r %}{% assign k = i %}{{ k.price }}{% endfor %}",
        "price-without-money",
    ),
    "price in lines": (CALL + GUARD + "{% liquid\n for i in r\n echo i.price\n endfor %}", "price-without-money"),
    "name behind a filter": (
        CALL + GUARD + "<p>{% assign n = r[0].name | upcase %}{{ n }}</p>",
        "html-unescaped",
    ),
    "name appended": (CALL + GUARD + "<p>{% assign n = 'Buy ' | append: r[0].name %}{{ n }}</p>", "html-unescaped"),
    "names in a row": (CALL + GUARD + "<p>{{ r | map: 'name' | join: ', ' }}</p>", "html-unescaped"),
    "offset beyond": (CALL + GUARD + "{% for i in r limit: 3 offset: 8 %}{{ i.name }}{% endfor %}", "index-beyond"),
    "moment in a variable": (
        "{% assign t = 'now' | date: '%s' | url_param_escape %}" + CALL.replace(" :save", "&v={{t}} :save") + GUARD,
        "cache-busting",
    ),
    "filter in lines": ("{% liquid\n if x | size > 3\n echo 'x'\n endif %}", "filter-in-tag"),
    "operator in lines": ("{% liquid\n assign a = 1 > 3 %}", "operator-in-assign"),
    "two slashes in the path": (CALL.replace(".com/", ".com//") + GUARD, "url-path"),
    "underscore in the path": (CALL.replace("/recommendations", "/similar_items") + GUARD, "url-path"),
    "no question mark": (CALL.replace("s?user", "s&user") + GUARD, "url-path"),
    "loop over the object": (OBJECT + OBJECT_GUARD + "{% for i in a %}{{ i.name }}{% endfor %}", "object-as-list"),
    "guard on the object's items": (
        OBJECT + "{% if a[0].name == blank %}{% abort_message() %}{% endif %}",
        "object-as-list",
    ),
    "too many items": (CALL.replace(" :save", "&num_results=101 :save"), "num-results"),
    "JSON that is cut": (CALL + GUARD + "{{ r[0].name | json_escape | slice: 0, 9 }}", "cut-after-escape"),
    "a name that is cut in an assign": (
        CALL + GUARD + "<p>{% assign n = r[0].name | escape | truncate: 9 %}{{ n }}</p>",
        "cut-after-escape",
    ),
    "a greeting that is cut": ("<p>{{ ${first_name} | escape | upcase | truncate: 9 }}</p>", "cut-after-escape"),
    "no user": (CALL.replace("user_id", "userid"), "missing-parameter"),
    "product of the workshop": (CALL + GUARD + "{{ r[0].product.name }}", "unknown-field"),
    "price of a product in a loop": (
        CALL + GUARD + "{% for i in r %}{{ i.product.price }}{% endfor %}",
        "price-without-money",
    ),
    "product beyond": (CALL + GUARD + "{{ r[10].product.name }}", "index-beyond"),
    "list in the list": (CALL + GUARD + "{{ r.recommendations[0].name }}", "field-of-list"),
    "list in the list, guarded": (
        CALL + "{% if r.recommendations.size < 5 or r.foo.bar == nil %}{% abort_message() %}{% endif %}",
        "field-of-list",
    ),
    "loop over a list in the list": (CALL + GUARD + "{% for i in r.items %}{{ i.name }}{% endfor %}", "field-of-list"),
    "empty": (CALL + "{% if r == empty %}{% abort_message() %}{% endif %}{{ r[0].name }}", "size-guard"),
    "empty name": (CALL + "{% if r[0].name != empty %}{{ r[0].name }}{% endif %}", "size-guard"),
    "size in a case that is not nothing": (
        CALL + "{% case r.size %}{% when 0 %}{% abort_message() %}{% else %}{{ r[0].name }}{% endcase %}",
        "size-guard",
    ),
    "name that is no text": (
        CALL + "{% if r[0].name == '' %}{% abort_message() %}{% endif %}{{ r[0].name }}",
        "size-guard",
    ),
    "no text on the left": (CALL + '{% if "" != r[0].name %}{{ r[0].name }}{% endif %}', "size-guard"),
    "price and tax": (CALL + GUARD + "{{ r[0].price | times: 1.2 }}", "price-without-money"),
    "headers of Python": (CALL.replace(":save", ":headers {'X-API-Key': 'a'} :save") + GUARD, "call-option"),
    "headers with a gap": (CALL.replace(":save", ':headers {"X-API-Key": <key>} :save') + GUARD, "call-option"),
    "headers that are a list": (CALL.replace(":save", ':headers ["a"] :save') + GUARD, "call-option"),
    "price rounded to cents": (CALL + GUARD + "${{ r[0].price | round: 2 }}", "price-without-money"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_same_mistake_in_another_dress_is_found(name: str) -> None:
    template, rule = MISTAKES[name]

    assert rule in found(template)


FINE = {
    "truth of a name": CALL + "{% unless r[0].name %}{% abort_message() %}{% endunless %}{{ r[0].name }}",
    "size above": CALL + "{% if r.size > 0 %}{{ r[0].name }}{% endif %}",
    "size or 0": CALL
    + "{% assign n = r.size | default: 0 %}{% if n < 3 %}{% abort_message() %}{% endif %}{{ r[0].name }}",
    "size and 0": CALL
    + "{% assign n = r.size | plus: 0 %}{% if n == 0 %}{% abort_message() %}{% endif %}{{ r[0].name }}",
    "size that is nil or 0": CALL
    + "{% if r.size == nil or r.size == 0 %}{% abort_message() %}{% endif %}{{ r[0].name }}",
    "length in a case": CALL
    + "{% assign n = r | size %}{% case n %}{% when 0 %}{% abort_message() %}{% endcase %}{{ r[0].name }}",
    "price and tax as money": CALL + GUARD + "{{ r[0].price | times: 1.2 | money }}",
    "text that is no guard": CALL + GUARD + "{% if r[0].brand == '' %}{% endif %}".replace("brand", "name"),
    "headers of JSON": CALL.replace(":save", ':headers {"A": "{{ ${a} | json_escape }}", "B": {{ 1 }}} :save') + GUARD,
    "headers of a variable": CALL.replace(":save", ":headers {{ ${headers} }} :save") + GUARD,
    "empty beside blank": CALL + "{% if r == empty or r == blank %}{% abort_message() %}{% endif %}{{ r[0].name }}",
    "column that holds more": CALL.replace(" :save", "&fields=size :save") + GUARD + "{{ r[0].size.eu }}",
    "length of a name": CALL + GUARD + "{% if r[0].name.size > 20 %}{{ r[0].name | truncate: 20 }}{% endif %}",
    "price without cents": CALL + GUARD + "${{ r[0].price | round }} ${{ r[0].price | round: 2 | money }}",
    "bucket of the user": CALL.replace(" :save", "&bucket={{${random_bucket_number}}} :save") + GUARD,
    "size filter": CALL
    + "{% assign n = r | size %}{% if n < 1 or r == blank %}{% abort_message() %}{% endif %}{{ n }}",
    "size beside blank": CALL + "{% if r == blank or r.size < 3 %}{% abort_message() %}{% endif %}{{ r[2].name }}",
    "dispatch id": CALL.replace(" :save", "&send={{campaign.${dispatch_id}}} :save") + GUARD,
    "escaped variable": "{% assign u = ${user_id} | url_param_escape %}"
    + CALL.replace("${user_id} | url_param_escape", "u"),
    "escaped in a capture": "{% capture u %}{{${user_id} | url_encode}}{% endcapture %}"
    + CALL.replace("${user_id} | url_param_escape", "u")
    + GUARD,
    "another text where there is none": CALL + "{{ r[0].name | default: 'our shop' }}",
    "another host": "{% connected_content https://a.example/x/?q={{${city} | url_encode}} :save w %}"
    "{% if w %}{{ w.t }}{% endif %}",
    "JSON": CALL + GUARD + '{"title": "{{ r[0].name | json_escape }}", "price": {{ r[0].price }}}',
    "columns asked for": CALL.replace(" :save", "&fields=brand,colour :save") + GUARD + "{{ r[0].brand }}",
    "columns by a variable": CALL.replace(" :save", "&fields={{ 'a' | url_encode }} :save") + GUARD + "{{ r[0].a }}",
    "text of curly quotes": "{{ 'it\N{RIGHT SINGLE QUOTATION MARK}s' }} " + CURLY,
    "custom attributes": "{{custom_attribute.${a}}} {{ event_properties.${b}[0].c }}{% if ${c} == 'd' %}{% endif %}",
    "numbers of a loop": "{% for i in (1..3) %}{{ forloop.index }}{% endfor %}",
    "pipe in a text": "{% if ${a} == 'b | c' %}{% endif %}",
    "large letters of the scheme": CALL.replace("https://", "HTTPS://") + GUARD + "{{ r[0].name }}",
    "size filter by itself": CALL
    + "{% assign n = r | size %}{% if n == 0 %}{% abort_message() %}{% endif %}{{ r[0].name }}",
    "size above on the right": CALL + "{% if 0 < r.size %}{{ r[0].name }}{% endif %}",
    "else of a loop": CALL + "{% for i in r %}{{ i.name }}{% else %}{% abort_message('none') %}{% endfor %}",
    "blank on the left": CALL + "{% if blank == r[0].name %}{% abort_message() %}{% endif %}{{ r[0].name }}",
    "captured, then escaped": CALL + GUARD + "<p>{% capture n %}{{ r[0].name }}{% endcapture %}{{ n | escape }}</p>",
    "captured, then money": CALL + GUARD + "{% capture p %}{{ r[0].price }}{% endcapture %}{{ p | money }}",
    "money in a variable": CALL + GUARD + "{% assign p = r[0].price | money | append: ' only' %}{{ p }}",
    "names in a row": CALL + GUARD + "<p>{{ r | map: 'name' | join: ', ' | escape }}</p>",
    "blanks within an output": CALL
    + GUARD
    + CALL.replace("{{${user_id} |", "{{ ${user_id}|")
    + GUARD
    + "{{ r[0].name }}",
    "call in a Content Block": "{{content_blocks.${call}}}{{ r[0].name }}",
    "dollars of a script": "<script>var a = `${b}`;</script><p>${{custom_attribute.${price}}}</p>",
    "the same in lines": CALL + "{% liquid\n if r[0].name == blank\n abort_message('none')\n endif %}{{ r[0].name }}",
    "comment in lines": "{% liquid\n comment\n if r | size > 3\n it's {{ x\n endcomment\n # assign a = 1 > 2\n%}",
    "comments in a comment": "{% comment %}{% comment %}{{ x | no }}{% endcomment %}{% if a = 1 %}{% endcomment %}",
    "HTML comment in a comment": "a{% comment %}b<!--[if mso]>{{ ${x} }}<![endif]-->{% endcomment %}<p>c</p>",
    "brackets in a text": "{{ '{{' | append: \"{{\" }}",
    "comment": "<!-- a comment --><p>{{${first_name} | escape}}</p>",
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine_is_not_named(name: str) -> None:
    assert found(FINE[name]) == []


@pytest.mark.parametrize("case", [*USE_CASES, *OF_BRAZE_ONLY], ids=lambda case: case.template[:60])
def test_what_brazes_library_of_use_cases_writes_is_fine(case: Case) -> None:
    assert found(case.template) == []


HOSTILE = {
    "brackets": "{{ " + "(" * 100_000 + " }}",
    "indexes": "{{ a" + "[a" * 50_000 + "]" * 50_000 + " }}",
    "curly quotes": "{{ " + "\u2018" * 50_000 + " }}",
    "outputs in an address": "{% connected_content https://a/" + "{{" * 30_000 + " %}",
    "options": "{% connected_content https://a/ " + ":headers {" * 20_000 + " %}",
    "comments": "<!--" * 50_000,
    "dollars": "{{ " + "${" * 30_000 + " }}",
    "a megabyte": "x" * 1_000_000,
    "blanks in lines": "{% liquid\n" + ("echo 1" + " " * 3_900 + "| upcase\n") * 70 + "%}{% if",
    "comments in comments": "{% comment %}" * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(20)
def test_a_hostile_template_does_not_keep_lint_busy(name: str) -> None:
    assert name == "comments" or found(HOSTILE[name]) == ["syntax"]


def test_a_finding_has_line_and_column() -> None:
    [finding] = Lint().check("mail.liquid", "first\n" + CALL.replace("https://", "https:/") + GUARD)

    assert (finding.file, finding.line, finding.column) == ("mail.liquid", 2, CALL.index("https") + 1)


def test_the_channel_decides_what_must_be_escaped() -> None:
    plain, escaped = (CALL + GUARD + one for one in ("{{ r[0].name }}", "{{ r[0].name | escape }}"))

    assert (found(plain, "email"), found(escaped, "email")) == (["html-unescaped"], [])
    assert (found(plain, "push"), found(escaped, "push")) == ([], ["escape-in-plain-text"])
    assert (found(plain), found(f"<p>{escaped}</p>")) == ([], [])


def run(folder: Path, *options: str, **files: str) -> Result:
    paths = []
    for name, text in files.items():
        (folder / f"{name}.liquid").write_text(text, "utf-8")
        paths.append(str(folder / f"{name}.liquid"))
    return CliRunner().invoke(main, ["liquid", "lint", *paths, *options])


PUSH = CALL + GUARD + "{{ r[0].name }}"


def test_the_command_fails_on_errors_and_not_on_warnings(tmp_path: Path) -> None:
    good, warned, wrong = (
        run(tmp_path, a=PUSH),
        run(tmp_path, a=PUSH.replace(":save", ":retry :save")),
        run(tmp_path, a=AWS),
    )

    assert [one.exit_code for one in (good, warned, wrong)] == [0, 0, 1]
    assert good.stdout == ""
    assert "a.liquid:1:" in warned.stdout
    assert "warning retry-and-abort" in warned.stdout
    assert "1 files: 0 errors, 1 warnings" in warned.stderr


def test_parts_of_one_message_must_call_the_same_address(tmp_path: Path) -> None:
    parts = {"title": PUSH, "body": PUSH.replace(" :save", "&num_results=3 :save")}

    assert run(tmp_path, **parts).exit_code == 0
    wrong = run(tmp_path, "--message", **parts)
    assert wrong.exit_code == 1
    assert wrong.stdout.count("urls-differ") == 1
    assert run(tmp_path, "--message", title=PUSH, body=PUSH).exit_code == 0


def test_json_and_githubs_annotations_say_the_same(tmp_path: Path) -> None:
    listed = json.loads(run(tmp_path, "--json", a=AWS).stdout)
    lines = run(tmp_path, "--format", "github", a=AWS).stdout.splitlines()

    assert len(listed) == len(lines) == len(Lint().check("a", AWS))
    assert set(listed[0]) == set(Finding.__dataclass_fields__)
    for one, line in zip(listed, lines, strict=True):
        assert line.startswith(f"::{one['severity']} file=")
        assert f"line={one['line']},col={one['column']},title={one['rule']}::" in line
    assert json.loads(run(tmp_path, "--json", a=PUSH).stdout) == []


def test_a_variable_of_a_known_content_block_is_one_that_the_block_makes() -> None:
    template = "{{content_blocks.${call}}}{{ r[0].name }}"

    assert [one.rule for one in Lint(None, {"call": "x"}).check("a", template)] == ["undefined-variable"]
    assert Lint(None, {"call": CALL}).check("a", template) == []


def test_content_blocks_are_looked_for_only_where_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "blocks").mkdir()

    assert run(tmp_path, a="{{content_blocks.${footer}}}").exit_code == 0
    assert run(tmp_path, "--blocks", str(tmp_path / "blocks"), a="{{content_blocks.${footer}}}").exit_code == 1
