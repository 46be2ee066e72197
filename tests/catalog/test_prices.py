"""How prices are read: one file after another, each with prices as a shop of some country writes them."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.catalog.adapters.memory import MemorySink
from service.catalog.reading.rows import read_items
from tests.support.feeds import Reading, read, table

UNCLEAR = "unclear"
BAD = "bad"


def priced(*prices: str) -> Reading:
    return read(table(*({"price": price} for price in prices)))


def outcome(*prices: str) -> list[object]:
    """The price of each row, or why it has none."""
    found = priced("0.5", *prices) if "0.5" not in prices and len(prices) < 2 else priced(*prices)
    by_id = {item["id"]: item["price"] for item in found.items}
    reasons = {
        named.partition(" ")[0]: reason.partition("_")[0] for reason, names in found.dropped.items() for named in names
    }
    first = 2 if found.rows > len(prices) else 1
    return [by_id.get(str(number), reasons.get(str(number))) for number in range(first, found.rows + 1)]


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        # Numbers as programs write them, beside one price that shows a decimal point.
        (["0"], [0]),
        (["-0.0"], [0]),
        (["0.00"], [0]),
        (["007.50"], [7.5]),
        (["1e2"], [100]),
        (["1.5e2"], [150]),
        ([".5"], [0.5]),
        (["5."], [5]),
        (["123456789012345"], [123456789012345]),
        (["1234567890123456"], [1234567890123456]),
        (["1000000.25"], [1000000.25]),
        (["+5"], [5]),
        (["-1"], [BAD]),
        (["1_000"], [BAD]),
        (["inf"], [BAD]),
        (["1e999"], [BAD]),
        (["٣٩٫٩٩", "١٬٢٩٩٫٠٠ ر.س"], [39.99, BAD]),  # noqa: RUF001  # Arabic digits
        (["۱٬۲۹۹", "۳۹٫۵"], [1299, 39.5]),  # noqa: RUF001  # Persian digits
        (["１，２９９円", "５００"], [1299, 500]),  # noqa: RUF001  # as Japanese shops write them
        (["5 - 9"], [BAD]),
        (["5 EUR 9"], [BAD]),
        (["EUR"], [BAD]),
        (["EUR 5 USD"], [BAD]),
        (["5 Stück"], [BAD]),
        (["about 5"], [BAD]),
        (["-5 EUR"], [BAD]),
        (["5%"], [BAD]),
        # Thousands and decimals where the number or another of the file tells them apart.
        (["1,299.00", "5"], [1299, 5]),
        (["1.299,00", "5"], [1299, 5]),
        (["1.299,5", "1.299"], [1299.5, 1299]),
        (["1,299.5", "1,299"], [1299.5, 1299]),
        (["12.50", "1,299"], [12.5, 1299]),
        (["12,50", "1.299"], [12.5, 1299]),
        (["12,50", "1.2345"], [UNCLEAR, 1.2345]),
        (["12,50", "0.999"], [UNCLEAR, 0.999]),
        (["1.299.000", "2.500"], [1299000, 2500]),
        (["1,299,000", "2,500"], [1299000, 2500]),
        (["1.299", "2.500", "7"], [UNCLEAR, UNCLEAR, 7]),
        (["1,299", "2,500", "7"], [UNCLEAR, UNCLEAR, 7]),
        (["1.299", "5", "7"], [UNCLEAR, 5, 7]),
        (["1.29", "5"], [1.29, 5]),
        (["1.2999", "5"], [1.2999, 5]),
        (["0.999", "1,500"], [0.999, 1500]),
        (["0,999", "1.500"], [0.999, 1500]),
        (["1299.000", "5"], [1299, 5]),
        (["12.50", "39,99", "1,299.00"], [12.5, UNCLEAR, UNCLEAR]),
        (["12.50", "1.299,00", "1.299.000"], [12.5, UNCLEAR, UNCLEAR]),
        (["12.5 EUR", "39,99", "7 EUR"], [12.5, UNCLEAR, 7]),
        (["1,29,900", "12.5"], [129900, 12.5]),
        (["1,29,900.25", "12.5"], [129900.25, 12.5]),
        (["12.99.900", "12,5"], [BAD, 12.5]),
        (["12,34", "1.23.456"], [12.34, BAD]),
        (["1.299,000.5", "5"], [BAD, 5]),
        (["1 299", "1 299,5"], [1299, 1299.5]),
        (["1 29", "5"], [BAD, 5]),
        (["1'299.50", "5"], [1299.5, 5]),
        (["1\u2019299,50", "5"], [1299.5, 5]),
        (["1\u00a0299", "0,5"], [1299, 0.5]),
        (["1 299'000", "5"], [BAD, 5]),
        (["01.299,00", "5"], [BAD, 5]),
        # A currency says whether three digits are thousands.
        (["1.250 KWD", "5"], [1.25, 5]),
        (["1,250 KWD", "5"], [1.25, 5]),
        (["1.250 JPY", "5"], [1250, 5]),
        (["1,250 JPY", "5"], [1250, 5]),
        (["1.250 EUR", "5"], [UNCLEAR, 5]),
        # Dashes and colons stand for no decimals.
        (["39,-", "5"], [39, 5]),
        (["1.299,– €", "2.500 €"], [1299, 2500]),  # noqa: RUF001  # an en dash, as shops write it
        (["1,299.-", "2,500"], [1299, 2500]),
        (["1,299,-", "5"], [UNCLEAR, 5]),
        (["99¢", "5"], [BAD, 5]),
        (["￠99", "5"], [BAD, 5]),
        (["39.--", "5"], [39, 5]),
        (["39/-", "5"], [39, 5]),
        (["39:-", "5"], [39, 5]),
        (["39.\u2013", "39,\u2014"], [39, 39]),
        (["39,---", "5"], [BAD, 5]),
        (["39-", "5"], [BAD, 5]),
    ],
    ids=str,
)
def test_a_price_is_read_as_the_whole_file_writes_it(prices: list[str], expected: list[object]) -> None:
    """C3."""
    assert outcome(*prices) == expected


def test_prices_of_one_style_outvote_one_of_the_other_when_they_are_twenty_times_as_many() -> None:
    """B, C3."""
    for usual, odd, value in (("{},50", "12.50", 0.5), ("{}.50 EUR", "12,50", 0.5)):
        rows = [usual.format(number) for number in range(20)]
        found = priced(*rows, odd)
        assert found.values("price") == [number + value for number in range(20)]
        assert found.dropped == {"unclear_price": [f"21 (line 22): {odd!r}"]}
        found = priced(*rows[1:], odd)
        # Only what any program would write so is read, where the file leaves a doubt.
        point = [number + value for number in range(1, 20)]
        assert found.values("price") == (point if "." in usual else [12.5])


def test_whole_numbers_of_at_most_fifteen_digits_stay_whole() -> None:
    found = priced("123456789012345", "1234567890123456").values("price")
    assert list(map(repr, found)) == ["123456789012345", "1234567890123456.0"]


def test_two_odd_prices_take_forty_to_be_outvoted() -> None:
    """B, C3."""
    rows = [f"{number},50" for number in range(39)]
    assert priced(*rows, "12.50", "13.50").values("price") == [12.5, 13.5]
    assert len(priced(*rows, "39,50", "12.50", "13.50").items) == 40


CENTS = st.integers(0, 99_999_999)
CURRENCIES = st.sampled_from(
    [
        ("€", "EUR"),
        ("EUR", "EUR"),
        ("$", "$"),
        ("US$", "USD"),
        ("zł", "PLN"),
        ("kr", "kr"),
        ("Kč", "CZK"),
        ("usd", "USD"),
    ]
)


def written(cents: int, thousands: str, decimal: str) -> str:
    whole, part = divmod(cents, 100)
    return f"{whole:,}".replace(",", thousands) + f"{decimal}{part:02}"


@settings(deadline=None, max_examples=60)
@given(
    cents=st.lists(CENTS, min_size=1, max_size=6),
    style=st.sampled_from([(",", "."), (".", ","), (" ", ","), (" ", "."), ("'", "."), ("\u00a0", ","), ("", ",")]),
    currency=CURRENCIES,
    form=st.sampled_from(["{0} {1}", "{1} {0}", "{1}{0}", "{0}{1}", "{0}"]),
)
def test_any_price_with_two_decimals_is_what_its_shop_means(
    cents: list[int], style: tuple[str, str], currency: tuple[str, str], form: str
) -> None:
    sign, code = currency
    found = priced(*(form.format(written(one, *style), sign) for one in cents))
    assert found.values("price") == [one / 100 for one in cents]
    assert found.dropped == {}
    if form == "{0}":
        assert "currency" not in found.columns
    else:
        assert found.values("currency") == [code] * len(cents)


@pytest.mark.parametrize(
    ("prices", "currencies"),
    [
        (["5 USD", "7 EUR"], ["USD", "EUR"]),
        (["5 USD", "7"], None),
        (["7", "5 USD"], None),
        # As a program writes it, which is a price without a currency all the same.
        (["5 USD", "1e2"], None),
        (["$5", "kr. 7"], ["$", "kr"]),
        (["$5 USD", "5 USD"], ["USD", "USD"]),
        (["£5", "Rs. 7"], ["GBP", "INR"]),
        (["5 usd", "7 Sfr."], ["USD", "CHF"]),
        (["AUD$5", "NT$ 7"], ["AUD", "TWD"]),
    ],
)
def test_a_currency_is_kept_where_every_price_names_it(prices: list[str], currencies: list[str] | None) -> None:
    """C1."""
    found = priced(*prices)
    assert len(found.items) == len(prices)
    if currencies is None:
        assert found.columns == ()
    else:
        assert found.values("currency") == currencies


def test_no_price_at_all_makes_no_column_of_currencies() -> None:
    feed = table({"id": "1.0", "price": "free"}, {"id": "2.0", "price": ""})
    columns, tally, _ = read_items(io.BytesIO(feed.encode()), MemorySink(), label="feed", column_mapping={})
    assert (columns.further, tally.items) == ((), 0)


def amount(price: object) -> tuple[object, str]:
    """What JSON shows of a price, and its currency."""
    item = {"id": "a", "url": "https://u/", "name": "N", "price": price, "image": "https://i/"}
    beside = {**item, "id": "b", "price": {"amount": 1, "currency": "CHF"}}
    found = read("\n".join(map(json.dumps, (item, beside))))
    if found.ids == ["b"]:
        return next(iter(found.dropped)), ""
    return found.values("price")[0], found.items[0].get("currency", "")


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (5, (5, "")),
        (5.25, (5.25, "")),
        (0, (0, "")),
        (-1, ("bad_price", "")),
        (True, ("bad_price", "")),
        (None, ("bad_price", "")),
        ([], ("bad_price", "")),
        ({}, ("bad_price", "")),
        ([7, 8], (7, "")),
        ([{"amount": 7, "currency": "EUR"}, {"amount": 8}], (7, "EUR")),
        ({"amount": "12.50", "currencyCode": "EUR"}, (12.5, "EUR")),
        ({"value": 9, "currency": "USD"}, (9, "USD")),
        ({"price": "9 GBP"}, (9, "")),
        ({"Amount": 3, "currency_code": "JPY"}, (3, "JPY")),
        ({"price": {"value": 4, "priceCurrency": "SEK"}}, (4, "SEK")),
        ({"amount": True}, ("bad_price", "")),
        ({"amount": -2}, ("bad_price", "")),
        ({"amount": None, "value": 6, "currency": "EUR"}, (6, "EUR")),
        ({"centAmount": 1999, "fractionDigits": 2, "currencyCode": "EUR"}, (19.99, "EUR")),
        ({"centAmount": 1999, "currencyCode": "EUR"}, (19.99, "EUR")),
        ({"centAmount": 1999, "fractionDigits": 0, "currencyCode": "JPY"}, (1999, "JPY")),
        ({"centAmount": 12345, "fractionDigits": 4, "currencyCode": "CLF"}, (1.2345, "CLF")),
        ({"centAmount": 1999, "fractionDigits": 5}, ("bad_price", "")),
        ({"centAmount": 1999, "fractionDigits": -1}, ("bad_price", "")),
        ({"centAmount": "1999"}, ("bad_price", "")),
        ({"centAmount": 1999, "fractionDigits": "2"}, ("bad_price", "")),
    ],
    ids=str,
)
def test_a_price_in_json_may_be_an_object_or_the_first_of_a_list(price: object, expected: tuple[object, str]) -> None:
    """C4: as commercetools, Shopify and schema.org write it."""
    assert amount(price) == expected
