"""Currencies as prices name them."""

import unicodedata
from collections.abc import Mapping
from typing import Final

_CODES: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS
INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK
SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF
XPF YER ZAR ZMW ZWL
"""

CURRENCIES: Final = frozenset(_CODES.split())
"""Source: ISO 4217, list one, currencies in use."""

THREE_DECIMALS: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""Currencies of a thousand parts, whose three decimals are no thousands. Source: ISO 4217, list one."""

_WHOLE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
NO_DECIMALS: Final = frozenset(_WHOLE.split())
"""Currencies without parts, whose three digits behind a separator are thousands. Source: ISO 4217, list one."""

_SIGNS: Final[Mapping[str, str]] = {
    "€": "EUR", "£": "GBP", "₹": "INR", "₺": "TRY", "₽": "RUB", "₩": "KRW", "₪": "ILS", "₫": "VND", "₴": "UAH",
    "₱": "PHP", "₦": "NGN", "฿": "THB", "₸": "KZT", "US$": "USD", "R$": "BRL", "A$": "AUD", "AU$": "AUD",
    "C$": "CAD", "CA$": "CAD", "NZ$": "NZD", "HK$": "HKD", "S$": "SGD", "NT$": "TWD", "MX$": "MXN", "zł": "PLN",
    "Kč": "CZK", "Ft": "HUF", "lei": "RON", "лв": "BGN", "Rs": "INR", "Fr": "CHF", "SFr": "CHF", "TL": "TRY",
    "円": "JPY", "JP¥": "JPY", "元": "CNY", "CN¥": "CNY", "원": "KRW", "руб": "RUB", "грн": "UAH",  # noqa: RUF001  # Cyrillic letters
    "Rp": "IDR",
    "RM": "MYR", "NIS": "ILS", "Din": "RSD", "ден": "MKD", "S/": "PEN", "Bs": "BOB", "CAD$": "CAD", "AUD$": "AUD",
    "USD$": "USD",
}  # fmt: skip
"""Signs of one currency."""

_IN_ANY_CASE: Final = {sign.casefold(): code for sign, code in _SIGNS.items()}

_SHARED: Final = frozenset({"kr"})
"""Signs of several currencies that are no symbols, as `$` and `¥` are; all these are kept as they are written."""

_PARTS: Final = frozenset("¢₥")
"""Signs of parts of a currency: `99¢` is no price of 99."""


def currency_of(text: str) -> str | None:
    """The code of a currency, or its sign where that belongs to several; None for anything else."""
    if text.upper() in CURRENCIES:
        return text.upper()
    sign = text.removesuffix(".")
    if (code := _SIGNS.get(sign) or _IN_ANY_CASE.get(sign.casefold())) is not None:
        return code
    is_symbol = len(sign) == 1 and unicodedata.category(sign) == "Sc" and sign not in _PARTS
    return sign if sign.lower() in _SHARED or is_symbol else None
