"""What Braze documents of its Liquid, case by case: the source, a template, and what it renders to.

Where Braze points at Shopify's documentation of Liquid, so do we.
"""

from typing import Any, Final, NamedTuple

BRAZE: Final = "https://www.braze.com/docs/user_guide/messaging/design_and_edit/personalize/"
FILTERS: Final = BRAZE + "liquid/filters/"
ADVANCED: Final = BRAZE + "liquid/advanced_filters/"
USING: Final = BRAZE + "liquid/using_liquid/"
OPERATORS: Final = BRAZE + "liquid/operators/"
CONDITIONS: Final = BRAZE + "liquid/conditional_logic/"
CATALOGS: Final = "https://www.braze.com/docs/user_guide/data/activation/catalogs/use_catalog_data/"
ABORT: Final = BRAZE + "liquid/aborting_messages/"
VARIABLES: Final = BRAZE + "connected_content/local_connected_content_variables/"
CALLS: Final = BRAZE + "connected_content/making_an_api_call/"
LIBRARY: Final = BRAZE + "liquid/liquid_use_cases/"
SHOPIFY: Final = "https://shopify.github.io/liquid/"

REFUSED: Final = object()
"""Braze cannot render the template, so it sends nothing."""


class Case(NamedTuple):
    source: str
    template: str
    result: object
    user: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it
    custom: dict[str, Any] = {}  # noqa: RUF012  # nobody changes it


class Aborted(NamedTuple):
    reason: str


ATTRIBUTES = [
    Case(USING, "Hi {{ ${first_name} | default: 'Valued User' }}, thanks", "Hi Janet, thanks", {"first_name": "Janet"}),
    Case(USING, "Hi {{ ${first_name} | default: 'Valued User' }}, thanks", "Hi Valued User, thanks"),
    Case(USING, "{{${first_name}}}", "Janet", {"first_name": "Janet"}),
    Case(USING, "{{custom_attribute.${zip code}}}", "10001", {}, {"zip code": "10001"}),
    Case(USING, "{{custom_attribute.${Größe}}}", "M", {}, {"Größe": "M"}),
    Case(USING, "{% if custom_attribute.${N} == 1 %}y{% endif %}", "y", {}, {"N": 1}),
    Case(USING, "{% if {{custom_attribute.${N}}} == 1 %}y{% endif %}", "y", {}, {"N": 1}),
    Case(USING, "{% assign one = {{custom_attribute.${one}}} %}{{one}}", "7", {}, {"one": 7}),
    Case(USING, "{% assign one = custom_attribute.${one} %}{{one}}", "7", {}, {"one": 7}),
    Case(
        USING,
        "{% assign one = {{custom_attribute.${one}}} %}"
        "{% assign result = one | plus: {{custom_attribute.${two}}} %}{{result}}",
        "35",
        {},
        {"one": 15, "two": 20},
    ),
    Case(
        USING,
        "{% assign balance = {{custom_attribute.${rewards}}} %}"
        "You have ${{custom_attribute.${giftcard} | plus: {{balance}}}} to spend!",
        "You have $35 to spend!",
        {},
        {"rewards": 15, "giftcard": 20},
    ),
    Case(USING, "a<!-- {{${first_name}}} -->b", "ab", {"first_name": "Janet"}),
    Case(USING, "a<!-- {% abort_message('never') %} -->b", "ab"),
    Case(USING, "<!-- {{ nothing closes this -->b", "b"),
    Case(USING, "{{${dotted.name}}}", "x", {"dotted.name": "x"}),
]

