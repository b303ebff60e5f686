"""Who may see and do what: host names, the token and its cookie, forms of our own only, headers on every answer.

Nothing here knows the job table.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .settings import DashboardSettings

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, browsers send forms with `Origin: null`
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
PUBLIC = ("/static/", "/login")
"""What is answered without a token: the style sheet of the page that asks for it, and that page."""
COOKIE_SECS = 30 * 86400
WRONG_TOKEN_SECS = 0.3
"""An answer to a wrong token takes so long: no guessing by thousands."""


class Guard:
    """ASGI middleware around the whole server: refuses foreign host names and strangers, sets the headers."""

    def __init__(self, app: ASGIApp, settings: DashboardSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refusal(request := Request(scope))
        if answer is not None and offers_token(request):
            await asyncio.sleep(WRONG_TOKEN_SECS)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if not is_known_host(request.headers.get("host", ""), self._settings):
            return refusal(request, 421, "This server is not known under that name; start it with --allow-host NAME.")
        if request.scope["path"].startswith(PUBLIC) or is_admitted(request, self._settings):
            return None
        offered = request.query_params.get("token")
        if offered is not None and request.method in ("GET", "HEAD") and is_token(offered, self._settings):
            return admit(request, self._settings, without_token(request))
        if wants_page(request) and request.method == "GET":
            return RedirectResponse("/login", 303)
        return refusal(request, 401, "A token is needed.")


def is_known_host(header: str, settings: DashboardSettings) -> bool:
    """Tell whether a Host header names this server.

    A page elsewhere can make its own name point here (DNS rebinding), but never an address or a name that we know.
    """
    host = _host_of(header)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        own = {"localhost", socket.gethostname().lower(), settings.host.lower()}
        return bool(host) and host in own | {name.lower() for name in settings.hosts}
    return True


def _host_of(header: str) -> str:
    """Return the name in a Host header without its port, in small letters; empty if that is not one."""
    try:
        parts = urlsplit(f"//{header}")
        has_more = "@" in header or bool(parts.path or parts.query or parts.fragment)
        return "" if has_more or parts.port == 0 else parts.hostname or ""
    except ValueError:
        return ""


def is_admitted(request: HTTPConnection, settings: DashboardSettings) -> bool:
    """Tell whether the sender has shown the token: as a cookie, or as `Authorization: Bearer`."""
    if settings.token is None:
        return True
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and is_token(bearer.strip(), settings):
        return True
    cookie = request.cookies.get(_cookie_name(request), "")
    return hmac.compare_digest(cookie.encode(), _cookie(settings.token).encode())


def offers_token(request: Request) -> bool:
    """Tell whether the sender brought a token, right or wrong."""
    return "authorization" in request.headers or "token" in request.query_params


def is_token(offered: str, settings: DashboardSettings) -> bool:
    """Compare with the token in a time that does not depend on where they differ."""
    wanted = hashlib.sha256((settings.token or "").encode()).digest()
    given = hashlib.sha256(offered.encode("utf-8", "surrogateescape")).digest()
    return settings.token is not None and hmac.compare_digest(given, wanted)


def admit(request: Request, settings: DashboardSettings, to: str) -> Response:
    """Return the answer that gives the cookie and goes to `to`, so that no token stays in the address line."""
    answer = RedirectResponse(to, 303)
    answer.set_cookie(
        _cookie_name(request),
        _cookie(settings.token or ""),
        max_age=COOKIE_SECS,
        httponly=True,
        samesite="lax",  # strict would be lost on the way from a link in a message
        secure=request.url.scheme == "https",
    )
    return answer


def _cookie_name(request: HTTPConnection) -> str:
    """Cookies do not tell ports apart; two servers of one machine must not overwrite each other's."""
    return f"ugatit-{request.url.port or 80}"


def _cookie(token: str) -> str:
    """Return what the cookie holds: it proves the token and does not tell it."""
    return hmac.new(token.encode(), b"cookie", hashlib.sha256).hexdigest()


def without_token(request: Request) -> str:
    """Return path and query of a request, less the token."""
    rest = request.url.remove_query_params("token")
    path = "/" + rest.path.lstrip("/\\")  # `//elsewhere` would lead away
    return path + (f"?{rest.query}" if rest.query else "")


def form_mark(settings: DashboardSettings) -> str:
    """Return what every form carries; only who may read our pages can know it."""
    return hmac.new(settings.form_key, b"form", hashlib.sha256).hexdigest()


def is_own_form(headers: Headers, mark: str, settings: DashboardSettings) -> bool:
    """Tell whether a POST comes from a page of this server.

    The browser's own words are checked where it says them (Sec-Fetch-Site, Origin), the form's mark always.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return False
    return hmac.compare_digest(mark.encode("utf-8", "surrogateescape"), form_mark(settings).encode())


def wants_page(request: Request) -> bool:
    """Tell whether the answer is for a person."""
    return "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")


def refusal(request: Request, status: int, message: str) -> Response:
    """Return a refusal that tells nothing but its reason."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": message}, status, headers=headers)
