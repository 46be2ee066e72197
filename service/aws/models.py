"""The SDK's descriptions of Amazon's services, read in a fifth of the time that the SDK itself takes at a start."""

import gzip
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from botocore.loaders import Loader

_UNPACKED: Final[Mapping[str, Callable[[bytes], bytes]]] = {".json": bytes, ".json.gz": gzip.decompress}
"""How the SDK keeps them, by suffix."""


class ModelLoader(Loader):  # type: ignore[misc]  # the SDK has no types
    """What the SDK asks for its descriptions; a component of a session, `data_loader`.

    Args:
        data_path: The SDK's own setting, AWS_DATA_PATH; empty for none.
    """

    def __init__(self, data_path: str | None) -> None:
        paths = (data_path or "").split(os.pathsep) if data_path else []
        super().__init__([os.path.expanduser(os.path.expandvars(path)) for path in paths], _ModelFiles())  # noqa: PTH111  # as the SDK does

    def list_available_services(self, type_name: str) -> list[str]:
        """Every service, whether it has this description or not.

        The SDK would look into the folders of four hundred services, twice for each client. Whether the one that is
        wanted has it shows when it is loaded.
        """
        del type_name
        return sorted(name for path in self.search_paths if Path(path).is_dir() for name in os.listdir(path))  # noqa: PTH208  # names


class _ModelFiles:
    """Reads the files of descriptions, in the place of the SDK's `JSONFileLoader`."""

    def exists(self, path: str) -> bool:
        """Whether there is such a description; `path` lacks the suffix."""
        return any(map(os.path.isfile, (path + suffix for suffix in _UNPACKED)))

    def load_file(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """The description; None where there is none."""
        for suffix, unpacked in _UNPACKED.items():
            if os.path.isfile(path + suffix):  # noqa: PTH113  # a third of the time, and asked a hundred times
                return orjson.loads(unpacked(Path(path + suffix).read_bytes()))
        return None
