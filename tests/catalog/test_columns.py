"""Which column of a feed becomes which of an item, and what is said of one that cannot be found."""

import json

import pytest

from service.catalog.reading import columns as columns_module
from service.catalog.reading.lines import MAX_COLUMNS
from service.catalog.reading.origins import column_pairs
from tests.support.feeds import Reading, read, refusal, table

VALUES = {"id": "a", "url": "https://u/", "name": "N", "price": "5", "image": "https://i/"}


def headed(header: str, cells: str, columns: str) -> Reading:
    return read(f"{header}\n{cells}\n", columns=columns)


@pytest.mark.parametrize(
    ("header", "cells", "columns", "further", "guessed"),
    [
        ("id,url,name,price,image", "a,https://u/,N,5,https://i/", "", {}, ""),
        ("ID,Url,NAME,pRICE,Image", "a,https://u/,N,5,https://i/", "", {}, ""),
        ("ITEM_ID,url,name,price,image", "a,https://u/,N,5,https://i/", "", {}, ""),
        ("ITEM_ID,url,name,price,image,Id", "x,https://u/,N,5,https://i/,a", "", {"ITEM_ID": "x"}, ""),
        ("Name,name,id,url,price,image", "X,N,a,https://u/,5,https://i/", "", {"Name": "X"}, ""),
        # By a well-known name, those of a better rank first.
        ("sku,link,title,price,image", "a,https://u/,N,5,https://i/", "", {}, "id=sku,url=link,name=title"),
        (
            "id,url,title,short_title,price,sale_price,image",
            "a,https://u/,N,X,5,4,https://i/",
            "",
            {"short_title": "X", "sale_price": 4},
            "name=title",
        ),
        (
            "id,url,name,regular_price,sale_price,image_link,thumbnail",
            "a,https://u/,N,5,4,https://i/,https://t/",
            "",
            {"sale_price": 4, "thumbnail": "https://t/"},
            "price=regular_price,image=image_link",
        ),
        ("id,url,g:title,price,image", "a,https://u/,N,5,https://i/", "", {}, "name=g:title"),
        ("id,url,Product Name,price,image", "a,https://u/,N,5,https://i/", "", {}, "name=Product Name"),
        ("id,url_en,name_de_at,price_eur,image", "a,https://u/,N,5,https://i/", "", {},
         "url=url_en,name=name_de_at,price=price_eur"),
        # As the operator says; what he names is not guessed for another.
        ("id,url,title,price,image", "a,https://u/,N,5,https://i/", "name=title", {}, ""),
        ("id,url,name,title,price,image", "a,https://u/,X,N,5,https://i/", "name=title", {"name": "X"}, ""),
        ("id,link,name,price,image_link,thumbnail", "a,https://u/,N,5,https://x/,https://i/", "image=thumbnail",
         {"image_link": "https://x/"}, "url=link,image=thumbnail"),
        ("sku,id,url,name,price,image", "a,7,https://u/,N,5,https://i/", "id=sku", {"id": 7}, ""),
        ("title,product_name,id,url,price,image", "X,N,a,https://u/,5,https://i/", "name=product_name", {"title": "X"},
         ""),
        ("sku,product_id,url,title,price,image", "a,N,https://u/,X,5,https://i/", "name=product_id", {"title": "X"},
         "id=sku,name=product_id"),
        ("id,url,Name,price,image,title", "a,https://u/,https://i/,5,x,N", "image=Name", {"image": "x"},
         "name=title,image=Name"),
        # A column without a name is none.
        ("id,,url,name,price,image,", "a,x,https://u/,N,5,https://i/,y", "", {}, ""),
    ],
)  # fmt: skip
def test_columns_are_ours_by_name_by_the_operator_or_by_a_well_known_name(
    header: str, cells: str, columns: str, further: dict[str, object], guessed: str
) -> None:
    """C4, C5."""
    found = headed(header, cells, columns=columns)
    ours = {**VALUES, "price": 5, "id": "a"}
    assert {name: value for name, value in found.items[0].items() if name not in further} == {
        name: value for name, value in ours.items() if name not in further
    }
    assert dict(zip(found.columns, (found.items[0][name] for name in found.columns), strict=True)) == further
    assert found.guessed == ",".join(filter(None, [guessed]))
    if guessed:
        again = headed(header, cells, columns=guessed)
        assert (again.items, again.guessed) == (found.items, "")


