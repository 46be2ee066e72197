"""The console at the front door that tests of the API have."""

from tests.api.conftest import catalog_file, open_door

__all__ = ["catalog_file", "open_door"]
