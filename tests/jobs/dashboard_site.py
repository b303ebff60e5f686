"""The status page of a made table, asked in-process; and forms as its pages send them."""

import asyncio
import io
import re
import threading
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from jobs.dashboard.app import build_app
from jobs.dashboard.settings import DashboardSettings
from jobs.store import JobStore, open_store

ADDRESS = "http://127.0.0.1:8080"
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Site:
    """A table, open for writing, and the server that shows it."""

    state: Path
    choices: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store: JobStore = open_store(self.state / "jobs.sqlite")
        self.settings = DashboardSettings(self.state, **self.choices)
        self.closing = threading.Event()
        self.app = build_app(self.settings, self.closing.is_set)

    def ask(self, method: str, path: str, quiet: bool = False, **more: Any) -> httpx.Response:
        """Send one request; redirects are not followed. `quiet` takes an answer to a bug for an answer."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=not quiet)
            async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
                return await client.request(method, path, **more)

        return asyncio.run(send())

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page as a browser does."""
        return self.ask("GET", path, headers={"accept": "text/html"} | headers)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """Send a form as one of our own pages does: its mark is taken from a page, unless the form has another."""
        own = {"sec-fetch-site": "same-origin", "origin": ADDRESS, "accept": "text/html"}
        data = {"mark": self.mark(), "back": "/"} | (form or {})
        return self.ask("POST", path, data=data, headers=own | headers)

    def mark(self) -> str:
        """The mark in the forms of the first page; empty where it has none."""
        found = re.search(r'name="mark" value="(\w+)"', self.get("/").text)
        return found[1] if found else ""

    def add_thumbnail(self, job_id: int, side: str = "before") -> bytes:
        """Write a thumbnail as a worker does."""
        folder = self.state / "thumbnails"
        folder.mkdir(exist_ok=True)
        picture = io.BytesIO()
        Image.new("RGB", (48, 32), (200, 120, 60)).save(picture, "JPEG")
        (folder / f"{job_id}-{side}.jpg").write_bytes(picture.getvalue())
        return picture.getvalue()


class Elements(HTMLParser):
    """All elements of a page, by name, with their attributes; and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of that name."""
        return [attributes for name, attributes in self.found if name == tag]

    @property
    def text(self) -> str:
        """What a person reads."""
        return " ".join(" ".join(self.words).split())
