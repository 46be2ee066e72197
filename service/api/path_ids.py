"""Ids in paths: `{user_id:id}`."""

from starlette.convertors import Convertor, register_url_convertor


class _Id(Convertor[str]):
    """Any text without the blanks around it; the framework's own ends at a slash or takes no line break."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value.strip()

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _Id())
