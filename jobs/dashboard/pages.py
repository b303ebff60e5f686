"""The pages: what a template gets, and which one."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..errors import JobNotFoundError
from . import words
from .figures import report_of
from .guard import form_mark
from .health_view import HealthView
from .reading import PAGE_SIZE, Reader
from .settings import DashboardSettings
from .views import TILES, configuration, paths, view_links

HERE = Path(__file__).parent
_MOST_REPORT_CHARACTERS = 200_000


class Pages:
    """Renders every page of one server."""

    def __init__(self, reader: Reader, settings: DashboardSettings) -> None:
        self._reader, self._settings = reader, settings
        self._templates = _environment()

    async def index(self, request: Request) -> Response:
        """Show what happens now, what comes, what went wrong and what is done."""
        overview, health = await run_in_threadpool(lambda: (self._reader.overview(), self._reader.health()))
        return self._show(
            request,
            "index.html",
            health,
            title=_title(overview.counts),
            **vars(overview),
            more_queued=overview.counts["queued"] if overview.counts["queued"] > len(overview.queued) else 0,
            more_waiting=overview.counts["blocked"] + overview.counts["settling"] > len(overview.waiting),
            idle=_idle(overview.counts, health),
        )

    async def jobs(self, request: Request) -> Response:
        """Show one page of one list."""
        state = request.query_params.get("state", "queued")
        if state not in TILES:
            return self.message("No such list", f"Jobs are in one of these: {', '.join(TILES)}.", 404)
        tiles, health = await run_in_threadpool(lambda: (self._reader.tiles(), self._reader.health()))
        total = next(tile.number for tile in tiles if tile.state == state)
        pages = max(1, -(-total // PAGE_SIZE))
        number = min(page_number(request), pages)
        jobs = await run_in_threadpool(self._reader.page, state, number)
        shown = {"tiles": tiles, "jobs": jobs, "state": state, "page": number, "pages": pages, "word": state}
        return self._show(request, "list.html", health, title=f"{state.capitalize()} · ugatit", **shown)

    async def job(self, request: Request) -> Response:
        """Show everything about one job."""
        job_id = request.path_params["job_id"]
        try:
            shown = await run_in_threadpool(self._job, job_id)
        except JobNotFoundError:
            return self.message("No such job", f"There is no job {job_id}; it may have been purged.", 404)
        health = await run_in_threadpool(self._reader.health)
        return self._show(request, "job.html", health, title=f"{shown['job'].name} · ugatit", **shown)

    async def health(self, request: Request) -> Response:
        """Show how daemon, folders and workers are."""
        health = await run_in_threadpool(self._reader.health)
        return self._show(request, "health.html", health, title=f"{health.word} · ugatit")

    def login(self, message: str = "", status: int = 200) -> Response:
        """Ask for the token."""
        return self._render("login.html", status, title="ugatit", message=message)

    def message(self, heading: str, message: str, status: int) -> Response:
        """Say one thing; a page that may come back with what is missing looks again by itself."""
        shown = {"title": f"{heading} · ugatit", "heading": heading, "message": words.sentence(message)}
        return self._render("message.html", status, is_passing=status == 503, **shown)

    def _job(self, job_id: int) -> dict[str, Any]:
        job = self._reader.job(job_id)
        view = self._reader.view(job, self._reader.statuses())
        moves, num_hidden = self._reader.history(job_id)
        told, rest = configuration(job)
        report = _indented(job.report) if report_of(job) else ""
        return {
            "job": view,
            "moves": moves,
            "hidden_moves": num_hidden,
            "paths": paths(job),
            "links": view_links(self._reader.links(job_id)),
            "configuration": told,
            "defaults": rest,
            "report": report,
        }

    def _show(self, request: Request, template: str, health: HealthView, **shown: Any) -> Response:
        query = f"?{request.scope['query_string'].decode('ascii', 'replace')}" if request.scope["query_string"] else ""
        return self._render(
            template,
            200,
            health=health,
            may_act=self._settings.allow_actions,
            form_mark=form_mark(self._settings) if self._settings.allow_actions else "",
            back=request.scope["path"] + query,
            **shown,
        )

    def _render(self, template: str, status: int, **shown: Any) -> Response:
        text = self._templates.get_template(template).render(static_version=static_version(), **shown)
        return HTMLResponse(text.encode("utf-8", "backslashreplace"), status)


def page_number(request: Request) -> int:
    """Return which page of a list is asked for, from 1."""
    text = request.query_params.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


@cache
def static_version() -> str:
    """Return something that changes when the style sheet or the script does: browsers may keep them until then."""
    digest = hashlib.sha256()
    for path in sorted((HERE / "static").iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for write in (words.clock, words.machine_time, words.count, words.plural):
        environment.filters[write.__name__] = write
    return environment


def _title(counts: dict[str, int]) -> str:
    """Tabs show this: what one wants to know without looking."""
    parts = [f"{counts[state]} {state}" for state in ("running", "queued", "failed") if counts[state]]
    return " · ".join([", ".join(parts) or "all done", "ugatit"])


def _idle(counts: dict[str, int], health: HealthView) -> str:
    if health.is_paused:
        return "Paused."
    if counts["queued"]:
        return "Nothing is being worked on at this moment." if health.tone != "bad" else "The queue waits for `watch`."
    return "Nothing to do. Drop a video or a picture into the watch folder."


def _indented(report: str | None) -> str:
    return words.shown_text(report or "")[:_MOST_REPORT_CHARACTERS]