WHERE = [
    Case(USING, "{% if my_array | size > 3 %}y{% endif %}", REFUSED),
    Case(USING, "{% unless my_array | size > 3 %}y{% endunless %}", REFUSED),
    Case(USING, "{% for item in my_array | reverse %}{{ item }}{% endfor %}", REFUSED),
    Case(USING, "{{ my_array[my_var | minus: 1] }}", REFUSED),
    Case(USING, "{% assign is_vip = total_spend > 100 %}", REFUSED),
    Case(USING, "{% case x | upcase %}{% when 'A' %}a{% endcase %}", REFUSED),
    Case(USING, "{% assign a = '1,2,3,4' | split: ',' %}{% assign n = a | size %}{% if n > 3 %}y{% endif %}", "y"),
    Case(USING, "{% assign a = '1,2' | split: ',' | reverse %}{% for i in a %}{{i}}{% endfor %}", "21"),
    Case(USING, "{% assign a = 'x,y' | split: ',' %}{% assign i = 2 | minus: 1 %}{{ a[i] }}", "y"),
    Case(
        USING, "{% assign v = false %}{% if 200 > 100 %}{% assign v = true %}{% endif %}{% if v %}VIP{% endif %}", "VIP"
    ),
    Case(USING, "{{ \N{LEFT SINGLE QUOTATION MARK}a\N{RIGHT SINGLE QUOTATION MARK} }}", REFUSED),
    Case(USING, "{% assign größe = 1 %}", REFUSED),
    Case(USING, "{% capture größe %}1{% endcapture %}", REFUSED),
    Case(USING, "{% if true %}never closed", REFUSED),
    Case(USING, "{{ never_closed", REFUSED),
    Case(USING, "{{ 'a' }", REFUSED),
    Case(OPERATORS, "{% if (1 == 1) and 2 == 2 %}y{% endif %}", REFUSED),
    Case(OPERATORS, "{% if 1 = 1 %}y{% endif %}", REFUSED),
]

