"""Rows 13, 31, 32, 48: a job table that is full, damaged, deleted or newer; clocks; changed settings. All slow."""

import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from jobs.errors import StoreDamagedError
from jobs.job import JobKind, Sighting, Stamp, Treatment
from jobs.selftest.media import write_clip
from jobs.store import open_store
from tests.faults.conftest import StartWatch
from tests.faults.watching import Watch

pytestmark = pytest.mark.slow
ROOM = Path(__file__).parents[2] / "jobs"


def test_row_13_a_full_disk_of_the_table_pauses_and_loses_nothing(
    watch: StartWatch, tmpfs: Callable[[str], Path]
) -> None:
    one = watch()
    disk = tmpfs("1m")
    one.daemon.use(out=one.out, state=disk / "state")
    one.daemon.start()
    one.drop("before.mp4")
    one.until_state("before.mp4", "done")
    fill(disk / "filler")

    for number in range(4):
        one.drop(f"meanwhile{number}.mp4")
    time.sleep(4.0)
    assert one.daemon.is_running, one.daemon.last_words()
    (disk / "filler").unlink()

    one.until_through()
    assert set(one.daemon.states().values()) == {"done"}
    one.end()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            return


@pytest.fixture
def done(watch: StartWatch) -> Watch:
    """Two clips are done, the daemon has ended."""
    one = watch()
    one.daemon.start()
    one.drop("a.mp4")
    one.drop("b.mp4")
    one.until_through()
    assert one.daemon.stop() == 0
    return one


def results(one: Watch) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in one.out.glob("*.mp4")}


def damage(table: Path, how: str) -> None:
    content = bytearray(table.read_bytes())
    if how == "zeroed":
        content[:] = bytes(len(content))
    elif how == "flipped":
        for place in range(4096, len(content), 97):
            content[place] ^= 0xFF
    else:
        del content[len(content) // 2 :]
    table.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["zeroed", "flipped", "cut"])
def test_row_31_a_damaged_table_is_refused_put_aside_and_built_again_without_new_results(done: Watch, how: str) -> None:
    before = results(done)
    damage(done.daemon.state / "jobs.sqlite", how)

    done.daemon.start()
    assert done.daemon.wait(60) not in (0, 1)
    assert "corrupt" in done.daemon.last_words()
    assert list(done.daemon.state.glob("jobs.sqlite.corrupt-*"))

    done.daemon.start()
    done.until_through(2)
    assert results(done) == before
    done.end()


def test_row_31_a_page_that_is_damaged_anywhere_is_found_when_the_table_is_opened(tmp_path: Path) -> None:
    stamp, out = Stamp(1, 1, 1, 1), tmp_path / "out"
    names = [Path(f"clip{number:03}.mp4") for number in range(200)]
    with open_store(tmp_path / "whole.sqlite") as store:
        store.sight(Sighting(JobKind.VIDEO, "/in", "/in" / name, name, out, Treatment(), "o", stamp) for name in names)
    whole = (tmp_path / "whole.sqlite").read_bytes()
    for page in range(1, len(whole) // 4096):
        damaged = tmp_path / f"page{page}.sqlite"
        damaged.write_bytes(whole[: page * 4096] + bytes(4096) + whole[(page + 1) * 4096 :])
        with pytest.raises(StoreDamagedError):
            open_store(damaged, check=True).close()


def test_row_31_a_deleted_table_is_built_again_without_new_results(done: Watch) -> None:
    before = results(done)
    (done.daemon.state / "jobs.sqlite").unlink()
    done.daemon.start()
    done.until_through(2)
    assert results(done) == before
    done.end()


def test_row_31_a_table_of_a_newer_program_is_refused_and_left_alone(done: Watch) -> None:
    table = done.daemon.state / "jobs.sqlite"
    with closing(sqlite3.connect(table)) as connection:
        connection.execute("PRAGMA user_version = 99")
    content = table.read_bytes()
    done.daemon.start()
    assert done.daemon.wait(60) not in (0, 1)
    assert "newer" in done.daemon.last_words()
    assert table.read_bytes() == content


def test_row_32_times_of_files_in_the_future_and_long_ago_mean_nothing(watch: StartWatch) -> None:
    one = watch()
    one.daemon.start()
    for number, secs in enumerate((86_400, -86_400 * 20_000, 86_400 * 3650)):
        made = write_clip(one.daemon.folder / "made.mp4", 50 + number, 10)
        os.utime(made, (time.time() + secs, time.time() + secs))
        made.rename(one.inbox / f"time{number}.mp4")
    one.until_through(3, secs=30)
    assert set(one.daemon.states().values()) == {"done"}
    one.end()


def test_row_32_nothing_that_is_waited_for_asks_the_clock_on_the_wall() -> None:
    asked = re.compile(r"\btime\.time\(|datetime\.(?:now|utcnow)\(|(?<!\.)\bwall_secs\(\)")
    found = {}
    for path in sorted(ROOM.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        found |= {path.relative_to(ROOM).as_posix(): hits for hits in [asked.findall(source)] if hits}
    shown = {
        "clocks.py",  # gives both clocks
        "store_table.py", "store_intake.py", "store_actions.py", "store_claims.py", "journal.py",  # dates of moves
        "health.py", "cli_jobs.py", "job_tables.py", "dashboard",  # shown
        "daemon.py", "dry_run.py",  # windows of local time are about the wall
        "leftovers.py",  # how old a stray file is
        "progress_file.py",
    }  # fmt: skip
    assert {name for name in found if name.split("/")[0] not in shown} == set()


def test_row_48_a_job_keeps_the_options_it_was_accepted_with(watch: StartWatch) -> None:
    one = watch(UGATIT_REHEARSAL="slow:0.02")
    one.daemon.start("--workers", "1", "--codec", "libx264")
    one.drop("first.mp4", num_frames=100)
    one.until_state("first.mp4", "running")
    one.drop("second.mp4")
    one.until_state("second.mp4", "queued")
    assert one.daemon.stop() == 0

    one.daemon.start("--codec", "libx265")
    one.drop("third.mp4")
    one.until_through()
    codecs = {name: '"codec": "libx265"' in one.job(name)["treatment"] for name in one.daemon.states()}
    assert codecs == {"first.mp4": False, "second.mp4": False, "third.mp4": True}
    one.end()
