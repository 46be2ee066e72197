"""The console at the front door that tests of the API have."""

from tests.api.conftest import catalog_file, newcomers_ask_first, open_door, redis_has_time

__all__ = ["catalog_file", "newcomers_ask_first", "open_door", "redis_has_time"]
