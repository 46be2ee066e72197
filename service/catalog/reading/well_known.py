"""The names that shops, marketplaces and feeds give to an item's columns."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

_RANKS: Final[Mapping[str, str]] = {
    "id": """
        id item_id
        product_id productid itemid sku handle identifier offer_id merchant_product_id item_sku product_sku
        variant_sku aw_product_id product_code_sku product_code sku_number code article_number artikelnummer item_number
    """,
    "url": """
        url
        link product_url producturl permalink item_url product_link deep_link deeplink merchant_deep_link page_url
        aw_deep_link linkurl link_url web_url online_store_url canonical_url href click_url buy_url final_url
    """,
    "name": """
        name
        title product_name productname item_name itemname product_title name_1 display_name
        short_title label post_title item_title product
    """,
    "price": """
        price
        regular_price variant_price search_price product_price current_price item_price price_amount price_value
        price_tax_incl price_tax_included price_incl_tax sale_price list_price store_price unit_price retail_price
        price_tax_excl price_tax_excluded msrp rrp_price retailprice
    """,
    "image": """
        image
        image_link image_url imageurl image_src images picture picture_url photo photo_url main_image merchant_image_url
        image_1 bigimage product_image_url_1 base_image product_image image_urls featured_image
        img img_url large_image
        thumbnail thumbnail_url thumb smallimage small_image aw_image_url product_image_url image_url_import
        product_image_file_1 variant_image cover_image_url additional_image_link
    """,
}
"""For each column of ours, names in order of preference; those of one line are as good as each other."""

_LOCALE: Final = r"_[a-z]{2}(?:_[a-z]{2})?"
_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "name": re.compile(rf"(?:name|label|title|product_name){_LOCALE}"),
    "price": re.compile(r"price_[a-z]{3}"),
    "url": re.compile(rf"(?:url|link){_LOCALE}"),
}
"""Of the last rank: names with a language or a currency behind them."""

_OTHER: Final = re.compile(r"[\W_]+")


def guesses(ours: str, names: Sequence[str]) -> list[str]:
    """The columns of a source that hold what a column of ours should, all of the same rank; mostly one or none."""
    plain = {name: _plain(name) for name in names}
    for rank in _RANKS[ours].strip().splitlines():
        wanted = set(rank.split())
        if found := [name for name, one in plain.items() if one in wanted]:
            return found
    pattern = _PATTERNS.get(ours)
    return [name for name, one in plain.items() if pattern is not None and pattern.fullmatch(one)]


def _plain(name: str) -> str:
    """A name in small letters, its words joined by underscores, without the name space that Google's feeds use."""
    return _OTHER.sub("_", name.casefold()).strip("_").removeprefix("g_")
