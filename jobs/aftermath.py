"""What comes after a job: results for equal sources; the source kept, moved or deleted; the user's command.

Every step may be done twice (the daemon can die between a step and its note) and is made so that the second time finds
the first one's work. Nothing here can fail a job: what cannot be done now is tried again later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .clocks import boot_secs
from .disposal import dispose, stamp_of
from .errors import JobNotFoundError
from .fault_points import reach
from .hooks import Hook
from .job import Job, JobState, Link, Stamp
from .linking import link_result
from .names import shown
from .report_files import report_path

if TYPE_CHECKING:
    from .store import JobStore

logger = logging.getLogger(__name__)

MAX_HOOKS = 4
"""So many commands run at a time."""

_LOOK_SECS = 0.5
_RETRY_SECS, _MAX_RETRY_SECS = 15.0, 3600.0


@dataclass(frozen=True)
class Errand:
    """All that is to be done for one source of a job that is over."""

    job: Job
    link: Link | None
    """None for the source that was worked on; else another one with its content."""

    @property
    def key(self) -> tuple[int, Path | None]:
        """Tell it from all others."""
        return self.job.id, self.link.source if self.link else None

    @property
    def source(self) -> Path:
        """Where the source lies."""
        return self.link.source if self.link else self.job.source


class Aftermath:
    """Runs errands, a step at a time, and never waits."""

    def __init__(self, store: JobStore, is_away: Callable[[str], bool], owner: str = "") -> None:
        """Take the table.

        Args:
            store: holds the jobs whose aftermath is not noted.
            is_away: tells whether the watch folder of that name cannot be seen now; its sources wait.
            owner: of the daemon, with which commands are marked.
        """
        self._store = store
        self._is_away = is_away
        self._owner = owner
        self._hooks: dict[tuple[int, Path | None], tuple[Errand, Hook, Path | None]] = {}
        self._retry_at: dict[tuple[int, Path | None], float] = {}
        self._delays: dict[tuple[int, Path | None], tuple[float, str]] = {}
        self._next_look = 0.0
        self._without_result: set[tuple[int, Path | None, int]] = set()

    @property
    def is_running(self) -> bool:
        """A command runs."""
        return bool(self._hooks)

    @property
    def is_idle(self) -> bool:
        """Nothing is under way, and nothing is to be done that could be done now."""
        return not self._hooks and next(self._ready(), None) is None

    def tick(self, limit: int = 50) -> bool:
        """Go on with what is to be done.

        Args:
            limit: begin so many errands at most, that the loop may go on.

        Returns:
            Whether something was done.
        """
        ended = self.collect()
        if boot_secs() < self._next_look:
            return bool(ended)
        begun = 0
        for errand in self._ready():
            if begun >= limit or len(self._hooks) >= MAX_HOOKS:
                break
            self._begin(errand)
            begun += 1
        if not begun:
            self._next_look = boot_secs() + _LOOK_SECS
        return bool(begun or ended)

    def stop(self) -> None:
        """End the commands that run; they run again at the next start."""
        for _, hook, _ in self._hooks.values():
            hook.stop()
        self._hooks.clear()

    def _ready(self) -> Iterator[Errand]:
        now = boot_secs()
        for errand in self._errands():
            if errand.key not in self._hooks and self._retry_at.get(errand.key, 0.0) <= now:
                yield errand

    def _errands(self) -> Iterator[Errand]:
        for job in self._store.unfinished_aftermath():
            if job.state is not JobState.DONE:  # further sources go the same way; once done, each gets its result
                links = self._store.links(pending=False, job_id=job.id)
                yield from (_errand(job, link) for link in links if self._is_new(job, link))
            yield Errand(job, None)
        for link in self._store.links(pending=True):
            yield _errand(self._store.get(link.job_id), link)

    def _is_new(self, job: Job, link: Link) -> bool:
        return link.output is None and (job.id, link.source, job.attempt) not in self._without_result

    def _begin(self, errand: Errand) -> None:
        try:
            if self._is_away(errand.job.folder):
                self._later(errand)
                return
            if self._is_result_gone(errand):
                return
            output = self._link(errand)
            source = self._dispose(errand)
            self._start_hook(errand, source, output)
        except (OSError, ValueError, JobNotFoundError) as error:  # one job's trouble is not that of the others
            self._later(errand, str(error))

    def _later(self, errand: Errand, why: str = "") -> None:
        """Try again in a while, in a longer one every time; say why, once."""
        delay_secs, said = self._delays.get(errand.key, (_RETRY_SECS / 2, ""))
        delay_secs = min(2 * delay_secs, _MAX_RETRY_SECS) if why else _RETRY_SECS
        if why and why != said:
            logger.warning('what comes after job %d ("%s") has to wait: %s.', errand.job.id, shown(errand.source), why)
        self._delays[errand.key] = delay_secs, why
        self._retry_at[errand.key] = boot_secs() + delay_secs

    def _is_result_gone(self, errand: Errand) -> bool:
        """Do the job again if a further source waits for a result that somebody has taken away."""
        job = errand.job
        if errand.link is None or job.state is not JobState.DONE or (job.output and job.output.exists()):
            return False
        logger.warning(
            'the result of job %d, "%s", is gone, and "%s" needs it.', job.id, job.output, shown(errand.source)
        )
        self._store.retry(job.id)
        return True

    def _link(self, errand: Errand) -> Path | None:
        """Return where the result of this source is; None where there is none."""
        if errand.job.state is not JobState.DONE:
            return None
        if errand.link is None:
            return errand.job.output
        output = link_result(errand.job, errand.link)
        reach("aftermath:linked")
        return output

    def _dispose(self, errand: Errand) -> Path:
        """Return where the source lies afterwards, or lay if it was deleted."""
        moved = dispose(errand.job, errand.source, self._stamp_of(errand))
        if moved is not None and moved != errand.source and errand.link is None:
            self._store.move_source(errand.job, moved, stamp_of(moved))
        reach("aftermath:disposed")
        return moved or errand.source

    def _stamp_of(self, errand: Errand) -> Stamp | None:
        """Return under which stamp the source was read; None if something else lies there by now."""
        seen = self._store.seen(errand.source)
        return seen[0] if seen and seen[1] == errand.job.id else None

    def _start_hook(self, errand: Errand, source: Path, output: Path | None) -> None:
        treatment = errand.job.treatment
        commands = {JobState.DONE: treatment.on_done, JobState.FAILED: treatment.on_failed}
        if command := commands.get(errand.job.state):
            self._hooks[errand.key] = errand, Hook(command, self._facts(errand, source, output), self._owner), output
        else:
            self._note(errand, output)

    def _facts(self, errand: Errand, source: Path, output: Path | None) -> dict[str, str]:
        job = errand.job
        return {
            "id": str(job.id),
            "state": job.state.value,
            "input": str(source),
            "output": str(output or ""),
            "report": str((report_path(output, job.kind) if output else None) or ""),
            "reason": job.reason,
        }

    def collect(self) -> int:
        """Note which commands have ended; return how many."""
        ended = [(errand, output) for errand, hook, output in list(self._hooks.values()) if hook.poll()]
        for errand, output in ended:
            del self._hooks[errand.key]
            reach("aftermath:hooked")
            self._note(errand, output)
        return len(ended)

    def _note(self, errand: Errand, output: Path | None) -> None:
        self._retry_at.pop(errand.key, None)
        self._delays.pop(errand.key, None)
        if errand.link is None:
            self._store.note_aftermath(errand.job)
        elif output is not None:
            self._store.finish_link(errand.link, output)
        else:  # the link stays: the job may be tried again and succeed
            self._without_result.add((errand.job.id, errand.link.source, errand.job.attempt))
        reach("aftermath:noted")


def _errand(job: Job, link: Link) -> Errand:
    """Return the errand for a further source: its own watch folder says what becomes of it."""
    return Errand(replace(job, folder=link.folder, treatment=link.treatment), link)
