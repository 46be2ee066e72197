"""A model of Redis that runs the service's own Lua, on a clock that a test has in its hand.

It knows the commands that the service calls. `tests/fleet/test_redis_model.py` holds it to a real Redis.
`redis_network` is the way to it.

Longer than 300 lines: a command is a method.
"""

import copy
import hashlib
import importlib
import math
import struct
from collections.abc import Callable, Collection, Sequence
from itertools import takewhile
from typing import Any, Final

from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

# Not imported by name: type checkers need not have it.
_lua51: Final = importlib.import_module("lupa.lua51")

Hash = dict[bytes, bytes]
SortedSet = dict[bytes, float]
Stream = dict[tuple[int, int], list[bytes]]

_TAKES_MEMORY: Final = frozenset({b"SET", b"HSET", b"ZADD", b"SADD", b"XADD"})
"""Commands that a full Redis refuses."""

_OUT_OF_MEMORY: Final = "command not allowed when used memory > 'maxmemory'."

_AROUND: Final = """
function(call, failing)
  redis = {
    call = call,
    pcall = function(name, ...)
      local err = failing(name)
      if err then return {err = err} end
      return call(name, ...)
    end,
  }
end
"""


_SCRIPT: Final = """
function(count, ...)
  local KEYS, ARGV = {...}, {select(count + 1, ...)}
  for at = #KEYS, count + 1, -1 do KEYS[at] = nil end
  local reply = (function() %s
  end)()
  if type(reply) == 'table' and not reply.err then return true, unpack(reply) end
  return false, reply
end
"""
"""Values go to and fro one by one: a table made of a list takes longer."""


