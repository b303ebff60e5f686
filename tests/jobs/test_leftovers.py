"""What dead processes left is removed; what belongs to the living, or is nobody's of ours, is not."""

import os
import time
from pathlib import Path

import pytest

from jobs import leftovers
from jobs.hooks import Hook
from jobs.job import Job
from jobs.leftovers import Leftovers, remove_temporaries
from jobs.locks import OwnerLocks

from .made_jobs import Folders


def work(job: Job) -> Path:
    job.work_folder.mkdir(parents=True)
    (job.work_folder / "chunk").touch()
    return job.work_folder


def job(made: Folders, name: str) -> Job:
    dropped = made.drop(name)
    assert isinstance(dropped, Job)
    return dropped


def test_work_of_jobs_that_are_over_goes_and_that_of_others_stays(made: Folders) -> None:
    over, failed, waiting = job(made, "a.mp4"), job(made, "b.mp4"), job(made, "c.mp4")
    folders = [work(each) for each in (over, failed, waiting)]
    made.do(over)
    made.fail(failed)
    Leftovers(made.store, made.state).sweep([made.out], is_over=True)
    assert [folder.exists() for folder in folders] == [False, False, True]


def test_a_worker_that_is_just_turning_away_is_given_a_moment(made: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = work(job(made, "a.mp4"))
    made.store.cancel(1)
    swept = Leftovers(made.store, made.state)
    swept.sweep([made.out])
    assert folder.exists()
    now = leftovers.boot_secs()
    monkeypatch.setattr(leftovers, "boot_secs", lambda: now + 6)
    swept.sweep([made.out])
    assert not folder.exists()


def test_work_of_jobs_that_nobody_knows_goes_and_other_files_stay(made: Folders) -> None:
    for name in ("99", "99.link", "notes"):
        (made.state / "jobs" / name).mkdir(parents=True)
    Leftovers(made.store, made.state).sweep([made.out], is_over=True)
    assert [path.name for path in (made.state / "jobs").iterdir()] == ["notes"]


def test_files_of_dead_workers_go_and_those_of_living_ones_stay(made: Folders) -> None:
    owners = OwnerLocks(made.state)
    with owners.hold("host.name-1-ab"):
        for name in ("host.name-1-ab.json", "dead-2-cd.lock", "dead-2-cd.json", "dead-2-cd.json.part"):
            (made.state / "workers" / name).touch()
        Leftovers(made.store, made.state).sweep([made.out])
        left = sorted(path.name for path in (made.state / "workers").iterdir())
    assert left == ["host.name-1-ab.json", "host.name-1-ab.lock"]


def test_what_a_dead_daemon_had_started_is_ended(made: Folders) -> None:
    owners = OwnerLocks(made.state)
    lock = owners.hold("dead-1-ab")
    hook = Hook(("sh", "-c", "sleep 78 & wait"), {}, "dead-1-ab")
    Leftovers(made.store, made.state).sweep([made.out])
    assert not hook.poll()
    lock.release()
    Leftovers(made.store, made.state).sweep([made.out])
    until = time.monotonic() + 20
    while not hook.poll() and time.monotonic() < until:
        time.sleep(0.02)
    assert hook.poll()


def test_temporary_names_of_ours_among_results_go_when_they_are_old(made: Folders) -> None:
    old, young = (made.out / "sub" / f".{digit * 32}.part" for digit in "ab")
    old.parent.mkdir()
    foreign = made.out / "download.part"
    for path in (old, young, foreign):
        path.touch()
    os.utime(old, (time.time() - 100,) * 2)
    assert remove_temporaries(made.out) == 1
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()
