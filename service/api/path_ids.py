"""Ids in paths: `{user_id:id}`."""

from starlette.convertors import Convertor, register_url_convertor


class _Id(Convertor[str]):
    """Any text; the framework's own ends a path at a slash or does not take a line break."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _Id())
