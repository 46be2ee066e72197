"""E4: what `REDIS_URL` may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigurationError
from service.fleet.address import SET_BY_THE_SERVICE, HostPort, Login, RedisAddress, TlsTerms

SECRET = "hunter2"


def problem(url: str) -> str:
    """The one line that refuses an address."""
    with pytest.raises(ConfigurationError) as raised:
        RedisAddress.parse(url)
    [line] = raised.value.problems
    assert line.startswith("REDIS_URL: ")
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "db"),
    [
        ("redis://cache", "server", ["cache:6379"], 0),
        ("rediss://cache.example:6380/3", "server", ["cache.example:6380"], 3),
        ("redis://[::1]:7000?db=2", "server", ["[::1]:7000"], 2),
        ("redis+cluster://a:7000,b:7001,c", "cluster", ["a:7000", "b:7001", "c:6379"], 0),
        ("redis+cluster://a,[::1]:7000,[::2]", "cluster", ["a:6379", "[::1]:7000", "[::2]:6379"], 0),
        ("rediss+cluster://a/0", "cluster", ["a:6379"], 0),
        ("redis+sentinel://a:26379,b/main", "sentinel", ["a:26379", "b:26379"], 0),
        ("redis+sentinel://[fe80::1]:1,b:2/main/4", "sentinel", ["[fe80::1]:1", "b:2"], 4),
        ("unix:///run/redis.sock?db=1", "socket", [], 1),
        (" redis://cache ", "server", ["cache:6379"], 0),
        ("REDIS://\n\tcache", "server", ["cache:6379"], 0),
        ("unix:/run/redis.sock", "socket", [], 0),
    ],
)
def test_every_kind_of_address_is_read(url: str, kind: str, hosts: list[str], db: int) -> None:
    """E2, E3, E4."""
    address = RedisAddress.parse(url)
    assert (address.kind, [str(one) for one in address.hosts], address.db) == (kind, hosts, db)
    assert (address.tls is not None) is url.startswith("rediss")


def test_a_sentinel_address_names_the_master_and_the_logins_of_both() -> None:
    """E3."""
    address = RedisAddress.parse("rediss+sentinel://app:p%40ss@a,b:2/main/1?sentinel_password=other")
    assert (address.service, address.login) == ("main", Login("app", "p@ss"))
    assert address.sentinel_login == Login(None, "other")
    assert address.shown == "main of the sentinels a:26379,b:2"
    assert address.tls == TlsTerms()


@pytest.mark.parametrize("password", ["a,b", "a@b", "a[b", "a:b"])
def test_a_password_is_taken_as_it_is_where_it_can_only_be_one(password: str) -> None:
    assert RedisAddress.parse(f"redis://user:{password}@cache").login == Login("user", password)


def test_the_options_of_tls_are_taken() -> None:
    """E4."""
    address = RedisAddress.parse("rediss://cache?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem&client_name=shop")
    assert address.tls == TlsTerms(ca_certs="/ca.pem", cert_reqs="none", check_hostname=False)
    assert (address.client_name, address.hosts) == ("shop", (HostPort("cache", 6379),))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://cache?ssl_cert_reqs=none", "is for TLS; write rediss://"),
        ("redis://cache?colour=blue", "there is no option colour; there are client_name, db, password, username"),
        ("redis://cache?db=1&db=2", "stands twice"),
        ("redis://cache?db=", "has no value"),
        ("redis://cache/shop", "must be a number such as /0"),
        ("redis://cache/1?db=2", "names two databases"),
        ("redis://cache/1/2", "the database's number only"),
        ("redis://a,b", "names several hosts"),
        ("redis://", "and name a host"),
        ("redis://cache:0", "a port from 1 to 65535"),
        ("redis://cache:port", "a port from 1 to 65535"),
        ("redis://::1", "an IPv6 address stands in [ ]"),
        ("redis://[cache]:1", "what stands in [ ] must be an IPv6 address"),
        ("redis://[127.0.0.1]:1", "what stands in [ ] must be an IPv6 address"),
        ("redis://[::1", "what stands in [ ] must be an IPv6 address"),
        ("redis://cache]:1", "and name a host"),
        ("redis+cluster://a,[::1]7000", "after [ ] there may be a colon and a port"),
        ("redis+cluster://[::1],[cache]:1", "what stands in [ ] must be an IPv6 address"),
        ("redis+cluster://a,b/1", "database 0 only"),
        ("redis+cluster://a,,b", "and name a host"),
        ("redis+sentinel://a,b", "must name the master"),
        ("redis+sentinel://a/main/x", "must be a number"),
        ("redis://a?sentinel_password=x", "is for redis+sentinel://"),
        ("rediss://a?ssl_cert_reqs=maybe", "one of required, optional, none"),
        ("rediss://a?ssl_check_hostname=perhaps", "true or false"),
        ("redis+sentinel://a/main/1/2", "behind the hosts there may be the master's name and the database's number"),
        ("redis://cache:65536", "a port from 1 to 65535"),
        (f"redis://cache?{'x' * 40}=1", f"there is no option {'x' * 40}; "),
        (f"redis://cache?{'x' * 41}=1", "there is no option; "),
        ("redis://cache?%C3%A4=1", "there is no option; "),
        ("redis+cluster://u:secret@a,u:secret@b", "names user and password once, before the first host"),
        ("redis://u:secret@a,u:secret@b", "names user and password once, before the first host"),
        ("redis://my cache", "and name a host"),
        ("redis://${REDIS_HOST}:6379", "and name a host"),
        ("redis://cache'", "and name a host"),
        ("unix://", "must name a socket"),
        ("valkey://cache", "must begin with one of redis://, rediss://"),
        ("cache:6379", "must begin with one of"),
        ("http://cache", "must begin with one of"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(url: str, says: str) -> None:
    """E4."""
    assert says in problem(url)


@pytest.mark.parametrize("option", sorted(SET_BY_THE_SERVICE))
def test_an_option_that_would_break_the_service_is_refused(option: str) -> None:
    """E4."""
    assert problem(f"rediss://cache?{option}=1") == (
        f"REDIS_URL: the option {option} is the service's to set; leave it out"
    )


def said_of(url: str) -> str:
    """All that an address or its refusal could bring into a log."""
    try:
        address = RedisAddress.parse(url)
    except ConfigurationError as error:
        return "\n".join(error.problems)
    return repr(address) + address.shown


@pytest.mark.parametrize("character", list("/?#@:[]%,& ="))
@pytest.mark.parametrize("form", ["redis://:{}@cache/0", "redis://user:{}@cache:1", "redis+sentinel://u:{}@a:1,b:2/m"])
def test_a_password_that_should_have_been_escaped_is_never_repeated(form: str, character: str) -> None:
    """E4."""
    for password in (f"{SECRET}{character}tail", f"1{character}{SECRET}", f"9{character}{SECRET}=1"):
        assert SECRET not in said_of(form.format(password))
    # Nor is who enters.
    assert SECRET not in said_of(f"redis://{SECRET}:word@cache/0")


@given(st.text(max_size=40), st.sampled_from(["redis", "rediss", "redis+cluster", "redis+sentinel", "unix", "x"]))
def test_any_text_is_an_address_or_one_line(text: str, scheme: str) -> None:
    """E4."""
    for url in (text, f"{scheme}://{text}", f"{scheme}://user:{SECRET}@{text}", f"{scheme}://a/b?{text}"):
        said = said_of(url)
        assert "\n" not in said
        assert SECRET not in said


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ("", TlsTerms(cert_reqs="required", check_hostname=True)),
        ("?ssl_check_hostname=false", TlsTerms(cert_reqs="required", check_hostname=False)),
        ("?ssl_check_hostname=TRUE&ssl_cert_reqs=Optional", TlsTerms(cert_reqs="optional", check_hostname=True)),
        ("?ssl_check_hostname=true&ssl_cert_reqs=none", TlsTerms(cert_reqs="none", check_hostname=False)),
    ],
)
def test_a_certificate_and_its_name_are_checked_unless_the_operator_says_otherwise(
    options: str, terms: TlsTerms
) -> None:
    assert RedisAddress.parse(f"rediss://cache{options}").tls == terms


@pytest.mark.parametrize("port", [1, 65_535])
def test_every_port_is_taken(port: int) -> None:
    assert RedisAddress.parse(f"redis://a:{port}").hosts == (HostPort("a", port),)
