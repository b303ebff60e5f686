"""What the server of the status page is told: where the table lies, where it listens, who may do what."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DashboardError

DEFAULT_BIND = "127.0.0.1:8080"
MIN_TOKEN_CHARACTERS = 8
LONGEST_TOKEN_CHARACTERS = 512


@dataclass(frozen=True)
class DashboardSettings:
    """Everything the server needs to know."""

    state_dir: Path
    """Folder of the job table, usually OUT/.ugatit."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8080
    """Port to listen on; 0 takes a free one."""
    token: str | None = None
    """Who does not know it sees nothing; None: whoever reaches the port may look."""
    allow_actions: bool = False
    """Retry, cancel, hold and pause are offered; otherwise the table is only read."""
    hosts: frozenset[str] = frozenset()
    """Names under which the server is reached besides addresses, `localhost` and the machine's own name."""
    form_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    """Signs forms, so that only pages of this server can act."""

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach the server."""
        return is_loopback(self.host)


def parse_bind(text: str) -> tuple[str, int]:
    """Read `ADDRESS:PORT`, `:PORT` (this machine only), `PORT` or `[ADDRESS]:PORT`.

    Raises:
        DashboardError: it is none of these.
    """
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 65536) or any(c in host for c in "/@ []"):
        raise DashboardError(f'cannot listen on "{text}"; give an address and a port like {DEFAULT_BIND} or :8080.')
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine only; a name other than `localhost` is not trusted to."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secured(settings: DashboardSettings) -> DashboardSettings:
    """Return the settings with a token where one is needed: made up if the server can be reached from elsewhere.

    Raises:
        DashboardError: the token is too short to keep anybody out, or not plain text.
    """
    if settings.token is None:
        return settings if settings.is_loopback else replace(settings, token=secrets.token_urlsafe(24))
    token = settings.token
    if not MIN_TOKEN_CHARACTERS <= len(token) <= LONGEST_TOKEN_CHARACTERS or not token.isascii() or " " in token:
        raise DashboardError(
            f"the dashboard's token must have {MIN_TOKEN_CHARACTERS} to {LONGEST_TOKEN_CHARACTERS} characters of ASCII "
            "without blanks; leave it out to have one made."
        )
    return settings


def address(settings: DashboardSettings, port: int | None = None) -> str:
    """Return the address for a browser; for a server on all interfaces that of this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port or settings.port}/"
