"""Twenty public shapes of feeds and exports: each is read, or refused with the way out."""

import asyncio
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from service.cli import main
from service.errors import ConfigurationError
from tests.support.front_door import OpenDoor

FEEDS = Path(__file__).parents[1] / "data/feeds"
PATH = "/recommendations"


class Feed(NamedTuple):
    """A feed, what an operator says of it, and what is shown."""

    file: str
    columns: str
    items: dict[str, tuple[str, str, float, str]]
    """URL, name, price and image by id."""

    further: dict[str, list[object]]
    """Some further columns with their values."""


SHOP, CDN = "https://shop.example", "https://cdn.example"

READ = [
    Feed(
        "google.txt",
        "",
        {
            "lamp-1": (f"{SHOP}/p/lamp-1", 'Oak lamp 27" tall', 49.9, f"{CDN}/lamp-1.jpg"),
            "mug-2": (f"{SHOP}/p/mug-2", "Blue mug", 8, f"{CDN}/mug-2.jpg"),
        },
        {"currency": ["USD", "USD"], "sale_price": ["39.90 USD", None], "gtin": ["04012345678901", None]},
    ),
    Feed(
        "meta.csv",
        "",
        {
            "sku-10": (f"{SHOP}/rain-jacket", "Rain jacket", 89, f"{CDN}/rain.jpg"),
            "sku-11": (f"{SHOP}/sun-hat", "Sun hat", 19.5, f"{CDN}/sun.jpg"),
        },
        {"currency": ["EUR", "EUR"], "brand": ["Nordwind", "Südwind"]},
    ),
    Feed(
        "shopify.csv",
        f"url={SHOP}/products/{{Handle}}",
        {
            "linen-shirt": (f"{SHOP}/products/linen-shirt", "Linen shirt", 59, f"{CDN}/s/linen-1.jpg?v=1"),
            "wool-socks & more": (
                f"{SHOP}/products/wool-socks%20%26%20more", "Wool socks", 12.5, f"{CDN}/s/socks.jpg",
            ),
        },
        {"Variant Inventory Qty": [4, 20]},
    ),
    Feed(
        "woocommerce.csv",
        f"url={SHOP}/?p={{ID}}",
        {
            "31": (f"{SHOP}/?p=31", "Clay pot", 24, f"{SHOP}/wp/pot.jpg"),
            "32": (f"{SHOP}/?p=32", "Seed box", 11.9, f"{SHOP}/wp/seeds.jpg"),
        },
        {"Sale price": [None, 9]},
    ),
    Feed(
        "bigcommerce.csv",
        "",
        {
            "77": ("https://store.example/trail-pack/", "Trail pack", 129, "https://store.example/images/pack.jpg"),
        },
        {"Current Stock Level": [12]},
    ),
    Feed(
        "magento.csv",
        f"url={SHOP}/{{url_key}}.html,image={CDN}/media/catalog/product{{+base_image}}",
        {
            "24-MB01": (f"{SHOP}/duffle-bag.html", "Duffle bag", 34, f"{CDN}/media/catalog/product/m/b/mb01.jpg"),
            "24-MB04": (f"{SHOP}/shoulder-pack.html", "Pack", 32.5, f"{CDN}/media/catalog/product/m/b/mb04.jpg"),
        },
        {"is_in_stock": [1, 1]},
    ),
    Feed(
        "prestashop.csv",
        f"url={SHOP}/index.php?id_product={{Product ID}}&controller=product",
        {
            "1": (
                f"{SHOP}/index.php?id_product=1&controller=product", "T-shirt imprimé", 22.94,
                "https://presta.example/1-small_default/tee.jpg",
            ),
            "2": (
                f"{SHOP}/index.php?id_product=2&controller=product", "Pull coton, bleu", 1233.6,
                "https://presta.example/2-small_default/pull.jpg",
            ),
        },
        {"Quantity": [300, 12]},
    ),
    Feed(
        "akeneo.csv",
        f"price=price-EUR,url={SHOP}/{{url_slug}},image={CDN}/{{+image}}",
        {
            "1111-a": (f"{SHOP}/small-camera", "Small camera", 199, f"{CDN}/a/1/camera.jpg"),
            "1111-b": (f"{SHOP}/big-camera", "Big camera", 899, f"{CDN}/b/2/big%20camera.jpg"),
        },
        {"price-USD": [219, 949]},
    ),
    Feed(
        "akeneo.json",
        f"name=values.name[0].data,price=values.price[0].data,url={SHOP}/{{identifier}},"
        f"image={CDN}/{{+values.picture[0].data}}",
        {
            "1111-a": (f"{SHOP}/1111-a", "Small camera", 199, f"{CDN}/a/1/camera.jpg"),
            "1111-b": (f"{SHOP}/1111-b", "Big camera", 899, f"{CDN}/b/2/big%20camera.jpg"),
        },
        {"currency": ["EUR", "EUR"], "categories": [["cameras"], ["cameras"]]},
    ),
    Feed(
        "commercetools.json",
        f"name=name.en,url={SHOP}/{{slug.en}},price=masterVariant.prices[0].value,image=masterVariant.images[0].url",
        {
            "c-1": (f"{SHOP}/red-chair", "Red chair", 129.99, f"{CDN}/chair.jpg"),
            "c-2": (f"{SHOP}/red-stool", "Red stool", 49, f"{CDN}/stool.jpg"),
        },
        {"currency": ["EUR", "EUR"], "key": ["red-chair", "red-stool"]},
    ),
    Feed(
        "criteo.csv",
        "",
        {
            "cr-1": (f"{SHOP}/table?src=criteo&x=1", "Table, round", 249, f"{CDN}/table.png"),
            "cr-2": (f"{SHOP}/bench", "Bench", 119.5, f"{CDN}/bench.png"),
        },
        {"sale_price": [None, 99]},
    ),
    Feed(
        "criteo-old.csv", "", {"o-1": (f"{SHOP}/shelf", "Shelf", 79, f"{CDN}/b/shelf.jpg")}, {"recommendable": [1]}
    ),
    Feed(
        "awin.csv.gz",
        "",
        {
            "T-2": (f"{SHOP}/tent", "Tent for two", 149, f"{CDN}/tent.jpg"),
            "S-9": (f"{SHOP}/stove", "Camp stove", 64.5, f"{CDN}/stove.jpg"),
        },
        {"currency": ["GBP", "GBP"], "display_price": ["GBP149.00", "GBP64.50"]},
    ),
    Feed(
        "pandas.csv",
        "",
        {
            "1": (f"{SHOP}/1", "Fork", 3.5, f"{CDN}/1.jpg"),
            "2": (f"{SHOP}/2", "Spoon", 3.25, f"{CDN}/2.jpg"),
        },
        {"stock": [12, None], "rating": [None, 4.5]},
    ),
    *(
        Feed(
            name,
            "",
            {
                "1": (f"{SHOP}/1", "Fork", 3.5, f"{CDN}/1.jpg"),
                "2": (f"{SHOP}/2", "Spoon", 3.25, f"{CDN}/2.jpg"),
            },
            {"rating": [None, 4.5]},
        )
        for name in ("pandas.jsonl", "pandas.json")
    ),
    Feed(
        "excel-german.csv",
        "",
        {
            "k1": (f"{SHOP}/k1", "Küchenwaage", 1299, f"{CDN}/k1.jpg"),
            "k2": (f"{SHOP}/k2", "Schüssel; groß", 39.99, f"{CDN}/k2.jpg"),
        },
        {"currency": ["EUR", "EUR"], "Lagerbestand": [3, 12]},
    ),
    Feed(
        "excel-american.csv",
        "",
        {
            "k1": (f"{SHOP}/k1", "Kitchen scale", 1299, f"{CDN}/k1.jpg"),
            "k2": (f"{SHOP}/k2", 'Bowl "large"', 39.99, f"{CDN}/k2.jpg"),
        },
        {"currency": ["$", "$"], "stock": [3, 12]},
    ),
    Feed(
        "excel-french.txt",
        "",
        {
            "k1": (f"{SHOP}/k1", "Balance de cuisine", 1299, f"{CDN}/k1.jpg"),
            "k2": (f"{SHOP}/k2", "Saladier « été »", 39.99, f"{CDN}/k2.jpg"),
        },
        {"currency": ["EUR", "EUR"]},
    ),
    Feed(
        "bigquery.csv.gz",
        "",
        {
            "501": (f"{SHOP}/501", "Rope", 12.5, f"{CDN}/501.jpg"),
            "502": (f"{SHOP}/502", "Hook, steel", 3, f"{CDN}/502.jpg"),
        },
        {"tags": [None, None]},
    ),
    Feed(
        "bigquery.json",
        "",
        {
            "501": (f"{SHOP}/501", "Rope", 12.5, f"{CDN}/501.jpg"),
            "502": (f"{SHOP}/502", "Hook, steel", 3, f"{CDN}/502.jpg"),
        },
        {"tags": [["climb"], []], "stock": ["7", None]},
    ),
    Feed(
        "snowflake.csv.gz",
        "",
        {
            "s-1": (f"{SHOP}/s-1", "Drill", 89, f"{CDN}/s-1.jpg"),
            "s-2": (f"{SHOP}/s-2", "Saw", 34.5, f"{CDN}/s-2.jpg"),
        },
        {"STOCK": [None, 4]},
    ),
    Feed(
        "athena.csv",
        "",
        {
            "a-1": (f"{SHOP}/a-1", "Desk", 240, f"{CDN}/a-1.jpg"),
            "a-2": (f"{SHOP}/a-2", 'Desk "mini"', 99, f"{CDN}/a-2.jpg"),
        },
        {"brand": [None, "Holz"]},
    ),
    *(
        Feed(
            name,
            "",
            {
                "d-1": (f"{SHOP}/d-1", "Cape", 59.9, f"{CDN}/d-1.jpg"),
                "d-2": (f"{SHOP}/d-2", "Cap", 19, f"{CDN}/d-2.jpg"),
            },
            {"sizes": ["M|S", "M|S"], "pricing": [{"was": 99.5}, {"was": 99.5}]},
        )
        for name in ("dynamodb.json.gz", "dynamodb-scan.json")
    ),
    Feed(
        "aws-retail-items.csv",
        f"name=PRODUCT_DESCRIPTION,url={SHOP}/product/{{ITEM_ID}},image={CDN}/{{CATEGORY_L1}}/{{ITEM_ID}}.jpg",
        {
            "0a1b2c3d-0001": (
                f"{SHOP}/product/0a1b2c3d-0001", "A ukulele", 12.99, f"{CDN}/instruments/0a1b2c3d-0001.jpg",
            ),
            "0a1b2c3d-0002": (
                f"{SHOP}/product/0a1b2c3d-0002", "Boots for rain", 49, f"{CDN}/footwear/0a1b2c3d-0002.jpg",
            ),
        },
        {"PROMOTED": ["N", "Y"]},
    ),
    Feed(
        "aws-retail-products.json",
        f"url={SHOP}/#/product/{{id}},image={CDN}/{{category}}/{{image}}",
        {
            "0a1b2c3d-0001": (
                f"{SHOP}/#/product/0a1b2c3d-0001", "Ukulele", 12.99, f"{CDN}/instruments/0a1b2c3d-0001.jpg",
            ),
            "0a1b2c3d-0002": (
                f"{SHOP}/#/product/0a1b2c3d-0002", "Rain boots", 49, f"{CDN}/footwear/0a1b2c3d-0002.jpg",
            ),
        },
        {"promoted": [None, True], "aliases": [["uke"], None]},
    ),
]  # fmt: skip

