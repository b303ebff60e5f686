"""The server as an ASGI application: addresses, and what answers them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from ..errors import JobNotFoundError, JobsError, MoveError, StoreError
from . import actions
from .api import Api
from .forms import own_path, read_form
from .guard import WRONG_TOKEN_SECS, Guard, admit, is_own_form, is_token, wants_page
from .live import News
from .pages import Pages
from .reading import PAGE_SIZE, SIDES, Reader
from .settings import DashboardSettings

logger = logging.getLogger(__name__)


class JobNumber(IntegerConvertor):
    """A number in an address that SQLite can hold."""

    regex = "[1-9][0-9]{0,17}"


register_url_convertor("number", JobNumber())


def build_app(settings: DashboardSettings, is_closing: Callable[[], bool] = lambda: False) -> ASGIApp:
    """Return the application for one state folder; nothing is read before the first request.

    Args:
        settings: where the table lies, and who may do what.
        is_closing: tells whether open connections shall end.
    """
    reader = Reader(settings.state_dir)
    desk = Desk(reader, settings, News(reader, is_closing))
    api, pages = Api(reader), desk.pages
    app = Starlette(
        routes=[
            Route("/", pages.index),
            Route("/jobs", pages.jobs),
            Route("/jobs/{job_id:number}", pages.job),
            Route("/jobs/{job_id:number}/{verb:str}", desk.act, methods=["POST"]),
            Route("/jobs/retry", desk.retry_all, methods=["POST"]),
            Route("/pause", desk.pause, methods=["POST"]),
            Route("/resume", desk.resume, methods=["POST"]),
            Route("/health", pages.health),
            Route("/thumbs/{job_id:number}/{side:str}", desk.thumb),
            Route("/events", desk.events),
            Route("/login", desk.login, methods=["GET", "POST"]),
            Route("/api/jobs", api.jobs),
            Route("/api/jobs/{job_id:number}", api.job),
            Route("/api/health", api.health),
            Mount("/static", Static(directory=Path(__file__).parent / "static")),
        ],
        exception_handlers={JobsError: desk.trouble, HTTPException: desk.unknown},
    )
    return Guard(app, settings)  # around everything: also an answer that nobody foresaw gets the headers


class Static(StaticFiles):
    """The style sheet and the script; their addresses change with their content."""

    async def get_response(self, path: str, scope: object) -> Response:  # type: ignore[override]
        """Return a file that browsers may keep for a day."""
        answer = await super().get_response(path, scope)  # type: ignore[arg-type]
        answer.headers["Cache-Control"] = "max-age=86400"
        return answer


class Desk:
    """What answers besides pages and JSON."""

    def __init__(self, reader: Reader, settings: DashboardSettings, news: News) -> None:
        self._reader, self._settings, self._news = reader, settings, news
        self.pages = Pages(reader, settings)

    async def events(self, request: Request) -> Response:
        """Send news as they come."""
        if self._news.is_full:
            return JSONResponse({"error": "too many pages are open."}, 503)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(self._news.listen(), media_type="text/event-stream", headers=headers)

    async def thumb(self, request: Request) -> Response:
        """Send a thumbnail, by the job's number and nothing else."""
        side = request.path_params["side"]
        data = None
        if side in SIDES:
            data = await run_in_threadpool(self._reader.thumb, request.path_params["job_id"], side)
        if data is None:
            raise HTTPException(404)
        headers = {"Cache-Control": "private, max-age=86400, immutable"}
        return Response(data, media_type="image/jpeg", headers=headers)

    async def login(self, request: Request) -> Response:
        """Ask for the token; take it and give the cookie."""
        if self._settings.token is None:
            return RedirectResponse("/", 303)
        if request.method != "POST":
            return self.pages.login()
        form = await read_form(request) or {}
        if not is_token(form.get("token", ""), self._settings):
            await asyncio.sleep(WRONG_TOKEN_SECS)
            logger.warning("Somebody at %s gave a wrong token.", request.client.host if request.client else "?")
            return self.pages.login("That is not the token.", 403)
        return admit(request, self._settings, "/")

    async def act(self, request: Request) -> Response:
        """Do what a button of a job says, and go back to the page it was on."""
        verb, job_id = request.path_params["verb"], request.path_params["job_id"]
        if verb not in actions.OF_ONE_JOB:
            raise HTTPException(404)
        form = await self._own_form(request)
        try:
            await run_in_threadpool(actions.act, self._settings.state_dir, verb, job_id)
        except JobNotFoundError:
            raise HTTPException(404) from None
        except MoveError as error:
            return self.pages.message("Too late", f"That could not be done: {error}", 409)
        logger.info("Job %d: %s, by the status page.", job_id, verb)
        return RedirectResponse(own_path(form.get("back", "/")), 303)

    async def retry_all(self, request: Request) -> Response:
        """Try again what a page of failed jobs shows."""
        form = await self._own_form(request)
        numbers = [int(each) for each in form.get("ids", "").split() if each.isdigit() and each.isascii()]
        num_retried = await run_in_threadpool(actions.retry_all, self._settings.state_dir, numbers[:PAGE_SIZE])
        logger.info("%d jobs are tried again, by the status page.", num_retried)
        return RedirectResponse(own_path(form.get("back", "/")), 303)

    async def pause(self, request: Request) -> Response:
        """Let nothing new be begun."""
        return await self._pause(request, is_paused=True)

    async def resume(self, request: Request) -> Response:
        """Let jobs be begun again."""
        return await self._pause(request, is_paused=False)

    async def _pause(self, request: Request, *, is_paused: bool) -> Response:
        form = await self._own_form(request)
        await run_in_threadpool(actions.pause, self._settings.state_dir, is_paused)
        logger.info("%s by the status page.", "Paused" if is_paused else "Resumed")
        return RedirectResponse(own_path(form.get("back", "/")), 303)

    async def _own_form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form of ours, or refuse."""
        if not self._settings.allow_actions:
            raise HTTPException(403, "This page is read only; start the server with --allow-actions.")
        form = await read_form(request)
        if form is None or not is_own_form(request.headers, form.get("mark", ""), self._settings):
            raise HTTPException(403, "That form is not of this page, or older than the server; reload and try again.")
        return form

    async def trouble(self, request: Request, error: Exception) -> Response:
        """Say that the table cannot be used, as a page that tries again."""
        status = 503 if isinstance(error, StoreError) else 500
        if wants_page(request):
            return self.pages.message("The job table cannot be read", str(error), status)
        return JSONResponse({"error": str(error)}, status)

    async def unknown(self, request: Request, error: Exception) -> Response:
        """Say that there is nothing, or that it is not allowed."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) else ""
        if wants_page(request):
            return self.pages.message({404: "Nothing here", 403: "Not allowed"}.get(status, "Sorry"), detail, status)
        return JSONResponse({"error": detail}, status)
