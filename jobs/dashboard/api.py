"""The same as the pages, as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import JobNotFoundError
from ..job import Job
from ..progress_file import WorkerStatus
from ..rows import to_record
from .figures import report_of
from .pages import page_number
from .reading import PAGE_SIZE, Reader
from .views import TILES

MOST_ROWS = 500


class PlainJSON(Response):
    """JSON in ASCII: also a file name that is not UTF-8 comes through, as an escaped surrogate."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, ensure_ascii=True, allow_nan=False, default=str).encode("ascii")


class Api:
    """Answers under /api/."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def jobs(self, request: Request) -> Response:
        """Return one page of the jobs of a state: `?state=queued&page=1&size=50`; without a state the counts only."""
        counts = {tile.state: tile.number for tile in await run_in_threadpool(self._reader.tiles)}
        state = request.query_params.get("state")
        if state is None:
            return PlainJSON({"counts": counts, "states": list(TILES)})
        if state not in TILES:
            return JSONResponse({"error": f"state must be one of: {', '.join(TILES)}."}, 400)
        number, size = page_number(request), _size(request)
        jobs = await run_in_threadpool(self._reader.jobs, state, number, size)
        statuses = await run_in_threadpool(self._reader.statuses)
        rows = [record(job, statuses.get(job.id)) for job in jobs]
        return PlainJSON({"counts": counts, "state": state, "page": number, "size": size, "jobs": rows})

    async def job(self, request: Request) -> Response:
        """Return everything about one job."""
        job_id = request.path_params["job_id"]
        try:
            job = await run_in_threadpool(self._reader.job, job_id)
        except JobNotFoundError as error:
            return JSONResponse({"error": str(error)}, 404)
        moves, _ = await run_in_threadpool(self._reader.history, job_id)
        statuses = await run_in_threadpool(self._reader.statuses)
        links = [to_record(link) for link in await run_in_threadpool(self._reader.links, job_id)]
        more = {"links": links, "report": report_of(job) or None, "moves": [vars(move) for move in moves]}
        return PlainJSON(record(job, statuses.get(job_id)) | more)

    async def health(self, request: Request) -> Response:
        """Return the verdict about the daemon; the status is 200 if it is well and 503 if not."""
        verdict = await run_in_threadpool(self._reader.verdict)
        return PlainJSON(verdict.as_json(), 200 if verdict.is_healthy else 503)


def record(job: Job, status: WorkerStatus | None) -> dict[str, Any]:
    """Return a row as JSON values, with its progress where a worker is at it; reports are long and stay out."""
    values = to_record(job)
    del values["report"]
    if status is not None and status.owner == job.owner:
        names = ("stage", "done", "total", "faces", "fps", "remaining_secs", "at")
        values["progress"] = {name: getattr(status, name) for name in names}
    return values


def _size(request: Request) -> int:
    text = request.query_params.get("size", "")
    return min(MOST_ROWS, max(1, int(text))) if text.isascii() and text.isdigit() and len(text) < 6 else PAGE_SIZE