REFUSED = [
    ("google.xml", "", "is XML; have the shop export the feed as CSV, TSV or JSON Lines instead"),
    ("shopify.csv", "", "no column url; .*a template makes an address: url=https://YOUR-SHOP/products/{Handle}"),
    ("woocommerce.csv", "", "no column url; .*url=https://YOUR-SHOP/products/{ID}"),
    ("magento.csv", "", "no column url; .*url=https://YOUR-SHOP/products/{url_key}"),
    ("prestashop.csv", "", "no column url; .*url=https://YOUR-SHOP/products/{Product ID}"),
    ("akeneo.csv", "", "price may be price-EUR or price-USD; name one: CATALOG_COLUMNS=price=price-EUR"),
    ("akeneo.json", "", "no column url, name, price, image; .*a path: price=prices"),
    ("commercetools.json", "", "no column url, price, image; .*a path: price=prices"),
    (
        "commercetools.json",
        "price=masterVariant.prices[0].value.centAmount",
        r"smallest coin; name the object it is in: price=masterVariant.prices\[0\].value",
    ),
    ("rakuten.txt.gz", "", "a feed of Rakuten without a header; put the columns' names in the place of its first line"),
    ("rakuten.csv", "", "2 unclear_price.*'1,280'; write prices with two decimals, or without separators"),
    ("excel.xlsx", "", "is a workbook of Excel or LibreOffice; save it as CSV UTF-8 instead"),
    (
        "snowflake-headless.csv.gz",
        "",
        "the first line is no header but a row; put a line with the columns' names above",
    ),
    ("athena.parquet", "", "is Parquet; export CSV or JSON Lines instead"),
    ("dynamodb-incremental.json.gz", "", "a change of an incremental export; export the whole table instead"),
    ("dynamodb.ion.gz", "", "is Amazon Ion; export the table as DynamoDB JSON instead"),
    ("aws-retail-items.csv", "", "no column url, name, image; .*url=https://YOUR-SHOP/products/{ITEM_ID}"),
    ("aws-retail-products.json", "url=https://shop.example/{id}", "2 bad_image.*0a1b2c3d-0001.jpg.*YOUR-SHOP"),
]


