"""The page User: what a user gets and why."""

from fastapi import APIRouter, Request, Response

from service.console.routes import ApiRoute, PageRoute, render

pages = APIRouter(route_class=PageRoute, include_in_schema=False)
api = APIRouter(route_class=ApiRoute, include_in_schema=False)


@pages.get("/console")
@pages.get("/console/")
async def user_page(request: Request) -> Response:
    """What a user did, and what they get."""
    return render(request, "user.html")