COMPARED = [
    Case(OPERATORS, "{% if 1 == 1 %}y{% endif %}", "y"),
    Case(OPERATORS, "{% if 1 != 2 %}y{% endif %}", "y"),
    Case(OPERATORS, "{% if 2 > 1 %}y{% endif %}", "y"),
    Case(OPERATORS, "{% if 1 < 2 %}y{% endif %}", "y"),
    Case(OPERATORS, "{% if 2 >= 2 %}y{% endif %}", "y"),
    Case(OPERATORS, "{% if 2 <= 2 %}y{% endif %}", "y"),
    Case(OPERATORS, "{% if 1 == 2 or 1 == 1 %}y{% endif %}", "y"),
    Case(OPERATORS, "{% if 1 == 1 and 1 == 2 %}y{% else %}n{% endif %}", "n"),
    Case(OPERATORS, "{% if 'a homeland' contains 'home' %}y{% endif %}", "y"),
    Case(
        OPERATORS, "{% if {{custom_attribute.${total_spend}}} >0 %}a{% else %}b{% endif %}", "a", {}, {"total_spend": 5}
    ),
    Case(
        OPERATORS, "{% if {{custom_attribute.${total_spend}}} >0 %}a{% else %}b{% endif %}", "b", {}, {"total_spend": 0}
    ),
    Case(OPERATORS, "{% if {{custom_attribute.${total_spend}}} >0 %}a{% else %}b{% endif %}", "b"),
    Case(
        OPERATORS,
        "{% if {{custom_attribute.${g}}} == 'A' %}a{% elsif {{custom_attribute.${g}}} != blank and "
        "{{custom_attribute.${g}}} != 'A' %}other{% else %}none{% endif %}",
        "other",
        {},
        {"g": "Z"},
    ),
    Case(
        OPERATORS,
        "{% if {{custom_attribute.${g}}} == 'A' %}a{% elsif {{custom_attribute.${g}}} != blank and "
        "{{custom_attribute.${g}}} != 'A' %}other{% else %}none{% endif %}",
        "none",
    ),
    Case(
        OPERATORS,
        "{% if {{${time_zone}}} == 'America/Los_Angeles' %}y{% else %}{% abort_message () %}{% endif %}",
        Aborted("{% abort_message %} called"),
    ),
    Case(
        OPERATORS,
        "{% assign n = {{custom_attribute.${n}}} | plus: 0 %}{% if n == 3 %}y{% endif %}",
        "y",
        {},
        {"n": "3"},
    ),
    Case(
        OPERATORS,
        '{% assign c = {{custom_attribute.${c}}} | append: "" %}{% if c == "3" %}y{% endif %}',
        "y",
        {},
        {"c": 3},
    ),
    Case(
        CONDITIONS,
        "{% if ${language} == 'en' %}en{% elsif ${language} == 'es' %}es{% else %}all{% endif %}",
        "es",
        {"language": "es"},
    ),
    Case(CONDITIONS, "{% if ${language} == 'en' %}en{% elsif ${language} == 'es' %}es{% else %}all{% endif %}", "all"),
    Case(CONDITIONS, "{% if ${first_name} == null %}none{% else %}{{${first_name}}}{% endif %}", "none"),
    Case(CONDITIONS, "{% if ${first_name} == nil %}none{% endif %}", "none", {"first_name": None}),
    Case(CONDITIONS, "{% if ${first_name} == null %}none{% else %}there{% endif %}", "there", {"first_name": ""}),
    Case(CONDITIONS, "{% if ${first_name} == blank %}blank{% endif %}", "blank"),
    Case(CONDITIONS, "{% if ${first_name} == blank %}blank{% endif %}", "blank", {"first_name": None}),
    Case(CONDITIONS, "{% if ${first_name} == blank %}blank{% endif %}", "blank", {"first_name": ""}),
    Case(CONDITIONS, "{% if ${first_name} == blank %}blank{% endif %}", "blank", {"first_name": " \t"}),
    Case(CONDITIONS, "{% if ${first_name} == blank %}blank{% endif %}", "blank", {"first_name": False}),
    Case(CONDITIONS, "{% if blank == ${first_name} %}blank{% endif %}", "blank"),
    Case(CONDITIONS, "{% if ${first_name} != blank %}there{% endif %}", "", {"first_name": False}),
    Case(CONDITIONS, "{% if ${first_name} != blank %}there{% endif %}", "there", {"first_name": "J"}),
    Case(CONDITIONS, "{% unless ${first_name} == blank %}there{% endunless %}", ""),
    Case(CONDITIONS, "{% if {{custom_attribute.${done}}} == true %}y{% endif %}", "y", {}, {"done": True}),
    Case(CONDITIONS, "{% if {{custom_attribute.${size}}} == 10 %}y{% endif %}", "y", {}, {"size": 10}),
    Case(CONDITIONS, "{% if {{custom_attribute.${miles}}} >= 500 %}y{% endif %}", "y", {}, {"miles": 500}),
    Case(CONDITIONS, "{% if {{custom_attribute.${color}}} == 'blue' %}y{% endif %}", "y", {}, {"color": "blue"}),
    Case(
        CONDITIONS,
        "{% if {{custom_attribute.${shows}}} contains 'homeland' %}y{% endif %}",
        "y",
        {},
        {"shows": ["x", "homeland"]},
    ),
    Case(
        CONDITIONS,
        "{% if {{custom_attribute.${shows}}} contains 'homeland' %}y{% endif %}",
        "",
        {},
        {"shows": ["homelands"]},
    ),
    Case(OPERATORS, "{% if {{custom_attribute.${n}}} contains 'a' %}y{% else %}n{% endif %}", "n", {}, {"n": 3}),
    Case(OPERATORS, "{% if {{custom_attribute.${n}}} contains '3' %}y{% else %}n{% endif %}", "n", {}, {"n": True}),
    Case(OPERATORS, "{% if {{custom_attribute.${s}}} contains 3 %}y{% else %}n{% endif %}", "y", {}, {"s": "a3"}),
    Case(OPERATORS, "{% if {{custom_attribute.${l}}} contains true %}y{% else %}n{% endif %}", "n", {}, {"l": [1]}),
    Case(OPERATORS, "{% unless {{custom_attribute.${n}}} contains 'a' %}y{% endunless %}", "y", {}, {"n": 1.5}),
    Case(SHOPIFY + "basics/truthy-and-falsy/", "{% if nothing %}y{% else %}n{% endif %}", "n"),
    Case(SHOPIFY + "basics/truthy-and-falsy/", "{% assign a = '' %}{% if a %}y{% endif %}", "y"),
    Case(SHOPIFY + "basics/truthy-and-falsy/", "{% assign a = 0 %}{% if a %}y{% endif %}", "y"),
    Case(SHOPIFY + "basics/operators/", "{% if true or false and false %}y{% endif %}", "y"),
    Case(SHOPIFY + "basics/operators/", "{% if true and false and false or true %}y{% else %}n{% endif %}", "n"),
    Case(SHOPIFY + "basics/whitespace/", "a {{- 'b' -}} c", "abc"),
    Case(SHOPIFY + "basics/whitespace/", "a {%- if true -%} b {%- endif -%} c", "abc"),
]

