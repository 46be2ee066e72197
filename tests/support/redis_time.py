"""A Redis whose clock the test owns: the scripts are the service's own, but for where they read the time."""

from pathlib import Path
from typing import Final

import pytest
import redis

from service.fleet.client import RedisClient
from service.fleet.script import Answers, Script
from tests.support.clocks import StandingClock
from tests.support.redis import RedisServer
from tests.support.virtual_time import EPOCH

_KEY: Final = "test:time"
_READS_TIME: Final = "redis.call('TIME')"
_READS_KEY: Final = f"redis.call('LRANGE', '{_KEY}', 0, 1)"


class RedisTime:
    """One time for the replicas of a test and for their Redis. It stands still until it is moved.

    What Redis itself lets expire goes by its own clock; no test lasts long enough for that.
    """

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.clock = StandingClock()
        self.redis_fast_seconds = 0.0
        self._client = redis.Redis(port=server.port)
        self.move_to(0.0)

    def move_to(self, seconds: float) -> None:
        """Let it be this many seconds after the test began; a Redis that is down hears of it when it is started."""
        self.clock.now = seconds
        if self.server.is_running:
            microseconds = round((EPOCH + seconds + self.redis_fast_seconds) * 1e6)
            with self._client.pipeline() as pipe:
                pipe.delete(_KEY)
                pipe.rpush(_KEY, microseconds // 1_000_000, microseconds % 1_000_000)
                pipe.execute()

    def move(self, seconds: float) -> None:
        """Let it be so much later."""
        self.move_to(self.clock.now + seconds)

    def set_redis_clock(self, seconds: float) -> None:
        """Somebody sets Redis's clock, forward or back; the replicas' own goes on as before."""
        self.redis_fast_seconds += seconds
        self.move(0.0)

    def kill_redis(self) -> None:
        """It forgets everything."""
        self.server.kill()
        self._client.close()

    def start_redis(self) -> None:
        """It is empty."""
        self.server.start()
        self.move(0.0)

    def empty_redis(self) -> None:
        """It forgets everything and goes on."""
        self._client.flushall()
        self.move(0.0)

    def close(self) -> None:
        """Give back the connection."""
        self._client.close()


def use_redis_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every script that is registered from now on read the time of a `RedisTime`."""

    def script(client: RedisClient, path: Path, answers: Answers) -> Script:
        return Script(lambda: client.scripts, path.read_text("utf-8").replace(_READS_TIME, _READS_KEY), answers)

    monkeypatch.setattr(RedisClient, "script", script)
