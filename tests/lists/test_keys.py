"""Keys of lists: made for many users at once they are those that are made for each."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.lists.keys import UserKeys
from service.models import ListRequest, Promotion

KEYS = UserKeys(secret="a secret", scope="a scope")

texts = st.text(max_size=8)
pairs = st.lists(st.tuples(st.sampled_from("ABC"), texts), max_size=2).map(tuple)
requests = st.builds(
    ListRequest,
    user_id=st.just("ann"),
    kind=st.sampled_from(["recommendations", "similar-items", "ranking"]),
    item_id=texts,
    item_ids=st.lists(texts, max_size=4).map(tuple),
    filter_values=pairs,
    context=pairs,
    promotion=st.none() | st.builds(Promotion, st.just("sale"), st.integers(1, 100), texts, pairs),
)


@given(request=requests, user_id=st.text(min_size=1, max_size=8))
def test_the_keys_of_many_users_are_those_of_each(request: ListRequest, user_id: str) -> None:
    assert KEYS.of_users(request)(user_id) == KEYS.of(replace(request, user_id=user_id))


def test_a_key_outlives_a_new_version_of_the_service() -> None:
    """Redis holds them for days."""
    plain = ListRequest(user_id="ann")
    keys = UserKeys(secret="a secret", scope="a scope")
    assert keys.of(plain).hex() == "3b262b7068f49e8889de7861cdd828"
    assert keys.of(replace(plain, kind="ranking", item_ids=("b", "a"))).hex() == "3b262b7068f49e883a3f4d181b66fb6f"
