"""The console: pages for people who look after sends, at `/console`.

Nothing of it is imported while `CONSOLE_ACCESS` is off, and only `wiring/console.py` knows it. It stands behind the
hit lane and after all other routes, so calls cost what they cost without it.

How a page is added:

1. `service/console/NAME.py` with two routers, `pages = APIRouter(route_class=PageRoute, include_in_schema=False)` and
   `api` with `ApiRoute`, of `service.console.routes`. A page's endpoint takes the request and returns
   `render(request, "NAME.html", ...)`. What the page asks for is under `/console/api/NAME...`. What names a user or
   changes anything is a POST: a path may be logged, and a body never is. `PageRoute` shows the login or an error page,
   `ApiRoute` answers JSON. Both ask for the session, and for the token of every POST.
2. `service/console/templates/NAME.html`, which extends `base.html` and sets `here` to its name in the navigation. Jinja
   escapes every value. No inline script, style or handler: the policy forbids them.
3. `service/console/static/NAME.js`, an ES module that begins with `import { post, ... } from "./console.js"`. It builds
   elements with `make()`, which sets text and never HTML. The template loads it in its block `head`:
   `<script type="module" src="{{ static }}/NAME.js"></script>`.
4. A line in `NAVIGATION` of `service/console/pages.py`, and the two routers in `ROUTERS` of `service/console/room.py`.

What a page asks of the running service it gets from `services_of(request)`, and what only the console keeps from
`console_of(request)`.
"""
