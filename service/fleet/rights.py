"""The rights that the service needs of Redis, and a look at whether it has them.

`docs/operate/redis.md` shows them as a line for `ACL SETUSER`. The look tries each command on keys of its own, so that
a missing right is known before anything depends on it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import redis.asyncio as aioredis

from service.fleet.causes import Refusal, answer_of, cause_of

KEYS: Final = "~pc:*"
CHANNELS: Final = "&pc:*"

_CHECK: Final = "pc:{check}"
_CHANNEL, _UNUSED_CHANNEL = "pc:check:flights", "pc:check:unused"
_SET: Final = f"{_CHECK}:set"
_TEXT, _HASH, _ZSET, _STREAM = f"{_CHECK}:text", f"{_CHECK}:hash", f"{_CHECK}:zset", f"{_CHECK}:stream"
_HOUR_MS: Final = 3_600_000

SERVING: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {
        "ping": ("PING",),
        "time": ("TIME",),
        "evalsha": ("EVALSHA", "0" * 40, 0),
        "eval": ("EVAL", "return 1", 0),
        "set": ("SET", _TEXT, "1", "PX", 1_000),
        "get": ("GET", _TEXT),
        "getrange": ("GETRANGE", _TEXT, 0, 0),
        "pttl": ("PTTL", _TEXT),
        "pexpire": ("PEXPIRE", _TEXT, 1_000),
        "hset": ("HSET", _HASH, "a", "1"),
        "hget": ("HGET", _HASH, "a"),
        "hmget": ("HMGET", _HASH, "a"),
        "hgetall": ("HGETALL", _HASH),
        "hkeys": ("HKEYS", _HASH),
        "hvals": ("HVALS", _HASH),
        "hdel": ("HDEL", _HASH, "a"),
        "sadd": ("SADD", _SET, "a"),
        "sismember": ("SISMEMBER", _SET, "a"),
        "scard": ("SCARD", _SET),
        "spop": ("SPOP", _SET),
        "zadd": ("ZADD", _ZSET, 1, "a"),
        "zscore": ("ZSCORE", _ZSET, "a"),
        "zcard": ("ZCARD", _ZSET),
        "zcount": ("ZCOUNT", _ZSET, "-inf", "+inf"),
        "zrange": ("ZRANGE", _ZSET, 0, 0),
        "zrem": ("ZREM", _ZSET, "a"),
        "zremrangebyscore": ("ZREMRANGEBYSCORE", _ZSET, "-inf", "+inf"),
        "zremrangebyrank": ("ZREMRANGEBYRANK", _ZSET, 0, 0),
        "xgroup|create": ("XGROUP", "CREATE", _STREAM, "check", "$", "MKSTREAM"),
        "xadd": ("XADD", _STREAM, "MAXLEN", 1, "*", "a", "1"),
        "xlen": ("XLEN", _STREAM),
        "xrange": ("XRANGE", _STREAM, "-", "+", "COUNT", 1),
        "xrevrange": ("XREVRANGE", _STREAM, "+", "-", "COUNT", 1),
        "xreadgroup": ("XREADGROUP", "GROUP", "check", "check", "COUNT", 1, "STREAMS", _STREAM, ">"),
        "xpending": ("XPENDING", _STREAM, "check"),
        "xinfo|groups": ("XINFO", "GROUPS", _STREAM),
        "xclaim": ("XCLAIM", _STREAM, "check", "check", _HOUR_MS, "0-1"),
        "xautoclaim": ("XAUTOCLAIM", _STREAM, "check", "check", _HOUR_MS, "0", "COUNT", 1),
        "xack": ("XACK", _STREAM, "check", "0-1"),
        "xdel": ("XDEL", _STREAM, "0-1"),
        "xtrim": ("XTRIM", _STREAM, "MAXLEN", 1),
        "del": ("DEL", _TEXT, _HASH, _SET, _ZSET, _STREAM),
        "unlink": ("UNLINK", _TEXT, _HASH, _SET, _ZSET, _STREAM),
        "scan": ("SCAN", 0, "COUNT", 1),
        "publish": ("PUBLISH", _CHANNEL, ""),
        "pubsub|numsub": ("PUBSUB", "NUMSUB", _CHANNEL),
    }
)
"""Commands of a replica and of a prewarm, each with a harmless way to try it."""

SUBSCRIBING: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {"subscribe": ("SUBSCRIBE", _UNUSED_CHANNEL), "unsubscribe": ("UNSUBSCRIBE", _UNUSED_CHANNEL)}
)
"""Commands of a replica that listens. Nobody publishes there: a message would come between the answers."""

ASKING: Final = ("info",)
"""Commands by which the service asks how Redis keeps data; without them it goes on and says that it does not know."""

CLUSTER: Final[Mapping[str, tuple[Any, ...]]] = MappingProxyType(
    {"cluster|slots": ("CLUSTER", "SLOTS"), "command": ("COMMAND COUNT",)}
)
"""Commands of the library in a cluster."""

LOADING: Final = (*("multi", "exec", "watch", "unwatch", "discard", "hlen", "expire", "srem", "smembers"),)
"""Commands that `batch load`, `status` and `drop` need besides; `events retry` needs the first two."""


def acl_rules(*, cluster: bool = False) -> str:
    """What `ACL SETUSER name on >password` is to be followed by."""
    commands = [*SERVING, *SUBSCRIBING, *LOADING, *ASKING, *(CLUSTER if cluster else ())]
    return " ".join(["resetkeys", KEYS, "resetchannels", CHANNELS, "-@all", *(f"+{one}" for one in commands)])


async def look_at_rights(redis: aioredis.Redis, *, cluster: bool, tls: bool) -> None:
    """Return if the user may do what the service does, and the server takes writes.

    Args:
        redis: A client of one server.
        cluster: Whether the server is a node of a cluster.
        tls: Whether TLS is spoken.

    Raises:
        Refusal: A right is missing, or the server refuses writes.
        RedisError: The server did not answer.
    """
    tries = {**SERVING, **SUBSCRIBING, **(CLUSTER if cluster else {})}
    async with redis.pipeline(transaction=False) as pipe:
        for command in tries.values():
            pipe.execute_command(*command)
        answers = await pipe.execute(raise_on_error=False)
    for name, answer in zip(tries, answers, strict=True):
        if isinstance(answer, Exception):
            _judge(name, answer, tls=tls)


def _judge(name: str, error: BaseException, *, tls: bool) -> None:
    """Raise if this answer means that the service cannot work here.

    Not if Redis is full, if the key belongs to another node, or if the script is unknown, as it should be.
    """
    cause = cause_of(error, tls=tls)
    if cause.kind == "rights":
        answer = answer_of(error)
        said = answer.lower()
        right = CHANNELS if "channel" in said else KEYS if " key" in said else f"+{name}"
        raise Refusal("rights", f"the user lacks the right {right} ('{answer}'); docs/operate/redis.md has them all")
    if cause.kind in ("disk", "replicas", "read_only", "loading", "cluster", "busy", "command"):
        raise Refusal(cause.kind, cause.words, lasting=cause.lasting)