ABORTS = [
    Case(ABORT, "{% if true %}{% abort_message() %}{% endif %}", Aborted("{% abort_message %} called")),
    Case(ABORT, "{% abort_message('language was nil') %}", Aborted("language was nil")),
    Case(ABORT, '{% abort_message("optional reason for aborting") %}', Aborted("optional reason for aborting")),
    Case(ABORT, "before{% if ${language} == 'en' %}{% abort_message() %}{% endif %}", "before"),
    Case(BRAZE + "connected_content/aborting_connected_content/", "{% abort_message('{{ x }}') %}", REFUSED),
    Case(BRAZE + "connected_content/aborting_connected_content/", "{% abort_message(${language}) %}", REFUSED),
]

FILTERED = [
    Case(FILTERS, '{{"Big Sale" | upcase}}', "BIG SALE"),
    Case(FILTERS, '{{ "Big Sale" | upcase | remove: "BIG" }}', " SALE"),
    Case(FILTERS, "{{ 'a,b' | split: ',' | join: '-' }}", "a-b"),
    Case(FILTERS, "{{ 'a,b' | split: ',' | first }}", "a"),
    Case(FILTERS, "{{ 'a,b' | split: ',' | last }}", "b"),
    Case(FILTERS, "{{ custom_attribute.${l} | compact | size }}", "1", {}, {"l": [None, 1]}),
    Case(FILTERS, "{% assign b = 'c' | split: ',' %}{{ 'a' | split: ',' | concat: b | join: '' }}", "ac"),
    Case(FILTERS, "{{ custom_attribute.${l} | map: 'n' | join: ',' }}", "1,2", {}, {"l": [{"n": 1}, {"n": 2}]}),
    Case(FILTERS, "{{ 'a,b' | split: ',' | reverse | join: '' }}", "ba"),
    Case(FILTERS, "{{ 'abc' | size }}", "3"),
    Case(FILTERS, "{{ 'a,b' | split: ',' | size }}", "2"),
    Case(FILTERS, "{{ 'abcdef' | slice: 1, 3 }}", "bcd"),
    Case(FILTERS, "{{ 'b,a' | split: ',' | sort | join: '' }}", "ab"),
    Case(FILTERS, "{{ 'b,A' | split: ',' | sort_natural | join: '' }}", "Ab"),
    Case(FILTERS, "{{ 'a,a' | split: ',' | uniq | join: '' }}", "a"),
    Case(FILTERS, "{{ custom_attribute.${l} | where: 'n', 2 | size }}", "1", {}, {"l": [{"n": 1}, {"n": 2}]}),
    Case(FILTERS, "{{ 'a' | split: ',' | find_index: 'a' }}", REFUSED),
    Case(FILTERS, "{{ -5 | abs }}", "5"),
    Case(FILTERS, "{{ 4 | at_most: 3 }}", "3"),
    Case(FILTERS, "{{ 4 | at_least: 5 }}", "5"),
    Case(FILTERS, "{{ 1.2 | ceil }}", "2"),
    Case(FILTERS, "{{ 15 | divided_by: 2 }}", "7"),
    Case(FILTERS, "{{15 | divided_by: 2.0}}", "7.5"),
    Case(FILTERS, "{{ 1.8 | floor }}", "1"),
    Case(FILTERS, "{{ 4 | minus: 1 }}", "3"),
    Case(FILTERS, "{{ '4' | plus: 1 }}", "5"),
    Case(FILTERS, "{{ 1.236 | round: 2 }}", "1.24"),
    Case(FILTERS, "{{ 3 | times: 4 }}", "12"),
    Case(FILTERS, "{{ 7 | modulo: 4 }}", "3"),
    Case(FILTERS, "{{ 17.8 | money }}", "$17.80"),
    Case(FILTERS, "{{ 145 | money }}", "$145.00"),
    Case(FILTERS, "{{ 145 | divided_by: 100.00 | money }}", "$1.45"),
    Case(FILTERS, '{% assign my_int = "350000.25" | plus: 0 %}{{ my_int | money }}', "$350,000.25"),
    Case(FILTERS, "{{ 1 | money_with_currency }}", REFUSED),
    Case(FILTERS, "{{ 1 | money_without_currency }}", REFUSED),
    Case(FILTERS, "{{ 'a' | append: 'b' }}", "ab"),
    Case(FILTERS, "{{ 'a' | camelize }}", REFUSED),
    Case(FILTERS, "{{ 'tHE wORD' | capitalize }}", "The word"),
    Case(FILTERS, "{{ 'ABC' | downcase }}", "abc"),
    Case(FILTERS, """{{ '<a> & "b"' | escape }}""", "&lt;a&gt; &amp; &quot;b&quot;"),
    Case(
        SHOPIFY + "filters/escape/",
        """{{ "Have you read 'James & the Giant Peach'?" | escape }}""",
        "Have you read &#39;James &amp; the Giant Peach&#39;?",
    ),
    Case(SHOPIFY + "filters/escape_once/", "{{ '1 &lt; 2 &amp; 3' | escape_once }}", "1 &lt; 2 &amp; 3"),
    Case(FILTERS, "{{ 'a b' | handleize }}", REFUSED),
    Case(FILTERS, "{{ 2 | pluralize: 'a', 'b' }}", REFUSED),
    Case(FILTERS, "{{ 'b' | prepend: 'a' }}", "ab"),
    Case(FILTERS, "{{ 'aba' | remove: 'a' }}", "b"),
    Case(FILTERS, "{{ 'aba' | remove_first: 'a' }}", "ba"),
    Case(FILTERS, "{{ 'aba' | replace: 'a', 'c' }}", "cbc"),
    Case(FILTERS, "{{ 'aba' | replace_first: 'a', 'c' }}", "cba"),
    Case(FILTERS, "[{{ ' a ' | strip }}]", "[a]"),
    Case(FILTERS, "{{ ' a' | lstrip }}", REFUSED),
    Case(FILTERS, "{{ 'a ' | rstrip }}", REFUSED),
    Case(FILTERS, "{{ '<b>a</b>' | strip_html }}", "a"),
    Case(FILTERS, "{{ custom_attribute.${t} | strip_newlines }}", "ab", {}, {"t": "a\nb"}),
    Case(FILTERS, "{{ custom_attribute.${t} | newline_to_br }}", "a<br />\nb", {}, {"t": "a\nb"}),
    Case(FILTERS, "{{ 'abcdefgh' | truncate: 5 }}", "ab..."),
    Case(FILTERS, "{{ 'one two three' | truncatewords: 2 }}", "one two..."),
    Case(FILTERS, "{{ nothing | default: 'd' }}", "d"),
    Case(FILTERS, "{{ '' | default: 'd' }}", "d"),
    Case(FILTERS, "{{ 'a' | format_address }}", REFUSED),
    Case(FILTERS, "{{ 'a' | highlight: 'a' }}", REFUSED),
    Case(FILTERS, "{{ '#fff' | color_to_rgb }}", REFUSED),
    Case(FILTERS, "{{ 'a' | font_face }}", REFUSED),
    Case(FILTERS, "{{custom_attribute.${d} | date: '%d %B'}}", "03 June", {}, {"d": "2021-06-03 17:13:41 UTC"}),
    Case(FILTERS, "{{custom_attribute.${d} | date: '%s' }}", "1622740421", {}, {"d": "2021-06-03 17:13:41 UTC"}),
    Case(ADVANCED, "{{'hey' | md5}}", "6057f13c496ecf7fd777ceb9e79ae285"),
    Case(ADVANCED, "{{'hey' | sha1}}", "7f550a9f4c44173a37664d938f1355f0f92a47a7"),
    Case(ADVANCED, "{{'hey' | sha2}}", "fa690b82061edfd2852629aeba8a8977b57e40fcb77d1a7a28b26cba62591204"),
    Case(ADVANCED, "{{'blah' | base64_encode}}", "YmxhaA=="),
    Case(ADVANCED, "{{'hey' | hmac_sha1_hex: 'secret_key'}}", "2a3969bed25bfeefb00aca4063eb9590b4df8f0e"),
    Case(ADVANCED, "{{'hey' | hmac_sha1: 'secret_key'}}", "2a3969bed25bfeefb00aca4063eb9590b4df8f0e"),
    Case(ADVANCED, "{{'hey' | hmac_sha1_base64: 'secret_key'}}", "KjlpvtJb/u+wCspAY+uVkLTfjw4="),
    Case(
        ADVANCED,
        "{{'hey' | hmac_sha256_hex: 'secret_key'}}",
        "8df897f8da3d7992fe57c8dbc6f27578cfbf2dcc4d0fbb4000b8c924841d508e",
    ),
    Case(ADVANCED, "{{'hey' | hmac_sha256_base64: 'secret_key'}}", "jfiX+No9eZL+V8jbxvJ1eM+/LcxND7tAALjJJIQdUI4="),
    Case(
        FILTERS,
        "{{ 'hey' | hmac_sha256: 'secret_key' }}",
        "8df897f8da3d7992fe57c8dbc6f27578cfbf2dcc4d0fbb4000b8c924841d508e",
    ),
    Case(FILTERS, "{{ 'hey' | hmac_sha512: 'secret_key' | size }}", "128"),
    Case(ADVANCED, "{{'hey<>hi' | url_escape}}", "hey%3C%3Ehi"),
    Case(ADVANCED, "{{'hey<&>hi' | url_param_escape}}", "hey%3C%26%3Ehi"),
    Case(ADVANCED, "{{ 'google search' | url_encode }}", "google+search"),
    Case(ADVANCED, "{{ custom_attribute.${h} | property_accessor: 'a' }}", "42", {}, {"h": {"a": 42, "b": 0}}),
    Case(ADVANCED, "{{ 123456 | number_with_delimiter }}", "123,456"),
    Case(ADVANCED, """{{ 'a"b\\c' | json_escape }}""", 'a\\"b\\\\c'),
]

