import base64

import pytest
from starlette.exceptions import HTTPException

from service.api.auth import MAX_CREDENTIALS, Gate
from service.credentials import MAX_SECRET_BYTES
from service.errors import Unauthorized
from service.models import NOBODY, sender_of_key, sender_of_password

Headers = list[tuple[bytes, bytes]]


def _gate(
    *,
    api_keys: tuple[str, ...] = ("old-key", "new-key"),
    basic: str | None = "braze:pass:word",
    admin_keys: tuple[str, ...] = ("admin-key",),
    anonymous: bool = False,
) -> Gate:
    return Gate(api_keys=api_keys, basic=basic, admin_keys=admin_keys, anonymous=anonymous)


def _basic(pair: bytes) -> bytes:
    return b"Basic " + base64.b64encode(pair)


@pytest.mark.parametrize(
    "header",
    [
        (b"x-api-key", b"old-key"),
        (b"x-api-key", b"new-key"),
        (b"x-api-key", b" new-key "),
        (b"x-api-key", b"admin-key"),
        (b"authorization", b"Bearer old-key"),
        (b"authorization", b"bearer  new-key"),
        (b"authorization", _basic(b"braze:pass:word")),
        (b"authorization", _basic(b"braze:pass:word").replace(b"Basic", b"BASIC")),
    ],
)
def test_a_known_credential_opens(header: tuple[bytes, bytes]) -> None:
    assert _gate().admits([(b"host", b"x"), header])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"old-key")],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"old-ke")],
        [(b"x-api-key", b"OLD-KEY")],
        [(b"x-api-key", "schlüssel".encode())],
        [(b"x-api-key", b"old-key,new-key")],
        [(b"x-api-key", b"\xff\x00")],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", b"old-key")],
        [(b"authorization", b"Basic old-key")],
        [(b"authorization", b"Basic !!!")],
        [(b"authorization", _basic(b"braze:pass:word").replace(b"YnJh", b"Yn*Jh"))],
        [(b"authorization", _basic(b"braze:wrong"))],
        [(b"authorization", _basic(b"braze"))],
        [(b"authorization", b"Digest old-key")],
    ],
)
def test_no_credential_or_a_wrong_one_does_not_open(headers: Headers) -> None:
    assert not _gate().admits(headers)


def test_a_known_credential_beside_a_wrong_one_opens() -> None:
    assert _gate().admits([(b"x-api-key", b"wrong"), (b"authorization", b"Bearer new-key")])


def test_a_key_rotated_out_no_longer_opens() -> None:
    assert not _gate(api_keys=("new-key",)).admits([(b"x-api-key", b"old-key")])


def test_without_a_password_basic_does_not_open() -> None:
    gate = _gate(basic=None)
    assert not gate.admits([(b"authorization", _basic(b""))])
    assert not gate.admits([(b"authorization", b"Basic ")])


def test_without_any_credential_nobody_gets_in_unless_all_may() -> None:
    nothing = _gate(api_keys=(), basic=None, admin_keys=())
    assert not nothing.admits([(b"x-api-key", b"")])
    everyone = _gate(api_keys=(), basic=None, admin_keys=(), anonymous=True)
    assert everyone.anonymous
    assert everyone.admits([])
    assert not everyone.admits_admin([])


def test_only_an_admin_key_opens_the_administration() -> None:
    gate = _gate()
    assert gate.admits_admin([(b"x-api-key", b"admin-key")])
    assert not gate.admits_admin([(b"x-api-key", b"old-key")])
    assert not gate.admits_admin([(b"authorization", _basic(b"braze:pass:word"))])
    assert not _gate(admin_keys=()).admits_admin([(b"x-api-key", b"")])


def test_a_key_of_other_than_ascii_letters_opens() -> None:
    assert _gate(api_keys=("schlüssel",)).admits([(b"x-api-key", "schlüssel".encode())])


def test_of_more_credentials_than_a_few_none_is_looked_at_nor_is_one_that_is_too_long() -> None:
    wrong, right = (b"x-api-key", b"wrong"), (b"authorization", b"Bearer new-key")
    assert _gate().admits([wrong] * (MAX_CREDENTIALS - 1) + [right])
    assert not _gate().admits([right] + [wrong] * MAX_CREDENTIALS)
    long = "k" * 2 * MAX_SECRET_BYTES
    gate = _gate(api_keys=(long, "short"))
    assert gate.admits([(b"x-api-key", long.encode())])
    assert not gate.admits([(b"x-api-key", long.encode() + b" ")])
    # The others are looked at all the same.
    assert gate.admits([(b"x-api-key", long.encode() + b" "), (b"x-api-key", b"short")])


async def test_who_is_known_is_let_in_without_a_wait_and_nobody_else_is() -> None:
    gate = _gate()
    key, admin, wrong = ([(b"x-api-key", one)] for one in (b"old-key", b"admin-key", b"wrong"))
    assert [await gate.lets_in(one) for one in (key, admin, wrong, [])] == [True, True, False, False]
    assert [await gate.lets_administrate(one) for one in (key, admin, wrong)] == [False, True, False]
    for headers in ([], wrong, key):
        await gate.let_in("open", headers)
        with pytest.raises(HTTPException, match="404"):
            await gate.let_in("off", headers)
    await gate.let_in("keyed", key)
    for headers in ([], wrong):
        with pytest.raises(Unauthorized):
            await gate.let_in("keyed", headers)


def test_a_sender_is_the_place_of_its_credential() -> None:
    gate = _gate()
    assert gate.sender_of([(b"x-api-key", b"new-key")]) == sender_of_key(1)
    assert gate.sender_of([(b"x-api-key", b"wrong"), (b"x-api-key", b"old-key")]) == sender_of_key(0)
    assert gate.sender_of([(b"authorization", _basic(b"braze:pass:word"))]) == sender_of_password(0)
    assert gate.sender_of([(b"x-api-key", b"wrong")]) == gate.sender_of([]) == NOBODY
    assert (gate.takes_keys, gate.takes_basic) == (True, True)
    assert (_gate(api_keys=()).takes_keys, _gate(basic=None).takes_basic) == (False, False)
