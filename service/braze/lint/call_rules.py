"""Rules about calls: the address, its parameters, the options.

Longer than 300 lines, so that a rule stands beside its examples in one table.
"""

import re
from typing import Final

import orjson

from service.braze.call_tag import FLAGS, LEAST_CACHE_SECONDS, MOST_CACHE_SECONDS, VALUES
from service.braze.lint.call_site import OUTPUTS, CallSite
from service.braze.lint.examples import CALL, GUARD, HOST, PUSH, call
from service.braze.lint.findings import Hits, Rule
from service.braze.lint.template import Template
from service.braze.lint.uses import split_filters
from service.constants import MAX_NUM_RESULTS

ESCAPES: Final = frozenset({"url_param_escape", "url_encode", "base64_url_safe_encode", "md5", "sha1", "sha2"})
SECRETS: Final = re.compile(
    r"(?i)(api[-_]?key|(access|auth|api)?[-_]?token|x[-_]api[-_]key|key|secret|password|passwd|pwd|auth(orization)?)"
)
BUSTERS: Final = re.compile(r"(?i)(_|cb|cache[-_]?bust(er)?|no[-_]?cache|rand(om)?|rnd|nonce|ts|time(stamp)?|now)")
SAFE: Final = re.compile(
    r"(campaign|canvas)\.\$\{(dispatch_id|api_id|message_api_id|variation_api_id)\}|\$\{random_bucket_number\}|\d+(\.\d+)?"
)
USER_NAMES: Final = ("user_id", "userID", "userId")
BRAZE_PORTS: Final = ("", "80", "443")


def _one_slash(template: Template) -> Hits:
    for one in template.calls:
        match = re.match(r"(?i)https?:(/(?!/)|///|(?!/))", one.masked)
        if match:
            yield one.at, one.tag.url[: len(match[0]) + 12]


def _no_scheme(template: Template) -> Hits:
    for one in template.calls:
        if not one.masked.lower().startswith(("http:", "https:", "\0")):
            yield one.at, one.tag.url[:40]


def _http(template: Template) -> Hits:
    for one in template.calls:
        if one.masked.lower().startswith("http://"):
            yield one.at, "http://"


def _port(template: Template) -> Hits:
    for one in template.calls:
        match = re.match(r"(?i)https?://[^/?\0]*?:(\d+)(?=[/?]|$)", one.masked)
        if match and match[1] not in BRAZE_PORTS:
            yield one.at + match.start(1), match[1]


def _unescaped(template: Template) -> Hits:
    safe = _safe_variables(template)
    for one in template.calls:
        for match in OUTPUTS.finditer(one.tag.url):
            inner = match[0][2 : match[0].rindex("}}")].strip()
            if match.start() and not _is_escaped(inner) and inner not in safe and not SAFE.fullmatch(inner):
                yield one.at + match.start(), match[0]

    for piece in template.tags("assign"):
        # An address that is put together in a variable.
        if re.search(r"=\s*['\"]https?:", piece.inner) and re.search(r"append:\s*(\{\{\s*)?(\w+\.)?\$\{", piece.inner):
            yield piece.inner_start, piece.inner


def _safe_variables(template: Template) -> set[str]:
    """Variables whose values may stand in an address as they are."""
    safe = set()
    for piece in template.tags("assign"):
        name, _, value = piece.inner.partition("=")
        if _is_escaped(value) or re.fullmatch(r"\s*(['\"])[\w.~-]*\1\s*|\s*\d+\s*", value):
            safe.add(name.strip())
    captured = ""
    for piece in template.pieces:
        if piece.name == "capture":
            captured = piece.inner.strip("\"' ")
            safe.add(captured)
        elif piece.name == "endcapture":
            captured = ""
        elif captured and piece.kind == "output" and not (_is_escaped(piece.inner) or piece.inner in safe):
            safe.discard(captured)
    return safe


def _is_escaped(expression: str) -> bool:
    return any((name := re.search(r"\w+", one)) and name[0] in ESCAPES for one in split_filters(expression)[1:])


