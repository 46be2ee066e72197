"""Who is at the console: whether they may enter, and which cookie they have."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from service.clock import Clock
from service.console.sessions import SESSION_SECONDS, VISIT_SECONDS, Sessions, signing_key_of
from service.credentials import Access
from service.hosts import is_own

SESSION_COOKIE: Final = "personalize_connect_session"
"""Of somebody who has logged in."""

VISIT_COOKIE: Final = "personalize_connect_visit"
"""Of somebody who has not, or need not. It is another one, because a link from elsewhere comes without the session's
cookie: the login page that it leads to must not overwrite that."""

SAFE_FROM: Final = frozenset({"", "none", "same-origin"})
"""Values of Sec-Fetch-Site with which a POST is looked at; empty where a browser sends none."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody.

    Attributes:
        entered: Whether they may see the console.
        cookie: Their session, or what they have without one.
        token: What every POST of theirs has to bring.
        is_new: Whether the answer has to set the cookie.
    """

    entered: bool
    cookie: str
    token: str
    is_new: bool


NOBODY: Final = Visit(False, "", "", False)
"""Somebody who only hears why they may not come in."""


class Reception:
    """Knows who has logged in.

    Args:
        access: `open` lets everybody in.
        secret: CONSOLE_SECRET; empty if there is none.
        admin_keys: As they are written.
        hosts: Names of this service under which an open console answers, beside addresses and localhost.
        path: Of the console, with a proxy's prefix; the cookies go nowhere else.
        clock: Tells the age of sessions.
    """

    def __init__(
        self,
        *,
        access: Access,
        secret: str,
        admin_keys: Sequence[str],
        hosts: Collection[str],
        path: str,
        clock: Clock,
    ) -> None:
        key = signing_key_of(secret, admin_keys)
        self.is_open = access == "open"
        self.has_key = bool(admin_keys)
        self.is_shared = key is not None
        """Whether other replicas, and this one after a restart, know the sessions."""
        self._hosts = hosts
        self._path = path
        key = key or secrets.token_bytes(32)
        self._sessions = Sessions(key, "session", clock, SESSION_SECONDS)
        self._visits = Sessions(key, "visit", clock, VISIT_SECONDS)

    def answers_under(self, host: str) -> bool:
        """Whether somebody is answered who uses this `Host`.

        Where nobody logs in, a stranger's page whose name leads here would be answered (`service.hosts`). Where people
        do, its browser has no session for that name.
        """
        return not self.is_open or is_own(host, self._hosts)

    def visit_of(self, request: Request) -> Visit:
        """Who sends this request."""
        session = request.cookies.get(SESSION_COOKIE, "")
        if not self.is_open and self._sessions.knows(session):
            return Visit(True, session, self._sessions.token_of(session), False)
        visit = request.cookies.get(VISIT_COOKIE, "")
        is_known = self._visits.knows(visit)
        if not is_known:
            visit = self._visits.new()
        return Visit(self.is_open, visit, self._visits.token_of(visit), not is_known)

    def may_post(self, request: Request, visit: Visit, token: str) -> bool:
        """Whether a POST comes from a page of ours that this visitor sees."""
        if visit.is_new or request.headers.get("sec-fetch-site", "") not in SAFE_FROM:
            return False
        kept = self._visits if self.is_open or not visit.entered else self._sessions
        return kept.goes_with(token, visit.cookie)

    def keep_visit(self, request: Request, response: Response, visit: Visit) -> None:
        """Let the browser keep its visit, where it has none."""
        if visit.is_new:
            self._set(request, response, VISIT_COOKIE, visit.cookie, VISIT_SECONDS)

    def log_in(self, request: Request, response: Response) -> None:
        """Begin a session; who it is has been asked."""
        self._set(request, response, SESSION_COOKIE, self._sessions.new(), SESSION_SECONDS)

    def log_out(self, request: Request, response: Response) -> None:
        """Let the browser forget its session and its visit."""
        for name in (SESSION_COOKIE, VISIT_COOKIE):
            self._set(request, response, name, "", 0)

    def _set(self, request: Request, response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name,
            value,
            max_age=seconds,
            path=self._path,
            secure=_is_https(request),
            httponly=True,
            samesite="strict",
        )


def _is_https(request: Request) -> bool:
    """Whether the browser speaks HTTPS, to us or to a proxy in between."""
    # Who makes the header up keeps only their own browser from sending the cookie.
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").lower())
