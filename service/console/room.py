"""The console as the application gets it: its routes, in their order."""

from typing import Final

from fastapi import APIRouter

from service.console import login, operations, user

ROUTERS: Final[tuple[APIRouter, ...]] = (
    login.router,
    user.api,
    user.pages,
    operations.api,
    operations.pages,
    login.last,
)
"""`login.last` answers what no other does."""
