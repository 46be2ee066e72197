import pytest

from service.api.query import parse_query
from service.errors import InvalidQuery
from service.models import RecommendationQuery


def _user(query: bytes) -> str:
    return parse_query(query).user_id


@pytest.mark.parametrize("name", [b"user_id", b"userID", b"userId"])
def test_a_user_has_three_names(name: bytes) -> None:
    assert parse_query(name + b"=u1") == RecommendationQuery(user_id="u1", num_results=10)


@pytest.mark.parametrize(
    ("sent", "user"),
    [
        (b"a%20b", "a b"),
        (b"a+b", "a b"),
        (b"a%2Bb", "a+b"),
        ("ü".encode(), "ü"),
        (b"%C3%BC", "ü"),
        (b"%c3%bc", "ü"),
        ("😀".encode(), "😀"),
        (b"%F0%9F%98%80", "😀"),
        (b"../x", "../x"),
        (b"%2e%2e%2fx", "../x"),
        (b"%00", "\0"),
        (b"a%26b%3Dc", "a&b=c"),
        (b"a=b", "a=b"),
        (b"a;b", "a;b"),
        (b"%zz", "%zz"),
        (b"%2520", "%20"),
        (b"x" * 256, "x" * 256),
        ("ü".encode() * 256, "ü" * 256),
    ],
)
def test_a_user_id_arrives_as_it_was_meant(sent: bytes, user: str) -> None:
    assert _user(b"user_id=" + sent) == user


@pytest.mark.parametrize("sent", [b"x" * 257, b"%C3%BC" * 257])
def test_a_user_id_of_257_characters_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidQuery, match="userId: at most 256 characters, not 257"):
        parse_query(b"userId=" + sent)


@pytest.mark.parametrize("sent", [b"%FF", b"\xff", b"%C3", b"%ED%A0%80"])
def test_bytes_that_are_not_utf8_are_refused(sent: bytes) -> None:
    with pytest.raises(InvalidQuery, match="is not UTF-8"):
        parse_query(b"user_id=" + sent)


@pytest.mark.parametrize("query", [b"user_id=", b"user_id", b"user_id=%20+", b"userId=&num_results=10"])
def test_a_blank_user_is_nobody(query: bytes) -> None:
    assert _user(query) == ""


@pytest.mark.parametrize("query", [b"user_id=%20ann+", b"user_id=ann%0D%0A", b"userId=%C2%A0ann"])
def test_blanks_around_a_user_are_none_of_the_users(query: bytes) -> None:
    """C2."""
    assert _user(query) == "ann"


@pytest.mark.parametrize("query", [b"", b"num_results=5", b"user=1", b"USER_ID=1"])
def test_a_missing_user_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidQuery, match="user_id: is missing"):
        parse_query(query)


@pytest.mark.parametrize(
    ("sent", "wanted"), [(b"1", 1), (b"100", 100), (b"", 10), (b"%20", 10), (b"+7+", 7), (b"007", 7)]
)
def test_a_number_of_results_is_read(sent: bytes, wanted: int) -> None:
    assert parse_query(b"user_id=1&num_results=" + sent).num_results == wanted
    assert parse_query(b"user_id=1&numResults=" + sent).num_results == wanted


@pytest.mark.parametrize("sent", [b"0", b"101", b"-1", b"1.5", b"1_0", b"%2B5", b"ten", "٣".encode(), b"9" * 40])
def test_a_number_of_results_out_of_bounds_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidQuery, match="num_results: a whole number from 1 to 100"):
        parse_query(b"user_id=1&num_results=" + sent)


def test_excluded_ids_are_listed_or_repeated() -> None:
    query = parse_query(b"user_id=1&exclude=a,b,,%20c%20&exclude=d&exclude=")
    assert query.exclude == {"a", "b", "c", "d"}


def test_500_ids_may_be_excluded_and_not_one_more() -> None:
    ids = ",".join(str(one) for one in range(500)).encode()
    assert len(parse_query(b"user_id=1&exclude=" + ids).exclude) == 500
    with pytest.raises(InvalidQuery, match="exclude: at most 500 ids, not 501"):
        parse_query(b"user_id=1&exclude=more," + ids)


def test_an_excluded_id_of_257_characters_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="at most 256 characters"):
        parse_query(b"user_id=1&exclude=" + b"x" * 257)


def test_fields_keep_their_order_and_lose_repetitions() -> None:
    assert parse_query(b"user_id=1&fields=b,a&fields=b,c").fields == ("b", "a", "c")


def test_more_than_20_fields_are_refused() -> None:
    with pytest.raises(InvalidQuery, match="fields: at most 20 columns, not 21"):
        parse_query(b"user_id=1&fields=" + ",".join(f"f{one}" for one in range(21)).encode())


def test_filter_values_are_sorted_by_name() -> None:
    query = parse_query(b'user_id=1&filter_values.b="2"&filter_values.a=%221%22&filter_values.a=3')
    assert query.filter_values == (("a", '"1"'), ("b", '"2"'))


@pytest.mark.parametrize("name", [b"", b"a-b", b"a" * 51, "ü".encode(), b"a%0A"])
def test_a_filter_value_with_an_impossible_name_is_refused(name: bytes) -> None:
    with pytest.raises(InvalidQuery, match="letters, digits and _"):
        parse_query(b"user_id=1&filter_values." + name + b"=1")


def test_filter_values_have_bounds() -> None:
    assert parse_query(b"user_id=1&filter_values.a=" + b"x" * 1000).filter_values
    with pytest.raises(InvalidQuery, match="at most 1000 characters"):
        parse_query(b"user_id=1&filter_values.a=" + b"x" * 1001)
    with pytest.raises(InvalidQuery, match="at most 25 names, not 26"):
        parse_query(b"user_id=1&" + b"&".join(b"filter_values.a%d=1" % one for one in range(26)))


@pytest.mark.parametrize(("sent", "is_object"), [(b"object", True), (b"array", False), (b"", False)])
def test_a_format_is_array_unless_asked_otherwise(sent: bytes, *, is_object: bool) -> None:
    assert (parse_query(b"user_id=1&format=" + sent).answer_format == "object") == is_object


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="format: array or object"):
        parse_query(b"user_id=1&format=xml")


def test_unknown_parameters_are_ignored() -> None:
    assert parse_query(b"utm_source=braze&user_id=1&x=%00&=&&") == parse_query(b"user_id=1")


def test_of_a_repeated_parameter_the_first_counts() -> None:
    query = parse_query(b"user_id=1&user_id=2&num_results=3&num_results=4&format=array&format=object")
    assert (query.user_id, query.num_results, query.answer_format) == ("1", 3, "array")


def test_a_thousand_parameters_are_enough() -> None:
    with pytest.raises(InvalidQuery, match="at most 1000 parameters"):
        parse_query(b"user_id=1" + b"&a=1" * 1000)