@pytest.mark.parametrize(
    ("header", "columns", "line"),
    [
        ("id,url,title,product_name,price,image", "",
         "name may be title or product_name; name one: CATALOG_COLUMNS=name=title"),
        ("id,url,price,image", "",
         ("no column name; it has id, url, price, image; CATALOG_COLUMNS says which column is "
         "which")),
        ("id,name,price,image", "", ("no column url; it has id, name, price, image; CATALOG_COLUMNS says which column "
         "is which; a template makes an address: url=https://YOUR-SHOP/products/{id}")),
        ("ID,Handle,name,price,image", "", ("no column url; it has ID, Handle, name, price, image; CATALOG_COLUMNS "
         "says which column is which; a template makes an address: url=https://YOUR-SHOP/products/{Handle}")),
        ("code_1,name,price,image", "", ("no column id, url; it has code_1, name, price, image; CATALOG_COLUMNS says "
         "which column is which; a template makes an address: url=https://YOUR-SHOP/products/{code_1}")),
        ("id,url,name,price", "image=photo",
         ("no column photo; it has id, url, name, price; CATALOG_COLUMNS says which "
         "column is which")),
        ("id,url,name,price", "image=https://i/{a}/{+b}/{id}", ("no column a, b; it has id, url, name, price; "
         "CATALOG_COLUMNS says which column is which")),
        ("id,url,name,price,image", "price=cost.now", ("no column cost.now; it has id, url, name, price, image; "
         "CATALOG_COLUMNS says which column is which")),
        ("id,url,name,title,product_name", "name=x",
         ("no column x, price, image; it has id, url, name, title, product_name; CATALOG_COLUMNS says which column is "
         "which")),
        ("sku,product_id,url,title,product_name,price", "", ("no column image; it has sku, product_id, url, title, "
         "product_name, price; CATALOG_COLUMNS says which column is which; id may be sku or product_id; name one: "
         "CATALOG_COLUMNS=id=sku; name may be title or product_name; name one: CATALOG_COLUMNS=name=title")),
        ("id,url,name,price,image", "titel=x,b=c",
         ("CATALOG_COLUMNS: b, titel: only id, url, name, price, image can be "
         "mapped")),
        ("id,url,name,price,image,id", "", "the header names id more than once"),
        ("id,url,name,price,image,name,id", "url=https://u/{name}{id}", "the header names id, name more than once"),
        ("id;url name price image", "", ("no column url, name, price, image; it has id, url name price image; "
         "CATALOG_COLUMNS says which column is which; a template makes an address: "
         "url=https://YOUR-SHOP/products/{id}")),
        ("id", "", ("the first line that is no comment, 'id', has only one column; it must be the header, its names "
         "separated by a comma, a semicolon, a tab or a |")),
        ("a,https://u/,N,5,https://i/", "", ("no column id, url, name, price, image: the first line is no header but a "
         "row; put a line with the columns' names above it")),
        ("a,HTTP://u/,N,5,x", "",
         ("no column id, url, name, price, image: the first line is no header but a row; put a "
         "line with the columns' names above it")),
        ("a,http://u/,N,5,x", "name=N", ("no column id, url, price, image; it has a, http://u/, N, 5, x; "
         "CATALOG_COLUMNS says which column is which; a template makes an address: "
         "url=https://YOUR-SHOP/products/{a}")),
        ("HDR,5,x", "", "is a feed of Rakuten without a header; put the columns' names in the place of its first line"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_found_is_one_line_with_the_way_out(header: str, columns: str, line: str) -> None:
    """C4, C5."""
    assert refusal(f"{header}\n", columns=columns) == line


def test_a_long_header_is_shown_as_far_as_a_line_holds_it() -> None:
    names = ["x" * 148, "y" * 150]
    assert f"it has {', '.join(names)}; CATALOG" in refusal(",".join(names))
    names = ["x" * 149, "y" * 150]
    assert f"it has {', '.join(names)[:300]}...; CATALOG" in refusal(",".join(names))


def test_json_names_the_ways_to_values_inside_others() -> None:
    """C4."""
    assert refusal('{"sku": "a", "slug": "b"}\n') == (
        "no column url, name, price, image; it has sku, slug; CATALOG_COLUMNS says which column is which; a value"
        " inside another has a path: price=prices[0].value; a template makes an address:"
        " url=https://YOUR-SHOP/products/{sku}"
    )
    assert "price.centAmount counts the smallest coin; name the object it is in: price=price" in refusal(
        json.dumps({**VALUES, "price": {"centAmount": 5}}), columns="price=price.centAmount"
    )


def test_a_number_of_the_smallest_coins_is_no_price_however_deep_it_is() -> None:
    """C4."""
    line = json.dumps({**VALUES, "price": {"value": {"centAmount": 5}}})
    assert "price.value.centAmount counts the smallest coin; name the object it is in: price=price.value" in refusal(
        line, columns="price=price.value.centAmount"
    )


def test_columns_from_before_stay_as_far_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1."""
    text = table({"size": "XL"})
    known = ["size", "color", "name", "weight"]
    found = read(text, known=known)
    assert (found.columns, found.lost) == (("size", "color", "weight"), ["color", "weight"])
    assert found.items[0]["color"] is None
    assert "weight" in read(text, known=known, exclusion=None).columns
    for most, lost in ((8, ["color", "weight"]), (7, ["weight"]), (6, [])):
        monkeypatch.setattr(columns_module, "MAX_COLUMNS", most)
        assert read(text, known=known).lost == lost
    assert MAX_COLUMNS > 8


@pytest.mark.parametrize("beside", [{}, {"size": "XL"}])
def test_the_currency_is_a_further_column_behind_those_of_the_feed(beside: dict[str, str]) -> None:
    """C1."""
    text = table({"price": "5 USD", **beside}, {"price": "7 EUR", **beside})
    for known, lost in (((), []), (("currency", "old"), ["old"]), (("old", "currency"), ["old"]), (("old",), ["old"])):
        found = read(text, known=known)
        assert (found.columns, found.lost) == ((*beside, "currency", *lost), lost)
        assert found.values("currency") == ["USD", "EUR"]
    plain = read(table({"price": "5", **beside}), known=["currency"])
    assert (plain.columns, plain.lost, plain.values("currency")) == ((*beside, "currency"), ["currency"], [None])
    own = read(table({"price": "5 USD", "Currency": "x", **beside}))
    assert (set(own.columns), own.values("Currency")) == ({*beside, "Currency"}, ["x"])
    excluded = read(text, exclusion='EXCLUDE ItemID WHERE Items.CURRENCY IN ("EUR")')
    assert excluded.ineligible == ["2"]


def test_a_filter_asks_for_columns_of_the_feed_and_ours_and_in_json_for_those_from_before() -> None:
    """A1."""
    text = "ITEM_ID,url,title,price,image,Size\na,https://u/,N,5,https://i/,XL\nb,https://u/,M,7,https://i/,S\n"
    for asked in ('ITEM_ID IN ("a")', 'id IN ("a")', "PRICE < 6", 'title IN ("N")', 'name IN ("N")', 'SIZE = "XL"'):
        assert read(text, exclusion=f"EXCLUDE ItemID WHERE Items.{asked}").ineligible == ["a"]
    assert "EXCLUSION_FILTER" in refusal_of_filter(text, 'EXCLUDE ItemID WHERE Items.COLOR IN ("red")', ["color"])
    line = json.dumps({**VALUES, "price": 5})
    assert read(line, known=["color"], exclusion='EXCLUDE ItemID WHERE Items.COLOR IN ("red")').ids == ["a"]
    # One that requests decide is only checked.
    asks = "EXCLUDE ItemID WHERE Items.SIZE IN ($SIZE)"
    assert read(text, exclusion=asks).ineligible == []
    assert "EXCLUSION_FILTER" in refusal_of_filter(text, "EXCLUDE ItemID WHERE Items.COLOR IN ($COLOR)", [])


def refusal_of_filter(text: str, exclusion: str, known: list[str]) -> str:
    with pytest.raises(Exception, match="EXCLUSION_FILTER") as caught:
        read(text, exclusion=exclusion, known=known)
    return str(caught.value)


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("url=https://u/{id}", {"id": "a b/ü"}, "https://u/a%20b%2F%C3%BC"),
        ("url=https://u/{+id}", {"id": "a b/ü?x=1"}, "https://u/a%20b/%C3%BC?x=1"),
        ("url=https://u/{ id }-{name}", {"id": "a", "name": "N"}, "https://u/a-N"),
        ("url=https://u/{id}/{size.now}", {"size": '{"now": 5}'}, "https://u/1/5"),
        ("url={+web}{id}", {"web": "https://u/"}, "https://u/1"),
        ("url={web}", {"web": "https://u/x"}, "https://u/x"),
        ("url=web.to[1].link", {"web": '{"to": [0, {"link": " https://u/y "}]}'}, "https://u/y"),
        ("url=web[0]", {"web": '["https://u/z"]'}, "https://u/z"),
        ("url=web[1]", {"web": '["https://u/z"]'}, None),
        ("url=web.a", {"web": '["https://u/z"]'}, None),
        ("url=web[0]", {"web": '{"a": "https://u/"}'}, None),
        ("url=web.a", {"web": '{"a": "NaN"}'}, None),
        ("url=web.a", {"web": "{broken"}, None),
        ("url=web.a", {"web": "https://u/"}, None),
        ("url=https://u/{web}", {"web": ""}, None),
        ("url=https://u/{web}", {"web": "NaN"}, None),
        ('url="web, or ""not"""', {'web, or "not"': "https://u/"}, "https://u/"),
        ("url = web ", {"web": "https://u/"}, "https://u/"),
        (",,url=web,", {"web": "https://u/"}, "https://u/"),
    ],
)  # fmt: skip
def test_an_address_is_a_column_a_path_or_a_template(columns: str, cells: dict[str, str], expected: str | None) -> None:
    """C4."""
    rows = [{**{name: value for name, value in VALUES.items() if name != "url"}, "id": "1", **cells}]
    quoted = [['"{}"'.format(one.replace('"', '""')) for one in line] for line in (rows[0], rows[0].values())]
    text = "\n".join(";".join(line) for line in quoted)
    if expected is None:
        assert "1 missing_url" in refusal(text, columns=columns)
        return
    found = read(text, columns=columns)
    assert found.values("url") == [expected]
    assert found.guessed == ""


@pytest.mark.parametrize(("text", "name"), [('name=a, u"rl =x,id=b', 'u"rl'), ('name=a,"', '"')])
def test_of_a_pair_that_cannot_be_read_the_name_is_left(text: str, name: str) -> None:
    assert list(column_pairs(text)) == [("name", "a"), (name, "")]


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (5, "https://u/5"),
        (5.0, "https://u/5"),
        ("x", "https://u/x"),
        (5.5, None),
        (True, None),
        (None, None),
        (0, "https://u/0"),
        (["x"], None),
    ],
)
def test_a_template_takes_texts_and_whole_numbers(value: object, address: str | None) -> None:
    """C4."""
    bare = {name: one for name, one in VALUES.items() if name != "url"}
    line = json.dumps({**bare, "price": 5, "slug": value})
    if address is None:
        assert "1 missing_url" in refusal(line, columns="url=https://u/{slug}")
    else:
        assert read(line, columns="url=https://u/{slug}").values("url") == [address]


@pytest.mark.parametrize(
    "url",
    [
        "https://u/{id}",
        '"https://u/{id},x"',
        "https://u/{a,b}",
        '"https://u/{a,b},""x"""',
        '"say ""a"", b"',
        '" x"',
        "c",
    ],
)
def test_what_was_guessed_is_written_so_that_it_is_read_again(url: str) -> None:
    """C5."""
    names = ["id", "title", "price", "image", "a,b", 'say "a", b', " x", "c"]
    cells = ["1", "N", "5", "https://i/", "z", "https://u/", "https://u/", "https://u/"]
    quoted = [";".join('"{}"'.format(one.replace('"', '""')) for one in line) for line in (names, cells)]
    if url == '" x"':
        line = json.dumps(dict(zip(names, cells, strict=True)))
        found, again = (read(line, columns=one) for one in (f"url={url}", f"url={url},name=title"))
    else:
        found, again = (read("\n".join(quoted), columns=one) for one in (f"url={url}", f"url={url},name=title"))
    assert found.guessed == f"url={url},name=title"
    assert (again.items, again.guessed) == (found.items, "")