def _secret(template: Template) -> Hits:
    for one in template.calls:
        if re.match(r"(?i)https?://[^/?]*@", one.masked):
            yield one.at, "user:password@"
        for parameter in one.parameters:
            if SECRETS.fullmatch(parameter.name):
                yield parameter.at, parameter.name


def _trailing_slash(template: Template) -> Hits:
    for one in template.calls:
        path = one.masked.partition("?")[0]
        if one.path and path.endswith("/"):
            yield one.at + len(path) - 1, path.rsplit("/", 2)[-2] + "/"


_ALMOST: Final = re.compile(
    r"(?i)/(?:(recommendations|similar[-_]?items|ranking)/?$|(?:recommendations|similar-items|ranking)&)"
)


def _path(template: Template) -> Hits:
    for one in template.calls:
        path = one.masked.partition("?")[0]
        match = _ALMOST.search(path)
        if match and (match[1] is None or match[1] not in {"recommendations", "similar-items", "ranking"}):
            yield one.at + match.start(), one.tag.url[match.start() : match.end()]
        elif one.path and "//" in path.partition("://")[2]:
            yield one.at, "//"


def _entity(template: Template) -> Hits:
    for one in template.calls:
        at = one.masked.find("&amp;")
        if at >= 0:
            yield one.at + at, "&amp;"


def _option(template: Template) -> Hits:
    for one in template.calls:
        for word, at in one.tag.junk:
            yield one.at + at, word
        for option in one.tag.options:
            if option.name not in FLAGS | VALUES:
                yield one.at + option.at, f":{option.name}"
            elif option.name not in FLAGS and not option.value:
                yield one.at + option.at, f":{option.name} without a value"
            elif option.name == "headers" and not _is_object(option.value):
                yield one.at + option.at, ":headers"


_OUTPUT_IN_OBJECT: Final = re.compile(r"\{\{(?:[^{}]|\$\{[^}]*\})*\}\}")


def _is_object(written: str) -> bool:
    """Whether it may be a JSON object once its outputs are rendered."""
    if OUTPUTS.fullmatch(written):
        return True
    try:
        return isinstance(orjson.loads(_OUTPUT_IN_OBJECT.sub("1", written)), dict)
    except orjson.JSONDecodeError:
        return False


def _cache_age(template: Template) -> Hits:
    for one in template.calls:
        for option in one.tag.options:
            if option.name == "cache_max_age" and option.value and "{{" not in option.value:
                seconds = int(option.value) if option.value.isdecimal() else -1
                if not LEAST_CACHE_SECONDS <= seconds <= MOST_CACHE_SECONDS:
                    yield one.at + option.at, f":cache_max_age {option.value}"


def _cache_both(template: Template) -> Hits:
    for one in template.calls:
        if one.tag.option("no_cache") is not None and one.tag.option("cache_max_age") is not None:
            yield one.at, ":no_cache :cache_max_age"


def _retry(template: Template) -> Hits:
    aborts = any(True for _ in template.tags("abort_message"))
    for one in template.calls:
        for option in one.tag.options:
            if option.name == "retry" and aborts:
                yield one.at + option.at, ":retry"


_NOW: Final = re.compile(r"['\"](now|today)['\"]")


def _buster(template: Template) -> Hits:
    moments = [one.inner.partition("=")[0].strip() for one in template.tags("assign") if _NOW.search(one.inner)]
    moments += [
        template.captured_at(one.start) for one in template.pieces if one.kind == "output" and _NOW.search(one.inner)
    ]
    of_now = re.compile(rf"\{{\{{-?\s*(?:{'|'.join(filter(None, moments))})\b") if any(moments) else _NOW
    for one in template.calls:
        for parameter in one.parameters:
            asked = parameter.value
            if BUSTERS.fullmatch(parameter.name) or _NOW.search(asked) or of_now.search(asked):
                yield parameter.at, f"{parameter.name}={parameter.value}"


def _differ(template: Template) -> Hits:
    yield from differing([(template, one) for one in template.calls])