TAGS = [
    Case(SHOPIFY + "tags/iteration/", "{% for i in (1..3) %}{{ i }}{% endfor %}", "123"),
    Case(SHOPIFY + "tags/iteration/", "{% for i in (1..5) limit: 2 offset: 1 %}{{ i }}{% endfor %}", "23"),
    Case(SHOPIFY + "tags/iteration/", "{% for i in (1..3) reversed %}{{ i }}{% endfor %}", "321"),
    Case(SHOPIFY + "tags/iteration/", "{% for i in nothing %}a{% else %}none{% endfor %}", "none"),
    Case(
        SHOPIFY + "tags/iteration/",
        "{% for i in (1..3) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}",
        "1",
    ),
    Case(
        SHOPIFY + "tags/iteration/",
        "{% for i in (1..3) %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
        "13",
    ),
    Case(
        SHOPIFY + "tags/iteration/",
        "{% for i in (1..2) %}{{ forloop.index }}{{ forloop.last }} {% endfor %}",
        "1false 2true ",
    ),
    Case(SHOPIFY + "tags/iteration/", "{% for i in (1..3) %}{% cycle 'a', 'b' %}{% endfor %}", "aba"),
    Case(SHOPIFY + "tags/control-flow/", "{% case 2 %}{% when 1 %}a{% when 2, 3 %}b{% else %}c{% endcase %}", "b"),
    Case(SHOPIFY + "tags/variable/", "{% capture a %}b{{ 1 }}{% endcapture %}{{ a }}", "b1"),
    Case(SHOPIFY + "tags/variable/", "{% increment a %}{% increment a %}", "01"),
    Case(SHOPIFY + "tags/template/", "{% comment %}{{ anything | goes }}{% endcomment %}a", "a"),
    Case(SHOPIFY + "tags/template/", "{% raw %}{{ a }}{% endraw %}", "{{ a }}"),
    Case(SHOPIFY + "tags/template/", "{% # a comment %}a", "a"),
    Case(SHOPIFY + "tags/template/", "{% liquid\nassign a = 1\necho a\n%}", "1"),
    Case(BRAZE + "liquid/supported_personalization_tags/", "{% include 'a' %}", REFUSED),
    Case(BRAZE + "liquid/supported_personalization_tags/", "{% render 'a' %}", REFUSED),
    Case(BRAZE + "liquid/supported_personalization_tags/", "{% recommendations[0].name %}", REFUSED),
]

