"""The columns of a file, and what they are called in Personalize."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.pipeline.data.limits import DOMAIN_REQUIRED, REQUIRED, RESERVED, DatasetKind, Domain

_VALID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "USER_ID": ("USERID", "USER", "CUSTOMERID", "CUSTOMER", "EXTERNALID", "MEMBERID", "UID"),
    "ITEM_ID": ("ITEMID", "ITEM", "PRODUCTID", "PRODUCT", "SKU", "ARTICLEID", "MOVIEID", "CONTENTID"),
    "TIMESTAMP": ("TIME", "EVENTTIMESTAMP", "EVENTTIME", "DATE", "DATETIME", "CREATEDAT", "TS", "SENTAT", "UNIXTIME"),
    "EVENT_TYPE": ("EVENT", "EVENTNAME", "ACTION"),
    "EVENT_VALUE": ("RATING",),
    "CREATION_TIMESTAMP": ("CREATIONDATE", "CREATEDAT", "RELEASEDATE"),
}
"""What other systems call them, in upper case and without `_`, besides the name itself."""

_KIND_ALIASES: Final[Mapping[DatasetKind, Mapping[str, str]]] = {
    "interactions": {},
    "items": {"ID": "ITEM_ID"},
    "users": {"ID": "USER_ID"},
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file."""

    written: str
    """Its name in the file."""

    name: str
    """Its name in Personalize; the key under which everything here knows it."""

    @property
    def is_renamed(self) -> bool:
        """Whether the file must call it differently."""
        return self.written != self.name


def name_columns(kind: DatasetKind, header: Sequence[str]) -> list[Column]:
    """What each column of a header is in Personalize. No two get one name.

    A name that is right stays. The required and reserved ones are found in other spellings, too. All others become
    upper case, with `_` for what no name may hold.
    """
    wanted = [*REQUIRED[kind], *RESERVED[kind]]
    names: dict[int, str] = {at: name for at, name in enumerate(header) if name in wanted and header.index(name) == at}
    for want in wanted:
        if want in names.values():
            continue
        spellings = (want.replace("_", ""), *_ALIASES.get(want, ()))
        spellings += tuple(alias for alias, name in _KIND_ALIASES[kind].items() if name == want)
        candidates = [
            (spellings.index(_plain(name)), at)
            for at, name in enumerate(header)
            if at not in names and _plain(name) in spellings and name not in wanted
        ]
        # What may be absent is taken only for its own name in another spelling: an `action` may be something else.
        candidates = [one for one in candidates if want in REQUIRED[kind] or one[0] == 0]
        if candidates:
            names[min(candidates)[1]] = want
    for at, written in enumerate(header):
        if at not in names:
            names[at] = _free(_legal(written, at), set(names.values()))
    return [Column(written, names[at]) for at, written in enumerate(header)]


def is_valid_name(name: str) -> bool:
    """Whether Personalize takes it as the name of a column."""
    return _VALID.fullmatch(name) is not None


def metadata_of(kind: DatasetKind, names: Sequence[str]) -> list[str]:
    """The columns without a meaning of their own."""
    return [name for name in names if name not in REQUIRED[kind] and name not in RESERVED[kind]]


def required_of(kind: DatasetKind, domain: Domain | None) -> tuple[str, ...]:
    """The columns that must be there."""
    return DOMAIN_REQUIRED[domain][kind] if domain else REQUIRED[kind]


def looks_like_data(header: Sequence[str]) -> bool:
    """Whether a first line holds values, so that the header is missing."""
    return any(re.fullmatch(r"-?\d+(\.\d+)?", cell.strip()) for cell in header)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def _legal(written: str, at: int) -> str:
    name = re.sub(r"\W", "_", written.strip(), flags=re.ASCII).upper()
    if not name.strip("_"):
        return f"COLUMN_{at + 1}"
    return name if is_valid_name(name) else f"_{name}"


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