def differing(calls: list[tuple[Template, CallSite]]) -> Hits:
    """Calls that ask for the same list by another address, each but the first of them."""
    first: dict[tuple[object, ...], str] = {}
    for _, one in calls:
        about = {p.name: p.value for p in one.parameters if p.name not in _SAME_LIST}
        about |= {"user_id": one.value(*USER_NAMES) or ""}
        for name in USER_NAMES[1:]:
            about.pop(name, None)
        key = (one.path, *sorted((name, value.replace(" ", "")) for name, value in about.items()))
        # Blanks within an output are gone when it is rendered.
        address = OUTPUTS.sub(lambda match: re.sub(r"\s+", "", match[0]), one.tag.url)
        if one.path and first.setdefault(key, address) != address:
            yield one.at, one.tag.url


_SAME_LIST: Final = ("num_results", "numResults", "fields", "format", "exclude", "send", "rotate")


def _method(template: Template) -> Hits:
    for one in template.calls:
        method = one.tag.option("method")
        if method is not None and (
            method.lower() not in {"get", "post"} or (method.lower() == "post" and one.path and one.path != "ranking")
        ):
            yield one.at, f":method {method}"


def _missing(template: Template) -> Hits:
    needed = {"recommendations": USER_NAMES, "similar-items": ("item_id", "placement"), "ranking": USER_NAMES}
    for one in template.calls:
        if one.path and one.tag.option("method") is None and one.value(*needed[one.path]) is None:
            yield one.at, needed[one.path][0]


def _num_results(template: Template) -> Hits:
    for one in template.calls:
        for parameter in one.parameters if one.path else ():
            asked = parameter.value
            if parameter.name not in {"num_results", "numResults"} or "{{" in asked:
                continue
            if not (asked.isdecimal() and 1 <= int(asked) <= MAX_NUM_RESULTS):
                yield parameter.at, f"{parameter.name}={asked}"


def _in_loop(template: Template) -> Hits:
    depth = 0
    for piece in template.pieces:
        depth += {"for": 1, "endfor": -1, "tablerow": 1, "endtablerow": -1}.get(piece.name, 0)
        if piece.name == "connected_content" and depth > 0:
            yield piece.start, "connected_content"


def _user_update(template: Template) -> Hits:
    if template.calls and re.match(r"\s*\{(?![{%])", re.sub(r"\{%.*?%\}", "", template.text, flags=re.DOTALL)):
        match = re.search(r'"(attributes|events|purchases)"\s*:\s*\[', template.text)
        if match:
            yield template.calls[0].piece.start, match[1]


_LIMITED: Final = '{"attributes": [{"favourite": "{{ r[0].name | json_escape }}"}]}'