class RedisModel:
    """Keys, and the commands and scripts on them; everything at once, as in Redis.

    Args:
        clock: Redis's own, in Unix seconds; it may be set by any step.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._now = clock()
        self.full = False
        """Whether it refuses what takes memory."""
        self._lua = _lua51.LuaRuntime(encoding=None, unpack_returned_tuples=False)
        self._lua.eval(_AROUND)(self._call, self._failing)
        self._lua.globals()[b"struct"] = self._lua.table_from(
            {b"unpack": lambda form, packed, at=1: _unpack(form, packed, at), b"pack": _pack}
        )
        self._compiled: dict[str, tuple[Any, bool]] = {}
        """Of every text, the function and whether a full Redis runs it; a cache, not what Redis remembers."""
        self._scripts: set[str] = set()
        self._may_fill = True
        self._values: dict[bytes, Any] = {}
        self._expires_at: dict[bytes, float] = {}
        self._expires_next = math.inf
        """No key expires before."""
        self._methods: dict[bytes, Callable[..., Any]] = {}
        self.published: list[tuple[bytes, bytes]] = []

    # What a test does to it

    def empty(self) -> None:
        """Forget everything, scripts included."""
        self._values, self._expires_at = {}, {}
        self._scripts.clear()

    def memory(self) -> tuple[dict[bytes, Any], dict[bytes, float]]:
        """A copy of everything that is kept."""
        return copy.deepcopy((self._values, self._expires_at))

    def remember(self, memory: tuple[dict[bytes, Any], dict[bytes, float]]) -> None:
        """Hold what was kept at another time, as a server does that took over."""
        self._values, self._expires_at = copy.deepcopy(memory)
        self._expires_next = -math.inf

    def names(self) -> list[bytes]:
        """The names of all keys."""
        self._turn()
        return list(self._values)

    def everlasting(self) -> set[bytes]:
        """Keys that never expire."""
        self._turn()
        return self._values.keys() - self._expires_at.keys()

    def entries_with(self, ending: bytes, value: bytes) -> list[object]:
        """Entries that hold this value, of the streams whose keys end so."""
        streams = [one for key, one in self._values.items() if key.endswith(ending)]
        return [number for stream in streams for number, pairs in stream.items() if value in pairs]

    def pass_by(self, seconds: float, beats: Callable[[bytes], bool], alive: Collection[bytes]) -> None:
        """So much time has gone by, in which nothing happened but the signs of life of these under these keys."""
        for key, value in self._values.items():
            if not beats(key):
                continue
            if key in self._expires_at:
                self._expires_at[key] += seconds
            for member, one in value.items():
                if member not in alive:
                    continue  # it is silent, and in time forgotten
                if isinstance(one, float):
                    value[member] = one + seconds * 1e6
                elif one.count(b" ") == 2 and not one.endswith(b" 0 0"):  # a share: when Redis has heard of its replica
                    share, heard, own_until = one.split()
                    value[member] = b"%s %d %s" % (share, int(heard) + round(seconds * 1e6), own_until)

    # Scripts

    def eval(self, text: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:  # noqa: ANN401  # what a script returns
        """Run a script."""
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self._scripts.add(sha)
        if sha not in self._compiled:
            lines = text.splitlines()
            shebang = lines[0] if lines[0].startswith("#!") else ""
            body = "\n".join(lines[1:] if shebang else lines)
            self._compiled[sha] = (self._lua.eval(_SCRIPT % body), "allow-oom" in shebang)
        return self.evalsha(sha, keys, args)

    def evalsha(self, sha: str, keys: Sequence[Any], args: Sequence[Any]) -> Any:  # noqa: ANN401  # as above
        """Run a script that was run before."""
        if sha not in self._scripts:
            raise NoScriptError
        # Redis's time stands still in a script.
        self._turn()
        function, allows_oom = self._compiled[sha]
        self._may_fill = allows_oom or not self.full
        try:
            reply = function(len(keys), *map(_bytes, keys), *map(_bytes, args))
        finally:
            self._may_fill = True
        if reply is True:
            return []
        if not reply[0]:
            return self._reply(reply[1])
        return [
            one if type(one) is bytes or type(one) is int else self._reply(one)
            for one in takewhile(_is_there, reply[1:])
        ]

    def _failing(self, name: bytes) -> bytes | None:
        return None if self._may_fill or name not in _TAKES_MEMORY else f"OOM {_OUT_OF_MEMORY}".encode()

    def _call(self, name: bytes, *args: object) -> object:
        if not self._may_fill and name in _TAKES_MEMORY:
            raise OutOfMemoryError(_OUT_OF_MEMORY)
        method = self._methods.get(name) or self._method(name)
        for arg in args:
            if type(arg) is not bytes:
                args = tuple(map(_bytes, args))
                break
        answer = method(*args)
        if type(answer) is bytes or type(answer) is int:
            return answer
        return self._to_lua(answer)

    def _to_lua(self, answer: object) -> object:
        if answer is None:
            return False
        if isinstance(answer, list):
            return self._lua.table_from([one if type(one) is bytes else self._to_lua(one) for one in answer])
        return answer

    def _reply(self, value: Any) -> Any:  # noqa: ANN401  # as a script returns it
        kind = type(value)
        if kind is bytes:
            return value
        if kind is int:
            return value
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if kind is float:
            return int(value)
        replies = []
        for at in range(1, len(value) + 1):
            one = value[at]
            if one is None:
                break
            replies.append(one if type(one) is bytes or type(one) is int else self._reply(one))
        return replies

    # Commands

    def command(self, name: str, *args: object) -> Any:  # noqa: ANN401  # as each command answers
        """Run one command."""
        self._turn()
        if self.full and name.encode() in _TAKES_MEMORY:
            raise OutOfMemoryError(_OUT_OF_MEMORY)
        return self._method(name.encode())(*map(_bytes, args))

    def _method(self, name: bytes) -> Callable[..., Any]:
        method = self._methods.get(name)
        if method is None:
            method = getattr(self, f"_{name.decode().lower()}", None)
            if method is None:
                raise NotImplementedError(name.decode())
            self._methods[name] = method
        return method

    def _turn(self) -> None:
        """Look at the clock, and let go of what has expired."""
        now = self._now = self._clock()
        if now < self._expires_next:
            return
        for key in [key for key, at in self._expires_at.items() if at <= now]:
            self._forget(key)
        self._expires_next = min(self._expires_at.values(), default=math.inf)

    def _forget(self, key: bytes) -> bool:
        self._expires_at.pop(key, None)
        return self._values.pop(key, None) is not None

    def _kept(self, key: bytes, kind: type) -> Any:  # noqa: ANN401  # of that kind
        value = self._values.get(key)
        if value is None:
            return kind()
        if not isinstance(value, kind):
            raise ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
        return value

    def _keep(self, key: bytes, value: object) -> None:
        if value or isinstance(value, bytes):
            self._values[key] = value
        else:
            self._forget(key)

    def _time(self) -> list[bytes]:
        microseconds = round(self._now * 1e6)
        return [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]

    def _get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._kept(key, bytes) if key in self._values else None
        return value

    def _getrange(self, key: bytes, first: bytes, last: bytes) -> bytes:
        value: bytes = self._kept(key, bytes)
        return value[int(first) : int(last) + 1]

    def _set(self, key: bytes, value: bytes, *options: bytes) -> bytes | None:
        if b"NX" in options and key in self._values:
            return None
        self._values[key] = value
        if b"KEEPTTL" not in options:
            self._expires_at.pop(key, None)
        if b"PX" in options:
            self._pexpire(key, options[options.index(b"PX") + 1])
        elif b"EX" in options:
            self._pexpire(key, b"%d" % (1000 * int(options[options.index(b"EX") + 1])))
        return b"OK"

    def _del(self, *keys: bytes) -> int:
        return sum(map(self._forget, keys))

    _unlink = _del

    def _exists(self, *keys: bytes) -> int:
        return sum(key in self._values for key in keys)

    def _pexpire(self, key: bytes, milliseconds: bytes) -> int:
        if key not in self._values:
            return 0
        at = self._expires_at[key] = self._now + float(milliseconds) / 1000
        self._expires_next = min(self._expires_next, at)
        return 1

    def _pttl(self, key: bytes) -> int:
        if key not in self._values:
            return -2
        at = self._expires_at.get(key)
        return -1 if at is None else max(0, round((at - self._now) * 1000))

    def _scan(self, cursor: bytes, pattern: bytes) -> list[Any]:
        del cursor
        assert pattern.endswith(b"*")
        return [0, [key for key in self._values if key.startswith(pattern[:-1])]]

    def _publish(self, channel: bytes, message: bytes) -> int:
        self.published.append((channel, message))
        return 0

    def _hget(self, key: bytes, field: bytes) -> bytes | None:
        found: bytes | None = self._kept(key, dict).get(field)
        return found

    def _hmget(self, key: bytes, *fields: bytes) -> list[bytes | None]:
        kept = self._kept(key, dict)
        return [kept.get(field) for field in fields]

    def _hgetall(self, key: bytes) -> list[bytes]:
        return [one for pair in self._kept(key, dict).items() for one in pair]

    def _hkeys(self, key: bytes) -> list[bytes]:
        return list(self._kept(key, dict))

    def _hvals(self, key: bytes) -> list[bytes]:
        return list(self._kept(key, dict).values())

    def _hset(self, key: bytes, *pairs: bytes) -> int:
        kept: Hash = self._kept(key, dict)
        new = {field for field in pairs[::2] if field not in kept}
        kept.update(zip(pairs[::2], pairs[1::2], strict=True))
        self._keep(key, kept)
        return len(new)

    def _hdel(self, key: bytes, *fields: bytes) -> int:
        kept: Hash = self._kept(key, dict)
        gone = sum(kept.pop(field, None) is not None for field in fields)
        self._keep(key, kept)
        return gone

    def _sadd(self, key: bytes, *members: bytes) -> int:
        kept: set[bytes] = self._kept(key, set)
        new = set(members) - kept
        self._keep(key, kept | new)
        return len(new)

    def _scard(self, key: bytes) -> int:
        return len(self._kept(key, set))

    def _spop(self, key: bytes) -> bytes | None:
        kept: set[bytes] = self._kept(key, set)
        gone = kept.pop() if kept else None
        self._keep(key, kept)
        return gone

    def _sismember(self, key: bytes, member: bytes) -> int:
        return int(member in self._kept(key, set))

    def _zadd(self, key: bytes, *args: bytes) -> int:
        kept: SortedSet = self._kept(key, dict)
        options = {arg for arg in args if arg in (b"XX", b"NX")}
        pairs = [arg for arg in args if arg not in options]
        added = 0
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            if (b"XX" in options and member not in kept) or (b"NX" in options and member in kept):
                continue
            added += member not in kept
            kept[member] = float(score)
        self._keep(key, kept)
        return added

    def _zrem(self, key: bytes, *members: bytes) -> int:
        return self._hdel(key, *members)

    def _zcard(self, key: bytes) -> int:
        return len(self._kept(key, dict))

    def _zscore(self, key: bytes, member: bytes) -> bytes | None:
        score = self._kept(key, dict).get(member)
        return None if score is None else _score(score)

    def _ranked(self, key: bytes) -> list[tuple[bytes, float]]:
        kept = self._kept(key, dict)
        if len(kept) <= 1:
            return list(kept.items())
        return sorted(kept.items(), key=lambda entry: (entry[1], entry[0]))

    def _zrange(self, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[bytes]:
        if key not in self._values:
            return []
        ranked = self._ranked(key)
        if b"BYSCORE" in options:
            if b"REV" in options:
                first, last = last, first
            inner = set(self._between(key, first, last))
            found = [entry for entry in ranked if entry[0] in inner]
            if b"REV" in options:
                found.reverse()
        else:
            start, stop = int(first), int(last)
            found = ranked[start if start >= -len(ranked) else 0 :][: _span(start, stop, len(ranked))]
        if b"LIMIT" in options:
            at = options.index(b"LIMIT")
            skipped, most = int(options[at + 1]), int(options[at + 2])
            found = found[skipped : skipped + most]
        if b"WITHSCORES" in options:
            return [one for member, score in found for one in (member, _score(score))]
        return [member for member, _ in found]

    def _zcount(self, key: bytes, lowest: bytes, highest: bytes) -> int:
        return len(self._between(key, lowest, highest))

    def _zremrangebyscore(self, key: bytes, lowest: bytes, highest: bytes) -> int:
        gone = self._between(key, lowest, highest)
        return self._hdel(key, *gone) if gone else 0

    def _zremrangebyrank(self, key: bytes, first: bytes, last: bytes) -> int:
        gone = self._zrange(key, first, last)
        return self._hdel(key, *gone) if gone else 0

    def _between(self, key: bytes, lowest: bytes, highest: bytes) -> list[bytes]:
        kept = self._kept(key, dict)
        if not kept:
            return []
        above, below = _bound(lowest, -math.inf), _bound(highest, math.inf)
        return [member for member, score in kept.items() if above(score) and below(-score)]

    def _xadd(self, key: bytes, number: bytes, *pairs: bytes) -> bytes:
        assert number == b"*"
        kept: Stream = self._kept(key, dict)
        last = max(kept, default=(0, 0))
        entry = max((int(self._now * 1000), 0), (last[0], last[1] + 1))
        kept[entry] = list(pairs)
        self._keep(key, kept)
        return _number(entry)

    def _xlen(self, key: bytes) -> int:
        return len(self._kept(key, dict))

    def _xrange(self, key: bytes, first: bytes, last: bytes, *options: bytes) -> list[Any]:
        entries = [one for one in sorted(self._kept(key, dict)) if _within(one, first, last)]
        return self._entries(key, entries, options)

    def _xrevrange(self, key: bytes, last: bytes, first: bytes, *options: bytes) -> list[Any]:
        entries = [one for one in sorted(self._kept(key, dict), reverse=True) if _within(one, first, last)]
        return self._entries(key, entries, options)

    def _entries(self, key: bytes, entries: list[tuple[int, int]], options: tuple[bytes, ...]) -> list[Any]:
        most = int(options[1]) if options else len(entries)
        kept = self._kept(key, dict)
        return [[_number(one), kept[one]] for one in entries[:most]]

    def _xdel(self, key: bytes, *numbers: bytes) -> int:
        kept: Stream = self._kept(key, dict)
        return sum(kept.pop(_entry(one), None) is not None for one in numbers)

    def _xtrim(self, key: bytes, *options: bytes) -> int:
        kept: Stream = self._kept(key, dict)
        gone = [one for one in kept if one < _entry(options[-1])]
        for one in gone:
            del kept[one]
        return len(gone)

    def _xack(self, key: bytes, group: bytes, *numbers: bytes) -> int:
        del key, group, numbers
        return 0


def _is_there(one: object) -> bool:
    return one is not None


def _span(start: int, stop: int, count: int) -> int:
    first = max(0, start + count) if start < 0 else start
    last = stop + count if stop < 0 else stop
    return max(0, last - first + 1)


def _bound(text: bytes, infinite: float) -> Callable[[float], bool]:
    """Whether a score is on the inner side of a bound; for the upper bound both are negated."""
    sign = 1.0 if infinite < 0 else -1.0
    if text.startswith(b"("):
        bound = sign * float(text[1:])
        return lambda score: score > bound
    bound = sign * float(text)
    return lambda score: score >= bound


def _score(score: float) -> bytes:
    return b"%d" % score if score == int(score) else repr(score).encode()


def _number(entry: tuple[int, int]) -> bytes:
    return b"%d-%d" % entry


def _entry(number: bytes) -> tuple[int, int]:
    at, _, sequence = number.partition(b"-")
    return int(at), int(sequence or 0)


def _within(entry: tuple[int, int], first: bytes, last: bytes) -> bool:
    if first.startswith(b"("):
        if entry <= _entry(first[1:]):
            return False
    elif first != b"-" and entry < _entry(first):
        return False
    return last == b"+" or entry <= _entry(last)


def _unpack(form: bytes, packed: bytes, at: int) -> int | float:
    value: int | float = struct.unpack_from(_form(form), packed, int(at) - 1)[0]
    return value


def _pack(form: bytes, value: float) -> bytes:
    return struct.pack(_form(form), value if form.endswith(b"d") else int(value))


def _form(form: bytes) -> str:
    return {b">d": ">d", b">I4": ">I", b">I2": ">H"}[form]


def _bytes(value: Any) -> bytes:  # noqa: ANN401  # whatever a command is given
    kind = type(value)
    if kind is bytes:
        return value  # type: ignore[no-any-return]  # its type was looked at, which is quicker
    if kind is int:
        return b"%d" % value
    if kind is float and value == int(value):
        # As Lua writes numbers that are whole.
        return b"%.14g" % value
    return str(value).encode()
