"""The template that the examples of rules change: a call, a guard, an output."""

from typing import Final

HOST: Final = "https://recommendations.example.com"
URL: Final = HOST + "/recommendations?user_id={{${user_id} | url_param_escape}}"
CALL: Final = "{% connected_content " + URL + " :save r %}"
GUARD: Final = "{% if r[0].name == blank %}{% abort_message('none') %}{% endif %}"
NAME: Final = "{{ r[0].name }}"
PUSH: Final = CALL + GUARD + NAME
MAIL: Final = CALL + GUARD + "<p>{{ r[0].name | escape }}</p>"


def call(*options: str, more: str = "") -> str:
    """The push, with further parameters and options of the call."""
    return "{% connected_content " + URL + more + " :save r " + " ".join(options) + " %}" + GUARD + NAME
