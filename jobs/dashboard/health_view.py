"""How the daemon, its watch folders and its workers are, for people. The verdict itself is health.py's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import health
from ..clocks import wall_secs
from ..locks import OwnerLocks
from ..progress_file import WorkerStatus
from . import words


@dataclass(frozen=True)
class Notice:
    """A sentence above everything else."""

    tone: str
    """bad, soft or calm."""
    text: str


@dataclass(frozen=True)
class Part:
    """A watch folder or a worker, and how it is."""

    name: str
    tone: str
    text: str


@dataclass(frozen=True)
class HealthView:
    """How the daemon is."""

    tone: str
    """good, soft or bad."""
    word: str
    sentence: str
    is_paused: bool
    notices: tuple[Notice, ...]
    folders: tuple[Part, ...]
    workers: tuple[Part, ...]
    facts: tuple[tuple[str, str], ...]


def view_health(
    state_dir: Path,
    verdict: health.Verdict,
    workers: Sequence[WorkerStatus],
    *,
    is_paused: bool,
    closed: Collection[str] = (),
) -> HealthView:
    """Return how everything is.

    Args:
        state_dir: folder of the job table.
        verdict: about its daemon.
        workers: what workers wrote, dead ones too.
        is_paused: nothing new is begun.
        closed: watch folders of which no job may start now: by their schedule, or because they are away.
    """
    is_running = health.is_running(state_dir)
    tone, word = _verdict_word(verdict, is_running=is_running, is_paused=is_paused)
    problems = [words.sentence(problem) for problem in verdict.problems]
    notices = [Notice("soft" if is_running else "bad", problem) for problem in problems]
    if is_paused:
        notices.append(Notice("calm", "Paused: nothing new is begun until somebody resumes."))
    folders = _dicts(verdict.facts.get("folders"))
    notices += _not_now(folders, closed) if is_running else []
    return HealthView(
        tone=tone,
        word=word,
        sentence=problems[0] if problems else "All is well.",
        is_paused=is_paused,
        notices=tuple(notices),
        folders=tuple(_folder(each) for each in folders),
        workers=tuple(_worker(each, OwnerLocks(state_dir)) for each in workers),
        facts=tuple(_facts(verdict.facts, state_dir)),
    )


def _not_now(folders: Sequence[dict[str, Any]], closed: Collection[str]) -> list[Notice]:
    """Tell which folders are there, and still closed: it is not their time."""
    names = [str(folder["name"]) for folder in folders if folder.get("is_well") and folder.get("name") in closed]
    text = "It is not the time for jobs of {}; those that have begun go on."
    return [Notice("calm", text.format(f'"{words.shown_name(name)}"')) for name in names]


def _worker(status: WorkerStatus, locks: OwnerLocks) -> Part:
    name = words.shown_name(status.owner)
    if not locks.is_alive(status.owner):
        return Part(name, "", "gone")
    doing = f"at job {status.job}: {status.stage}" if status.job is not None else "waits for a job"
    text = f"{doing} · {words.plural(status.jobs, 'job')} so far · device {status.device} · process {status.pid}"
    return Part(name, "good", words.shown_name(text))


def _verdict_word(verdict: health.Verdict, *, is_running: bool, is_paused: bool) -> tuple[str, str]:
    if not is_running:
        return "bad", "Not running"
    if verdict.facts.get("state") == "draining":
        return "soft", "Stopping"
    if not verdict.is_healthy:
        return "soft", "Needs a look"
    return ("soft", "Paused") if is_paused else ("good", "Watching")


def _folder(folder: dict[str, Any]) -> Part:
    is_well = bool(folder.get("is_well"))
    detail = words.shown_text(str(folder.get("detail") or ""))
    return Part(
        words.shown_name(str(folder.get("name"))),
        "good" if is_well else "bad",
        detail or ("there" if is_well else "away"),
    )


def _facts(facts: Mapping[str, Any], state_dir: Path) -> Iterator[tuple[str, str]]:
    yield "State folder", words.shown_name(state_dir)
    for name, label in (("state", "State"), ("version", "Version"), ("pid", "Process")):
        if name in facts:
            yield label, words.shown_name(str(facts[name]))
    if isinstance(facts.get("started_at"), int | float):
        yield "Runs for", words.duration(wall_secs() - facts["started_at"])
    if isinstance(facts.get("at"), int | float):
        yield "Last sign of life", words.ago(wall_secs() - facts["at"])
    if facts.get("last_error"):
        yield "Last error", words.shown_text(str(facts["last_error"]))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