OF_BRAZE_ONLY = [
    Case(BRAZE + "liquid/message_extras/", "a{% message_extras :key test :value 123 %}b", "ab"),
    Case(
        BRAZE + "liquid/message_extras/",
        "{% assign value = '123' %}{% message_extras :key {{key}} :value {{value}} %}b",
        "b",
    ),
    Case(BRAZE + "promotion_codes/", "Use {% promotion('spring25') %}", "Use PROMOTION-CODE"),
    Case(CATALOGS, "{% catalog_items Games 1234 1235 %}{{ items[0].title }}{{ items.size }}", "0"),
    Case(CATALOGS, "{% catalog_items Games {{custom_attribute.${wishlist}[0]}} :rerender %}{{ items[0].title }}", ""),
    Case(CATALOGS, "{% catalog_selection_items Games cheap %}{% for i in items %}a{% else %}none{% endfor %}", "none"),
    Case(
        CATALOGS,
        "{% catalog_selection_items shop women %}{% if items[0] == blank %}{% abort_message('no items') %}{% endif %}",
        Aborted("no items"),
    ),
]

DATES = [
    Case(SHOPIFY + "filters/round/", "{{ 1.2 | round }} {{ 2.7 | round }} {{ 183.357 | round: 2 }}", "1 3 183.36"),
    Case(SHOPIFY + "filters/round/", "{{ 2.5 | round }} {{ -2.5 | round }} {{ 0.125 | round: 2 }}", "3 -3 0.13"),
    Case(SHOPIFY + "filters/round/", "{{ 3 | round: 2 }} {{ '7.25' | round: 1 }} {{ 15 | round: -1 }}", "3 7.3 20"),
    Case(FILTERS, "{{ 39.125 | money }} {{ 1.005 | money }}", "$39.13 $1.01"),
    Case(SHOPIFY + "filters/date/", "{{ nil | date: '%F' }}{{ ${none} | date: '%F' }}", "", {"none": None}),
    Case(SHOPIFY + "filters/date/", "{{ 'soon' | date: '%F' }}", "soon"),
    Case(SHOPIFY + "filters/date/", "{{ 'March 14, 2016' | date: '%b %d, %y' }}", "Mar 14, 16"),
    Case(SHOPIFY + "filters/date/", "{{ 1463270400 | date: '%F %H:%M %z' }}", "2016-05-15 00:00 +0000"),
    Case(FILTERS, "{{ '2021-06-03T17:13:41.25Z' | date: '%L %3N %:z %P %s %%' }}", "250 250 +00:00 pm 1622740421 %"),
    Case(FILTERS, "{{ '2021-06-03 17:13:41 +0200' | date: '%s %H' }}", "1622733221 17"),
]