RULES: Final = (
    Rule(
        "url-slash",
        "Braze finds no host in the address and calls nobody.",
        "Write two slashes: https://host/recommendations.",
        PUSH.replace("https://", "https:/"),
        PUSH,
        _one_slash,
    ),
    Rule(
        "url-scheme",
        "Braze finds no address and calls nobody.",
        "Begin the address with https://, without quotes.",
        PUSH.replace(HOST, "recommendations.example.com"),
        PUSH,
        _no_scheme,
    ),
    Rule(
        "url-http",
        "User ids and credentials travel in the clear. A host that redirects to https answers nothing.",
        "Write https://.",
        PUSH.replace("https://", "http://"),
        PUSH,
        _http,
    ),
    Rule(
        "url-port",
        "Braze calls the ports 80 and 443 only.",
        "Let the service answer at port 443, and leave the port out.",
        PUSH.replace(HOST, HOST + ":8000"),
        PUSH,
        _port,
    ),
    Rule(
        "url-unescaped",
        "Braze escapes nothing: a user a&b asks for a, and a+b asks for a b.",
        "Add the filter: {{${user_id} | url_param_escape}}.",
        PUSH.replace(" | url_param_escape", ""),
        PUSH,
        _unescaped,
    ),
    Rule(
        "url-secret",
        "Braze logs the address for 30 days, so everybody who reads the log has the secret.",
        "Store it under Settings > Connected Content, and use :basic_auth or :auth_credentials.",
        call(more="&api_key=abc"),
        call(":auth_credentials recommendations"),
        _secret,
    ),
    Rule(
        "url-trailing-slash",
        "The service has no such path, and Braze follows no redirect: there is no answer.",
        "Leave out the slash at the end of the path.",
        PUSH.replace("/recommendations?", "/recommendations/?"),
        PUSH,
        _trailing_slash,
    ),
    Rule(
        "url-path",
        "The service has no such path and answers 404, and Braze does not read that.",
        "Write /recommendations, /similar-items or /ranking, in small letters, with one slash before and ? behind.",
        PUSH.replace("/recommendations?", "/Recommendations?"),
        PUSH,
        _path,
    ),
    Rule(
        "url-entity",
        "An address is no HTML: the parameter is called amp;num_results, and the service does not know it.",
        "Write & between parameters.",
        call(more="&amp;num_results=4"),
        call(more="&num_results=4"),
        _entity,
    ),
    Rule(
        "call-option",
        "Braze does not understand the tag; the message is not sent, or the address is cut.",
        "Write the address without spaces, then options such as :save name. :headers takes a JSON object.",
        PUSH.replace(":save r", ":save r :timeout 5"),
        PUSH,
        _option,
    ),
    Rule(
        "cache-max-age",
        "Braze keeps an answer 300 to 14400 s.",
        "Take a number from 300 to 14400, or leave the option out: 300 is the default.",
        call(":cache_max_age 60"),
        call(":cache_max_age 600"),
        _cache_age,
    ),
    Rule(
        "cache-both",
        "Only one of the two can hold.",
        "Leave one of them out.",
        call(":no_cache", ":cache_max_age 600"),
        call(":no_cache"),
        _cache_both,
        "warning",
    ),
    Rule(
        "retry-and-abort",
        "Five more tries delay the message, and the guard then aborts it all the same.",
        "Leave out :retry: the service answers each valid call. Or leave out the abort: Braze aborts by itself.",
        call(":retry"),
        call(),
        _retry,
        "warning",
    ),
    Rule(
        "cache-busting",
        "Each address is new to Braze's cache, so every part of a message calls, and the parts may differ.",
        "Leave the parameter out. Where an answer may not be kept, use :no_cache.",
        call(more="&ts={{ 'now' | date: '%s' | url_param_escape }}"),
        call(":no_cache"),
        _buster,
    ),
    Rule(
        "urls-differ",
        "Braze keeps answers by address: the parts cost two calls, and may show different items.",
        "Use the same address, letter for letter, in all parts of a message.",
        PUSH + CALL.replace(" :save r", "&num_results=3 :save s") + "{% if s[0] %}{{ s[0].name }}{% endif %}",
        PUSH + CALL.replace(":save r", ":save s") + "{% if s[0] %}{{ s[0].name }}{% endif %}",
        _differ,
    ),
    Rule(
        "call-method",
        "The service answers 405, and Braze does not read that.",
        "Leave out :method. Only /ranking takes post.",
        call(":method post"),
        call(),
        _method,
    ),
    Rule(
        "missing-parameter",
        "The service answers 422, and Braze does not read that.",
        "Name the user: ?user_id={{${user_id} | url_param_escape}}. For similar items: item_id.",
        PUSH.replace("?user_id={{${user_id} | url_param_escape}}", "?num_results=3"),
        PUSH,
        _missing,
    ),
    Rule(
        "num-results",
        "The service answers 422, and Braze does not read that.",
        "Take a number from 1 to 100.",
        call(more="&num_results=0"),
        call(more="&num_results=1"),
        _num_results,
    ),
    Rule(
        "call-in-loop",
        "Each turn of the loop calls, and the message waits for all of them.",
        "Call once before the loop, with num_results for all items.",
        "{% for i in (1..3) %}" + PUSH + "{% endfor %}",
        PUSH,
        _in_loop,
        "warning",
    ),
    Rule(
        "user-update",
        "A Canvas User Update step ignores the rate limit of the Canvas: up to 200,000 calls a minute.",
        "Call from the message instead, where the rate limit holds.",
        CALL + GUARD + _LIMITED,
        CALL + GUARD + '{"title": "{{ r[0].name | json_escape }}"}',
        _user_update,
        "warning",
    ),
)
"""Rules about calls."""
