"""What happened, for people (a rotating log) and for programs (moves.jsonl: one JSON line per change of state).

The table is the truth; both files are written from it, and a journal goes on behind the last line that it wrote.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import JobNotFoundError
from .job import Job, JobState, Move
from .names import shown

if TYPE_CHECKING:
    from .store import JobStore

logger = logging.getLogger(__name__)

LOG_NAME = "watch.log"
"""The log for people, in the state folder."""
MOVES_NAME = "moves.jsonl"
"""The lines for programs, beside it."""

_MAX_BYTES = 10 << 20
_BACKUPS = 5
_BATCH = 500
_TAIL_BYTES = 1 << 16
_LOUD = {JobState.FAILED: logging.WARNING, JobState.BLOCKED: logging.WARNING}
_QUIET = frozenset({JobState.SETTLING, JobState.PUBLISHING})


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Write everything that jobs/ says, and all warnings of others, to a file of at most 10 MB, five older ones kept.

    What the terminal shows does not change.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    root, ours = logging.getLogger(), logging.getLogger("jobs")
    handler = RotatingFileHandler(path, "a", _MAX_BYTES, _BACKUPS, "utf-8", delay=True, errors="replace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk must not stop the work
    shown = [(other, other.level) for other in root.handlers]
    for other, level in shown:
        other.setLevel(max(level, ours.getEffectiveLevel()))
    before = ours.level
    ours.setLevel(min(root.level, logging.INFO))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
        ours.setLevel(before)
        for other, level in shown:
            other.setLevel(level)


class Journal:
    """Follows the table's history."""

    def __init__(self, store: JobStore, state_dir: Path, max_bytes: int = _MAX_BYTES) -> None:
        """Go on behind the last whole line that is there.

        Args:
            store: the table.
            state_dir: folder of moves.jsonl.
            max_bytes: a new file is begun when this one is larger.
        """
        self._store = store
        self._path = state_dir / MOVES_NAME
        self._max_bytes = max_bytes
        last = last_number(self._path)
        self._number = last if last <= store.last_move() else 0  # a new table counts from the start
        self._failed: set[int] = set()

    @property
    def failed(self) -> frozenset[int]:
        """Numbers of the jobs that failed since `begin`, and were not taken up again."""
        return frozenset(self._failed)

    def begin(self) -> None:
        """Write what an earlier daemon did not come to; it does not count as this one's."""
        self.flush()
        self._failed.clear()

    def tick(self) -> int:
        """Write what is new, a limited number of moves at a time.

        Returns:
            How many there were.

        Raises:
            OSError: it cannot be written; the same moves come again next time.
        """
        moves = self._store.moves(after=self._number, limit=_BATCH)
        if not moves:
            return 0
        told = [(move, self._job_of(move)) for move in moves]
        self._append("".join(json.dumps(as_line(move, job), ensure_ascii=True) + "\n" for move, job in told))
        self._number = moves[-1].number
        for move, job in told:
            (self._failed.add if move.after is JobState.FAILED else self._failed.discard)(move.job_id)
            _say(move, job)
        return len(moves)

    def flush(self) -> None:
        """Write all that is new."""
        while self.tick():
            pass

    def _job_of(self, move: Move) -> Job | None:
        try:
            return self._store.get(move.job_id)
        except JobNotFoundError:  # purged in the meantime
            return None

    def _append(self, lines: str) -> None:
        if self._path.exists() and self._path.stat().st_size > self._max_bytes:
            _rotate(self._path)
        with self._path.open("ab") as file:
            start = file.tell()
            if start and not _ends_whole(self._path):
                lines = "\n" + lines
            try:
                file.write(lines.encode("ascii"))
                file.flush()
            except OSError:
                file.truncate(start)
                raise


def as_line(move: Move, job: Job | None) -> dict[str, Any]:
    """Return what moves.jsonl says of a move."""
    return {
        "number": move.number,
        "at": datetime.fromtimestamp(move.at, UTC).isoformat(timespec="milliseconds"),
        "job": move.job_id,
        "before": move.before,
        "after": move.after,
        "reason": move.reason,
        "attempt": move.attempt,
        "owner": move.owner,
        "source": str(job.source) if job else None,
        "output": str(job.output) if job and job.output and move.after is JobState.DONE else None,
    }


def last_number(path: Path) -> int:
    """Return the number of the last move in moves.jsonl, or in the file before it; 0 where there is none."""
    for each in (path, path.with_name(path.name + ".1")):
        if (number := _number_in(each)) is not None:
            return number
    return 0


def _number_in(path: Path) -> int | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            return int(json.loads(line)["number"])
        except (ValueError, KeyError, TypeError):  # torn when the process was killed
            continue
    return None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def _rotate(path: Path) -> None:
    for number in range(_BACKUPS - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(path.name + ".1"))


def _say(move: Move, job: Job | None) -> None:
    level = _LOUD.get(move.after, logging.DEBUG if move.after in _QUIET else logging.INFO)
    name = f' "{shown(job.relative)}"' if job else ""
    where = f' as "{shown(job.output)}"' if job and job.output and move.after is JobState.DONE else ""
    reason = f": {move.reason}" if move.reason else ""
    logger.log(level, "job %d%s is %s%s%s", move.job_id, name, move.after, where, reason)