@pytest.mark.parametrize("feed", READ, ids=lambda feed: feed.file)
async def test_a_feed_as_its_maker_writes_it_is_shown_whole(open_door: OpenDoor, feed: Feed) -> None:
    """C1 to C4, C7, C8."""
    async with open_door(CATALOG_URL=f"file://{FEEDS / feed.file}", CATALOG_COLUMNS=feed.columns) as door:
        answer = await door.get(PATH, user_id="", num_results=50, fields=",".join(feed.further))
        assert answer.status_code == 200, answer.text
        shown: list[dict[str, Any]] = answer.json()
    assert [(item["id"], (item["url"], item["name"], item["price"], item["image"])) for item in shown] == [
        *feed.items.items()
    ]
    for column, values in feed.further.items():
        assert [item[column] for item in shown] == values, column


@pytest.mark.parametrize(("file", "columns", "line"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_feed_that_cannot_be_read_is_one_line_with_the_way_out(
    open_door: OpenDoor, file: str, columns: str, line: str
) -> None:
    """C5: `serve` and `catalog check` say the same."""
    url = f"file://{FEEDS / file}"

    async def start() -> None:
        async with open_door(CATALOG_URL=url, CATALOG_COLUMNS=columns):
            pass

    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(start())
    [problem] = caught.value.problems
    assert re.search(line, problem)
    assert "\n" not in problem
    checked = CliRunner().invoke(main, ["catalog", "check", url, *(["--columns", columns] if columns else [])])
    assert checked.exit_code == 1
    if "no usable row (2" not in problem:
        assert checked.stderr.splitlines() == [problem]


def test_every_feed_is_tried() -> None:
    tried = {feed.file for feed in READ} | {file for file, _, _ in REFUSED}
    assert {path.name for path in FEEDS.iterdir()} - {"README.md"} == tried
