"""Where a template is cut, and how values are written and read: as Shopify's Liquid does it.

Source: Shopify/liquid, `Tokenizer`, `BlockBody`, `Comment`, `Raw` and `Utils`.
"""

from typing import Any

import pytest

from service.braze.engine import render
from service.braze.ports import Answer, Call, Job
from service.errors import TemplateError

NBSP = "\N{NO-BREAK SPACE}"


def rendered(template: str, calls: list[Call] | None = None, **values: Any) -> str:  # noqa: ANN401  # any JSON
    def caller(call: Call) -> Answer:
        assert calls is not None
        calls.append(call)
        return Answer(200, '[{"name": "Kettle"}]')

    return render(Job(template, {"user_id": "a b", "n": 3}, values), caller).text


CUT = {
    "brackets that open in a text": ("""{{ "a{{b" | append: '{{' }}{{ 1 }}""", "a{{b{{1"),
    "brackets behind an apostrophe": ("""{{ "it's {{" }}{{ 'say "{{"' }}""", """it's {{say "{{\""""),
    "brackets in a condition": ("""{% if '{{' == "{{" %}y{% endif %}""", "y"),
    "brackets in an assignment": ("{% assign a = '{{' %}{{ a | size }}{{ '{{' | append: {{ a }} }}", "2{{{{"),
    "one bracket in a text": ("{{ '}' }}{{ '{' }}{{ \"%}\" }}", "}{%}"),
    "line ends": ("a\r\n{{ 1 }}\rb\r\n", "a\r\n1\rb\r\n"),
    "line ends in a capture": ("{% capture c %}a\r\nb\r{% endcapture %}{{ c }}", "a\r\nb\r"),
    "every blank is trimmed": ("a \t\f\v\r\n{{- 1 -}}\r\v\f \n b {%- if true -%}\r\n c{% endif %}", "a1bc"),
    "a no-break space is no blank": (f"a{NBSP}{{{{- 1 -}}}}{NBSP}b", f"a{NBSP}1{NBSP}b"),
    "a block of a no-break space": (f"{{% if true %}}{NBSP}{{% endif %}}|{{% if true %}} {{% endif %}}|", f"{NBSP}||"),
    "comments in comments": ("a{% comment %}b{% comment %}c{% endcomment %}d{% endcomment %}e", "ae"),
    "comments with dashes": (
        "a {%- comment -%} b {%- comment %}{%endcomment-%}{{ x }}{%- endcomment -%} \r\n z",
        "az",
    ),
    "a comment is not read": ("{% comment %}{{ x | no_filter }}{% if %}{% no_tag }}{{ '%}' }}{% endcomment %}x", "x"),
    "raw in a comment": ("{% comment %}{% raw %}{% endcomment %}{% endraw %}{% endcomment %}x", "x"),
    "raw with dashes in a comment": ("{%comment%}{%- raw -%}{% comment %}{%- endraw -%}{%endcomment%}x", "x"),
    "a comment in raw": ("{% raw %}{% comment %}{{ {% endraw %}x", "{% comment %}{{ x"),
    "raw keeps its blanks": ("{% raw -%} a {%- endraw %} b{% raw %} c {% endraw -%} d", " a  b c d"),
    "comments in lines": (
        "{% liquid\n echo 1\n comment\n it's {{\n comment\n echo 2\n endcomment\n echo 3\n endcomment\n echo 4\n%}",
        "14",
    ),
    "blanks in lines": ("{% liquid\n echo 1\n   \n\t\n\n \r\n echo 2\r\n%}", "12"),
    "many lines": ("{% liquid\n" + " echo 1\n" * 1000 + "%}", "1" * 1000),
}


@pytest.mark.parametrize("name", CUT)
def test_a_template_is_cut_as_in_liquid(name: str) -> None:
    template, text = CUT[name]

    assert rendered(template) == text


