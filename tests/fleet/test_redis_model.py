"""The model of Redis answers as a real one does, for what the scripts of budget and fleet ask."""

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.redis import RedisServer
from tests.support.redis_model import RedisModel
from tests.support.virtual_time import EPOCH

_names = st.sampled_from(["a", "b", "c"])
_scores = st.sampled_from(["0", "1", "17", "1700000000000000"])
_bounds = st.sampled_from(["-inf", "+inf", "17", "(17", "(1700000000000000"])
_ranks = st.sampled_from(["0", "1", "-1"])


def _command(name: str, key: str, *args: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.tuples(st.just(name), st.just(key), *args)


_commands = st.one_of(
    _command("HSET", "h", _names, _scores),
    _command("HGET", "h", _names),
    _command("HMGET", "h", _names, _names),
    _command("HVALS", "h"),
    _command("HGETALL", "h"),
    _command("HDEL", "h", _names),
    _command("ZADD", "z", _scores, _names),
    _command("ZADD", "z", st.just("NX"), _scores, _names),
    _command("ZADD", "z", st.just("XX"), _scores, _names),
    _command("ZREM", "z", _names),
    _command("ZSCORE", "z", _names),
    _command("ZCARD", "z"),
    _command("ZRANGE", "z", _ranks, st.just("-1")),
    _command("ZRANGE", "z", _ranks, st.just("-1"), st.just("WITHSCORES")),
    _command("ZCOUNT", "z", _bounds, st.just("+inf")),
    _command("ZREMRANGEBYSCORE", "z", st.just("-inf"), _bounds),
    _command("PTTL", "z"),
)

_SCRIPT = "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"


@examples(30, shares_fixtures=True)
@given(commands=st.lists(_commands, max_size=12))
def test_the_model_answers_as_redis_does(redis_server: RedisServer, commands: list[tuple[str, ...]]) -> None:
    model = RedisModel(lambda: EPOCH)
    with redis.Redis(port=redis_server.port) as real:
        real.flushall()
        for name, key, *args in commands:
            assert _answer(model.eval, _SCRIPT, [key], [name, *args]) == _answer(
                lambda text, keys, rest: real.eval(text, len(keys), *keys, *rest), _SCRIPT, [key], [name, *args]
            ), (name, key, *args)


def test_what_a_script_returns_is_what_redis_makes_of_it(redis_server: RedisServer) -> None:
    script = "return {1, 2.9, 'text', false, tostring(17), {3, 'in'}, redis.call('HGET', KEYS[1], 'none'), nil, 4}"
    with redis.Redis(port=redis_server.port) as real:
        assert RedisModel(lambda: EPOCH).eval(script, ["h"], []) == real.eval(script, 1, "h")


def test_the_model_knows_no_command_that_it_was_not_given() -> None:
    with pytest.raises(NotImplementedError, match="GEOADD"):
        RedisModel(lambda: EPOCH).command("GEOADD", "key")


def _answer(ask: Any, *args: object) -> object:  # noqa: ANN401  # either of two ways to ask
    try:
        answer = ask(*args)
    except redis.ResponseError as error:
        return "WRONGTYPE" in str(error)
    # In a hash, both may choose the order.
    return sorted(answer, key=repr) if args[2][0] in ("HVALS", "HGETALL") else answer  # type: ignore[index]  # a list
