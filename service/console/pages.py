"""What every page of the console has: its frame, its navigation, and a policy that lets nothing in from outside."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi import Response
from starlette.exceptions import HTTPException

from service.console.access import Visit

if TYPE_CHECKING:  # loaded with the first page
    from jinja2 import Environment

PATH: Final = "/console"

HERE: Final = Path(__file__).parent

TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""Of the files that pages load."""

DIGEST_CHARACTERS: Final = 12


class Link(NamedTuple):
    """A page in the navigation."""

    name: str
    path: str
    """Below `/console`."""


NAVIGATION: Final = (
    Link("User", ""),
    Link("Template", "/template"),
    Link("Send", "/send"),
    Link("Operations", "/operations"),
)
"""In the order in which they are shown."""


def policy(*, inline_styles: bool = False) -> str:
    """The Content-Security-Policy of a page.

    Pictures come from the shop's own hosts, whichever they are; all else from here.

    Args:
        inline_styles: For a page that shows mail in a frame (`srcdoc`, `sandbox`): the frame inherits this policy, and
            mail has its styles in its elements. No script runs in it either way.
    """
    styles = "'self' 'unsafe-inline'" if inline_styles else "'self'"
    return (
        f"default-src 'self'; script-src 'self'; style-src {styles}; img-src 'self' http: https: data:; "
        "connect-src 'self'; frame-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    )


_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Pages:
    """Renders pages, and has their files.

    Args:
        root_path: The prefix under which a proxy passes all paths on.
    """

    def __init__(self, root_path: str) -> None:
        self.root = f"{root_path}{PATH}"

    @cached_property
    def _environment(self) -> "Environment":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  # most replicas show no page

        return Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    @cached_property
    def files(self) -> dict[str, bytes]:
        """The files that pages load, by name; read with the first page."""
        return {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir()) if path.suffix in TYPES}

    @cached_property
    def digest(self) -> str:
        """Changes with any of the files: it is in their addresses, so browsers may keep them."""
        digest = hashlib.blake2b()
        for name, content in self.files.items():
            digest.update(name.encode() + b"\0" + content)
        return digest.hexdigest()[:DIGEST_CHARACTERS]

    def file(self, digest: str, name: str) -> Response:
        """A file.

        Raises:
            HTTPException: There is none of this name; 404.
        """
        if name not in self.files:
            raise HTTPException(404)
        # Of another version's page, during an update, it is good for once.
        lasting = "public, max-age=31536000, immutable" if digest == self.digest else "no-store"
        headers = {**_HEADERS, "Cache-Control": lasting}
        return Response(self.files[name], media_type=TYPES[Path(name).suffix], headers=headers)

    def render(
        self,
        template: str,
        visit: Visit,
        *,
        status: int = 200,
        inline_styles: bool = False,
        is_open: bool,
        **values: Any,  # noqa: ANN401  # whatever the template wants
    ) -> Response:
        """A page.

        Args:
            template: Name of a file in `templates/`.
            visit: Who sees it.
            status: Of the answer.
            inline_styles: See `policy`.
            is_open: Whether nobody has to log in.
            values: What the template shows.
        """
        body = self._environment.get_template(template).render(
            root=self.root,
            static=f"{self.root}/static/{self.digest}",
            navigation=NAVIGATION,
            token=visit.token,
            entered=visit.entered,
            is_open=is_open,
            **values,
        )
        headers = {**_HEADERS, "Content-Security-Policy": policy(inline_styles=inline_styles)}
        return Response(body, status, media_type="text/html", headers=headers)