def test_a_call_in_lines_has_its_outputs() -> None:
    calls: list[Call] = []
    template = (
        "{% liquid\n"
        "  connected_content https://a.example/r?u={{${user_id} | url_param_escape}}&n={{ ${n} | plus: 1 }} :save r\n"
        "  echo r[0].name\n"
        "  if {{ ${n} }} == 3\n"
        "    abort_message('none')\n"
        "  endif\n"
        "%}"
    )

    assert rendered(template.replace("== 3", "== 4"), calls) == "Kettle"
    assert [call.url for call in calls] == ["https://a.example/r?u=a%20b&n=4"]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% comment %}{% assign a = '1'{% endcomment %}", "comment is never closed"),
        ("{% comment %}{{ a {% endcomment %}", "comment is never closed"),
        ("{% comment %}{% comment %}{% endcomment %}", "comment is never closed"),
        ("{% comment %}{% raw %}{% endcomment %}", "raw is never closed"),
        ("{% liquid\n comment\n comment\n endcomment\n%}", "comment is never closed"),
        ("{% raw a %}{% endraw %}", "raw takes nothing"),
        (f"{{%{NBSP}if true %}}{{% endif %}}", r"U\+00A0"),
        (f"{{%-\n{NBSP}assign a = 1 -%}}", r"U\+00A0"),
        ("{{ 'now' | date }}", "date: this filter takes another number of arguments"),
        ("{% assign d = ${n} | date %}", "date: this filter takes another number of arguments"),
    ],
)
def test_what_liquid_does_not_read_is_refused(template: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        rendered(template)


@pytest.mark.parametrize(
    ("template", "where", "problem"),
    [
        ("a\n{% if true %}b{% if false %}{% endif %}", "{% if true", "if is never closed: endif is missing"),
        ("a{% for i in l %}{% for j in l %}", "{% for j", "for is never closed: endfor is missing"),
        ("a{% case n %}{% when 1 %}", "{% case", "case is never closed: endcase is missing"),
        ("a{% liquid\n if n\n echo 1\n%}b", "if n", "if is never closed: endif is missing"),
        ("a\n{% if n == %}\nb{% endif %}", "{% if", "expected a primitive expression"),
        ("a\n{% for i in %}{% endfor %}", "{% for", "expected a primitive expression"),
        ("{{ 1 }}{% assign a = %}", "a =", "expected"),
        ("a {{ n | }}", "n |", "expected word"),
        ("a{{ 'b' | truncate: 'c' }}", "truncate", "truncate expected an integer, and this is a text"),
        ("a{{ 'b' | append }}", "append", "append: this filter takes another number of arguments"),
        ("a{{ 'b' | append: 'c', d: 1 }}", "append", "append: this filter has no option d"),
        ("a{{ 'b' | uppercase }}", "uppercase", "there is no filter uppercase"),
        ("{% if 'a' < 3 %}{% endif %}", "< 3", "a text and a number cannot be compared by < or >"),
        ("{% if true %}" * 101, "", "blocks stand within each other more than 100 deep"),
        ("a{% for i in (1..100001) %}{% endfor %}", "", "the loops take more than 100,000 turns"),
    ],
)
def test_an_error_is_in_words_and_names_its_place(template: str, where: str, problem: str) -> None:
    with pytest.raises(TemplateError) as refused:
        rendered(template, l=[])

    assert refused.value.problem.startswith(problem)
    if where:
        assert template[refused.value.offset :].startswith(where)


LIST = ["a", None, True, 1.0, [2, ["b"]], {"k": 'say "hi"\n', "n": None, "l": [1.5, "x"]}]
OBJECT = '{"k"=>"say \\"hi\\"\\n", "n"=>nil, "l"=>[1.5, "x"]}'

WRITTEN = [
    ("{{ l }}", "atrue1.02b" + OBJECT),
    ("{% echo l[5] %}", OBJECT),
    ("{{ l | join: '-' }}", f"a--true-1.0-2-b-{OBJECT}"),
    ("{{ l[4] | append: '!' }}", '[2, ["b"]]!'),
    ("{{ 'is ' | append: l[5] | replace: '=>', ':' }}", "is " + OBJECT.replace("=>", ":")),
    ("{{ l[4] | url_param_escape }} {{ l[4] | escape }}", "%5B2%2C%20%5B%22b%22%5D%5D [2, [&quot;b&quot;]]"),
    ("{{ h }}", '{"\\#{a}"=>"\\#$b # \\e\\u0001é"}'),
    ("{{ (1..3) }} {{ (1..3) | join }} {{ (1..3) | append: '!' }}", "1..3 1 2 3 1..3!"),
    ("{{ big }} {{ small }} {{ 0.1 | plus: 0.2 }}", "1.0e+20 1.5e-07 0.3"),
    (f"[{{{{ '{NBSP} a{NBSP} ' | strip }}}}] {{{{ ' a{NBSP}b  c ' | split: ' ' | size }}}}", f"[{NBSP} a{NBSP}] 2"),
]


@pytest.mark.parametrize(("template", "text"), WRITTEN)
def test_a_value_is_written_as_ruby_writes_it(template: str, text: str) -> None:
    values: dict[str, Any] = {"l": LIST, "h": {"#{a}": "#$b # \x1b\x01é"}, "big": 1e20, "small": 1.5e-07}

    assert rendered(template, **values) == text


NUMBERS = [
    ("'12abc' | plus: 1", "13"),
    ("'12.5abc' | plus: 1", "13"),
    ("'12.50 ' | plus: 1", "13.5"),
    ("' -7 days' | abs", "7"),
    ("'1,234' | times: 2", "2"),
    ("'1_234' | minus: '234 or so'", "1000"),
    ("'1e3' | plus: 1", "2"),
    ("'$5' | plus: 1", "1"),
    ("true | plus: 1", "1"),
    ("'3 pieces' | divided_by: '2 each'", "1"),
    ("'9 of 10' | modulo: 4 | at_least: '2nd'", "2"),
    ("'4.6x' | ceil | at_most: '3rd'", "3"),
    ("'2.5' | round", "3"),
    ("'2.5 kg' | round", "2"),
    ("'19 euro' | money", "$19.00"),
]


@pytest.mark.parametrize(("expression", "text"), NUMBERS)
def test_a_text_is_read_as_the_number_that_it_begins_with(expression: str, text: str) -> None:
    assert rendered(f"{{{{ {expression} }}}}") == text
