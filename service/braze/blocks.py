"""Content Blocks from a folder."""

from pathlib import Path
from typing import Final

from service.errors import ConfigurationError

SUFFIXES: Final = (".liquid", ".html", ".txt")


def read_blocks(folder: Path) -> dict[str, str]:
    """The blocks by name: `footer.liquid` is `{{content_blocks.${footer}}}`.

    Raises:
        ConfigurationError: A file is not UTF-8, or two files have one name.
    """
    blocks: dict[str, str] = {}
    for path in sorted(one for one in folder.iterdir() if one.suffix in SUFFIXES and one.is_file()):
        if path.stem in blocks:
            raise ConfigurationError(f"{path}: there are two Content Blocks {path.stem!r}")
        try:
            blocks[path.stem] = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path}: is not UTF-8") from error
    return blocks
