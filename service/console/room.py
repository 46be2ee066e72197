"""The console as the application gets it: its routes, in their order."""

from typing import Final

from fastapi import APIRouter

from service.console import login, operations, send, template, user

ROUTERS: Final[tuple[APIRouter, ...]] = (
    login.router,
    user.api,
    user.pages,
    template.api,
    template.pages,
    send.api,
    send.pages,
    operations.api,
    operations.pages,
    login.last,
)
"""`login.last` answers what no other does."""
