from pathlib import Path

import orjson
import pytest

from service.catalog.adapters.file_block_list import FileBlockList
from service.errors import BlockListFull, ConfigurationError


async def test_what_one_process_blocks_the_next_one_still_blocks(tmp_path: Path) -> None:
    path = tmp_path / "data" / "blocked.json"
    blocked = FileBlockList(path)
    for item_id in ("größe", 'a "quoted" one', "two\nlines", "gone"):
        await blocked.block(item_id)
    await blocked.unblock("gone")
    again = FileBlockList(path)
    assert again.ids() == blocked.ids() == ['a "quoted" one', "größe", "two\nlines"]
    assert [path.name for path in path.parent.iterdir()] == ["blocked.json"]


async def test_so_many_items_can_be_blocked_and_one_that_is_may_be_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.catalog.block_list.MAX_BLOCKED_ITEMS", 2)
    blocked = FileBlockList(tmp_path / "blocked.json")
    for item_id in ("a", "b", "a"):
        await blocked.block(item_id)
    with pytest.raises(BlockListFull, match="at most 2 items can be blocked"):
        await blocked.block("c")
    assert (blocked.ids(), blocked.version) == (["a", "b"], 2)


async def test_a_list_written_by_hand_may_name_ids_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "blocked.json"
    path.write_text('["a", 7, 18446744073709551615]')
    assert FileBlockList(path).ids() == ["18446744073709551615", "7", "a"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "null",
        '{"a": 1}',
        '"a"',
        "[null]",
        "[true]",
        "[1.5]",
        "[NaN]",
        '[["a"]]',
        # One more digit than is read exactly: it would block another id.
        "[184467440737095516150]",
        r'["\ud800"]',
    ],
)
def test_a_file_that_is_no_list_of_ids_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "blocked.json"
    path.write_text(content)
    with pytest.raises(
        ConfigurationError, match=r"DATA_DIR: the block list .*blocked\.json cannot be read: ."
    ) as caught:
        FileBlockList(path)
    assert len(caught.value.problems) == 1


def test_a_file_that_is_not_utf8_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "blocked.json"
    path.write_bytes(orjson.dumps(["größe"]).decode().encode("latin-1"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        FileBlockList(path)
