"""Braze's tags for what only Braze has: catalogues, promotion codes, carts. A template that uses them is rendered here.

Source: braze.com/docs, Catalogs, Promotion codes, Message extras, Shopify.
"""

from collections.abc import Mapping
from typing import Final, TextIO

from liquid import RenderContext, TokenStream
from liquid.ast import Node
from liquid.tag import Tag
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG, Token

VARIABLES: Final[Mapping[str, str]] = {
    "catalog_items": "items",
    "catalog_selection_items": "items",
    "shopify_market": "shopify_market",
    "shopping_cart": "shopping_cart",
}
"""The variable that a tag makes."""

TEXTS: Final[Mapping[str, str]] = {"promotion": "PROMOTION-CODE", "message_extras": ""}
"""What a tag writes."""


class _StandIn(Tag):
    """A tag without an end, whatever stands in it."""

    block = False

    def parse(self, stream: TokenStream) -> Node:
        """The tag."""
        token = stream.eat(TOKEN_TAG)
        if stream.current.kind == TOKEN_EXPRESSION:
            stream.expect(TOKEN_EXPRESSION)
        return _StandInNode(token, self.name)


class _StandInNode(Node):
    def __init__(self, token: Token, name: str) -> None:
        super().__init__(token)
        self.blank = False
        self._name = name

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        variable = VARIABLES.get(self._name)
        if variable is not None:
            context.assign(variable, [] if variable == "items" else None)
        return buffer.write(TEXTS.get(self._name, ""))


def _named(name: str) -> type[_StandIn]:
    return type(f"_{name}", (_StandIn,), {"name": name})


STAND_INS: Final[tuple[type[_StandIn], ...]] = tuple(map(_named, (*VARIABLES, *TEXTS)))
"""The tags."""
