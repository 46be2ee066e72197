"""Renders a template as Braze does: Liquid with a `connected_content` tag that really fetches.

What of Braze is kept: `${user_id}`, credentials stored under a name, values go into the URL unescaped, 2 s for the
whole call, redirects are not followed, only a 2XX is read, a body that is no JSON is pasted as text, and only an object
tells the status.
"""

import json
import re
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from typing import IO, Any, TextIO

from liquid import Environment
from liquid.ast import Node
from liquid.context import RenderContext
from liquid.stream import TokenStream
from liquid.tag import Tag
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG, Token

TIMEOUT_SECONDS = 2.0
_ATTRIBUTE = re.compile(r"\$\{(\w+)\}")
_BLANK = re.compile(r"(\S+) == blank")
_NOT_BLANK = re.compile(r"(\S+) != blank")
_CALL = re.compile(r"(?P<url>https?://\S+(?:\s*\|[^}]*\}\}\S*)*)(?P<options>.*)", re.DOTALL)
_SAVE = re.compile(r":save\s+(\w+)")
_STORED = re.compile(r":(?:basic_auth|auth_credentials)\s+(\w+)")
_HEADERS = re.compile(r":headers\s+(\{.*?\})", re.DOTALL)


class MessageAborted(Exception):
    """The template decided that this user gets no message."""


def render(template: str, credentials: Mapping[str, Mapping[str, str]] | None = None, **attributes: str) -> str:
    """A message of one user, whose attributes the template names as `${name}`.

    Args:
        template: As it stands in Braze.
        credentials: Headers that `:basic_auth NAME` or `:auth_credentials NAME` sends, by name.
        attributes: The user's.

    Raises:
        MessageAborted: The template called `abort_message`.
    """
    environment = Environment()
    environment.add_tag(ConnectedContent)
    environment.add_tag(AbortMessage)
    environment.add_filter("url_param_escape", lambda value: urllib.parse.quote(str(value), safe=""))
    environment.add_filter("money", lambda value: f"${value:,.2f}")
    return environment.from_string(_resolvable(template)).render(braze=attributes, credentials=credentials or {})


class ConnectedContent(Tag):
    """`{% connected_content URL :save name :headers {"X-API-Key": "..."} %}`."""

    name = "connected_content"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        expression = stream.expect(TOKEN_EXPRESSION)
        return ConnectedContentNode(token, expression.value)


class ConnectedContentNode(Node):
    """Fetches when it is rendered, and saves or pastes what came."""

    def __init__(self, token: Token, expression: str) -> None:
        super().__init__(token)
        self.blank = False
        call = _CALL.fullmatch(expression.strip())
        assert call is not None, expression
        self._url, options = call["url"].strip(), call["options"]
        saved, stored, headers = _SAVE.search(options), _STORED.search(options), _HEADERS.search(options)
        self._name = saved[1] if saved else None
        self._stored = stored[1] if stored else None
        self._headers: dict[str, str] = json.loads(headers[1]) if headers else {}

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        url = context.env.from_string(self._url).render(**context.globals)
        credentials: Any = context.globals["credentials"]
        stored = credentials[self._stored] if self._stored else {}
        status, text = _fetch(url, {**stored, **self._headers})
        try:
            value: Any = json.loads(text)
        except ValueError:
            return buffer.write(text)
        if isinstance(value, dict):
            value["__http_status_code__"] = status
        if self._name is None:
            return buffer.write(text)
        context.assign(self._name, value)
        return 0


class AbortMessage(Tag):
    """`{% abort_message("reason") %}`."""

    name = "abort_message"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        stream.expect(TOKEN_EXPRESSION)
        return _AbortNode(token)


class _AbortNode(Node):
    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:  # noqa: ARG002  # Liquid's signature
        raise MessageAborted


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917  # urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """A redirect is an answer like any other, and not a 2XX."""


def _resolvable(template: str) -> str:
    # To Braze what does not exist is blank, to python-liquid only what is empty.
    template = _ATTRIBUTE.sub(r"braze.\1", template)
    return _NOT_BLANK.sub(r"\1 != blank and \1 != nil", _BLANK.sub(r"\1 == blank or \1 == nil", template))


def _fetch(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and text; no text unless it is a 2XX in time."""
    # `safe`: what is in the URL stays as it is; only what no client can send is escaped.
    request = urllib.request.Request(  # noqa: S310  # a test's own URL
        urllib.parse.quote(url, safe=string.punctuation),
        headers={
            "User-Agent": "Braze Sender 0000000",
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
            **headers,
        },
    )
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, "null"
    except OSError:
        return 598, "null"
