"""Renders a template as Braze does: the room `service/braze` with a caller that really fetches."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from service.braze.adapters.http import ServiceCaller
from service.braze.engine import render as render_job
from service.braze.ports import Job
from service.braze.tags import MessageAborted

TRIGGER = {"event_properties": {"product_id": "kettle-copper"}}
"""What the event says that triggers a message."""

__all__ = ["MessageAborted", "render"]


def render(template: str, credentials: Mapping[str, Mapping[str, str]] | None = None, **attributes: str) -> str:
    """A message of one user, whose attributes the template names as `${name}`.

    Args:
        template: As it stands in Braze, with the address of a service on loopback in its first call.
        credentials: Headers that `:basic_auth NAME` or `:auth_credentials NAME` sends, by name.
        attributes: The user's.

    Raises:
        MessageAborted: The template called `abort_message`.
    """
    [address, *_] = re.findall(r"http://127\.0\.0\.1:\d+", template)
    assert urlsplit(address).hostname == "127.0.0.1"
    message = render_job(Job(template, attributes, TRIGGER), ServiceCaller(address, credentials))
    if message.aborted is not None:
        raise MessageAborted(message.aborted)
    return message.text