TYPES: Final = SHOPIFY + "basics/types/"

VALUES = [
    Case(TYPES, "{{ 'a' | append: custom_attribute.${n} | prepend: custom_attribute.${n} }}", "a", {}, {"n": None}),
    Case(TYPES, "{{ custom_attribute.${vip} | append: '!' }}", "true!", {}, {"vip": True}),
    Case(TYPES, "{{ 'vip: ' | append: custom_attribute.${vip} }}", "vip: false", {}, {"vip": False}),
    Case(TYPES, "{{ custom_attribute.${vip} | replace: 'true', 'yes' }}", "yes", {}, {"vip": True}),
    Case(TYPES, "{{ 'a-b' | replace: '-', custom_attribute.${n} }}", "ab", {}, {"n": None}),
    Case(TYPES, "{{ custom_attribute.${vip} | url_encode | strip }}", "true", {}, {"vip": True}),
    Case(TYPES, "{{ custom_attribute.${l} | join: ',' }}", "true,,1.5,x", {}, {"l": [True, None, 1.5, "x"]}),
    Case(TYPES, "{{ custom_attribute.${vip} | slice: 0, 2 }}", "tr", {}, {"vip": True}),
]

USE_CASES = [
    Case(
        LIBRARY,
        "{% assign l = {{custom_attribute.${address}}} | split: ' ' %}"
        "{% for w in {{l}} %}{{ w | capitalize | append: ' ' }}{% endfor %}",
        "Main Street ",
        {},
        {"address": "main street"},
    ),
    Case(
        LIBRARY,
        "{% assign max = 0 %}{% for a in {{custom_attribute.${list}}} %}{% assign c = {{a | plus: 0}} %}"
        "{% if c > max %}{% assign max = c %}{% endif %}{% endfor %}{{max}}",
        "9",
        {},
        {"list": ["3", "9", "4"]},
    ),
    Case(
        LIBRARY,
        "{% assign gone = 'A,B' | split: ',' %}{% for s in gone %}"
        "{% if {{custom_attribute.${Favorite Shows}}} contains {{s}} %}"
        "{% assign new = new | append: {{s}} | append: '*' %}{% endif %}{% endfor %}"
        "{% assign clean = new | split: '*' %}{% if clean.size != 0 %}{{clean | join: ', '}}{% endif %}",
        "A, B",
        {},
        {"Favorite Shows": ["B", "A"]},
    ),
    Case(
        LIBRARY,
        "{% assign min = custom_attribute.${list}[0] | plus: 0 %}{{min}}",
        "3",
        {},
        {"list": ["3", "9"]},
    ),
    Case(
        LIBRARY,
        "{% if {{${last_used_app_date}}} == nil %}{% if {{custom_attribute.${l}}} == 'fr' %}fr{% endif %}{% endif %}",
        "fr",
        {},
        {"l": "fr"},
    ),
    Case(
        LIBRARY,
        '{% assign used = {{${last_used_app_date}}} | date: "%s" %}{% assign then = "2024-01-04" | date: "%s" %}'
        "{% assign days = {{then}} | minus: {{used}} | divided_by: 86400 %}{% if {{days}} < 4 %}{{days}}{% endif %}",
        "3",
        {"last_used_app_date": "2024-01-01 00:00:00 UTC"},
    ),
    Case(LIBRARY, '{{ "2024-01-01" | date: "%s" | plus: 259200 | date: "%F" }}', "2024-01-04"),
    Case(
        LIBRARY,
        "{{custom_attribute.${at} | time_zone: -0005 | date: '%B, %d %Y %H %z' }}",
        "February, 29 2024 23 -0500",
        {},
        {"at": "2024-03-01 04:30:00 UTC"},
    ),
    Case(
        LIBRARY,
        "{{ '2023-12-22T24:00-05:00' | date: '%s' }} {{ '2023-12-31 24:00' | date: '%F' }}",
        "1703307600 2024-01-01",
    ),
    Case(LIBRARY, "{{${first_name} | truncatewords: 1, '' | default: 'hi'}}", "Ann", {"first_name": "Ann Lee"}),
    Case(LIBRARY, "{{${first_name} | truncatewords: 1, '' | default: 'hi'}}", "hi"),
    Case(LIBRARY, "{% abort_message %}", Aborted("{% abort_message %} called")),
    Case(
        LIBRARY,
        "{% assign k = 'a,b' | split: ',' %}{% if k contains {{app.${api_id}}} %}y{% else %}n{% endif %}",
        "n",
    ),
    Case(
        LIBRARY,
        "{% assign new = {{custom_attribute.${points} | plus: 50}} %}{% if new >= 100 %}{{new}}{% endif %}",
        "110",
        {},
        {"points": 60},
    ),
    Case(
        LIBRARY,
        "{% assign at = '2024-06-01 12:00:00 UTC' | time_zone: ${time_zone} | date: '%H' %}{{ at }}",
        "08",
        {"time_zone": "America/New_York"},
    ),
]

CASES = [*USE_CASES, *OF_BRAZE_ONLY, *DATES, *VALUES, *ATTRIBUTES, *WHERE, *COMPARED, *ABORTS, *FILTERED, *TAGS]
