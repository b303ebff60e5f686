"""The daemon as a process, on real folders: what it does by itself, when it is asked to stop, and when it is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jobs.health import judge
from jobs.job import Job, JobState
from jobs.locks import OwnerLocks
from jobs.store import JobStore, open_store

ROOT = Path(__file__).parents[2]
PATIENCE_SECS = 30.0
QUICK = "settle_secs = 0.1\nrescan_secs = 0.3\nbackoff_secs = 0.05\nblocked_secs = 0.2\nworkers = 1\nmin_free = 0\n"


class Watch:
    """Folders and the daemons that watch them, one after the other."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.out = root / "in", root / "out"
        self.state = self.out / ".ugatit"
        self.config = root / "watch.toml"
        self.log = root / "printed"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.inbox.mkdir()
        self.configure()

    def configure(self, *lines: str, top: str = QUICK, more: str = "") -> None:
        """Write the watch.toml: one folder with these lines, and more of them."""
        folder = f"[[folder]]\npath = {str(self.inbox)!r}\noutput = {str(self.out)!r}\n"
        self.config.write_text(top + folder + "\n".join(lines) + "\n" + more)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.jobs.daemon_process", str(self.config), *options]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def once(self) -> int:
        return self.start("--once").wait(PATIENCE_SECS)

    def stop(self) -> int:
        """Ask the last daemon to stop; return its exit code."""
        self.processes[-1].terminate()
        return self.processes[-1].wait(PATIENCE_SECS)

    def drop(self, name: str, content: str = "hello") -> Path:
        path = self.inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path

    def store(self) -> JobStore:
        return open_store(self.state / "jobs.sqlite")

    def jobs(self) -> list[Job]:
        with suppress(Exception), open_store(self.state / "jobs.sqlite", read_only=True) as store:
            return store.list()
        return []

    def states(self) -> list[str]:
        return [str(job.state) for job in self.jobs()]

    def until(self, is_so: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_SECS
        while not is_so():
            is_alive = self.processes[-1].poll() is None
            assert is_alive and time.monotonic() < end, f"{self.states()} {self.printed}"  # noqa: PT018
            time.sleep(0.03)

    def results(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir() if not path.name.startswith("."))

    @property
    def printed(self) -> str:
        return self.log.read_text()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watched = Watch(tmp_path)
    yield watched
    for process in watched.processes:
        process.kill()
        process.wait()


def test_once_works_off_what_lies_there_and_leaves_nothing_of_its_own(watch: Watch) -> None:
    for name in ("a.mp4", "b.mp4"):
        watch.drop(name, name)
    assert watch.once() == 0
    assert watch.results() == ["a.mp4", "a.report.json", "b.mp4", "b.report.json"]
    kept = {path.name for path in watch.state.rglob("*") if path.is_file()}
    assert kept == {"jobs.sqlite", "watch.lock", "watch.log", "moves.jsonl"}


def test_once_with_nothing_to_do_ends_at_once(watch: Watch) -> None:
    assert watch.once() == 0


def test_once_says_by_its_exit_code_that_a_job_failed_but_not_again_the_next_time(watch: Watch) -> None:
    watch.configure("max_deaths = 1")
    watch.drop("poison.mp4", "die")
    watch.drop("good.mp4")
    assert watch.once() == 1
    assert sorted(watch.states()) == ["done", "failed"]
    assert (watch.inbox / "failed" / "poison.mp4.reason.txt").read_text().startswith("its worker died 1 times")
    assert watch.once() == 0


def test_once_says_by_its_exit_code_that_a_folder_is_away(watch: Watch) -> None:
    watch.inbox.rmdir()
    assert watch.once() == 1
    assert "is away" in watch.printed


def test_what_arrives_while_it_watches_is_done_and_sigterm_ends_it_well(watch: Watch) -> None:
    watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    watch.drop("a.mp4")
    watch.until(lambda: watch.states() == ["done"])
    assert watch.stop() == 0
    assert not (watch.state / "health.json").exists()


def test_sigterm_lets_a_job_go_where_nothing_is_lost_and_the_next_start_does_it(watch: Watch) -> None:
    watch.start()
    watch.drop("a.mp4", "crawl 400")
    watch.until(lambda: watch.states() == ["running"])
    assert watch.stop() == 0
    [job] = watch.jobs()
    assert (job.state, job.deaths, job.exceptions) == (JobState.QUEUED, 0, 0)
    job.source.write_text("hello")
    assert watch.once() == 0
    assert watch.states()[-1] == "done"


def test_a_second_signal_ends_it_now_and_no_death_is_counted(watch: Watch) -> None:
    watch.configure(top=QUICK + "grace_secs = 60\n")
    process = watch.start()
    watch.drop("a.mp4", "hang")
    watch.until(lambda: watch.states() == ["running"])
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # as `timeout` does: the same request
    watch.until(lambda: "draining" in (watch.state / "health.json").read_text())
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_SECS) == 130
    assert watch.printed.count("asked twice") == 1
    [job] = watch.jobs()
    assert (job.state, job.deaths) == (JobState.QUEUED, 0)


def test_a_worker_that_does_not_stop_is_ended_after_the_grace_time(watch: Watch) -> None:
    watch.configure(top=QUICK + "grace_secs = 0.3\n")
    watch.start()
    watch.drop("a.mp4", "hang")
    watch.until(lambda: watch.states() == ["running"])
    assert watch.stop() == 0
    assert watch.states() == ["queued"]


def test_a_second_daemon_is_refused_and_told_who_is_there(watch: Watch) -> None:
    first = watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    assert watch.start().wait(PATIENCE_SECS) == 99
    assert "AlreadyWatchedError: another watch uses" in watch.printed
    assert f"process {first.pid}" in watch.printed
    assert first.poll() is None


def test_two_state_folders_do_not_let_two_daemons_watch_one_folder(watch: Watch, tmp_path: Path) -> None:
    watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    watch.out = tmp_path / "out2"
    watch.configure()
    assert watch.start().wait(PATIENCE_SECS) == 99
    assert "AlreadyWatchedError" in watch.printed


def test_two_tables_do_not_let_two_daemons_put_results_into_one_folder(watch: Watch, tmp_path: Path) -> None:
    watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    (tmp_path / "in2").mkdir()
    watch.inbox = tmp_path / "in2"
    watch.configure(top=QUICK + f"state_dir = {str(tmp_path / 'state2')!r}\n")
    assert watch.start().wait(PATIENCE_SECS) == 99
    assert f'another watch puts its results into "{watch.out}"' in watch.printed


def test_killed_it_leaves_no_worker_and_the_next_one_goes_on(watch: Watch) -> None:
    process = watch.start()
    watch.drop("a.mp4", "crawl 40")
    watch.until(lambda: watch.states() == ["running"])
    [owner] = [job.owner or "" for job in watch.jobs()]
    process.kill()
    process.wait()
    end = time.monotonic() + PATIENCE_SECS
    while OwnerLocks(watch.state).is_alive(owner):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert watch.once() == 0
    assert watch.states() == ["done"]
    assert watch.results() == ["a.mp4", "a.report.json"]
    moves = [json.loads(line) for line in (watch.state / "moves.jsonl").read_text().splitlines()]
    assert [move["number"] for move in moves] == list(range(1, len(moves) + 1))


def test_a_folder_that_comes_into_the_configuration_is_watched_without_a_restart(watch: Watch, tmp_path: Path) -> None:
    watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    more = tmp_path / "more"
    more.mkdir()
    (more / "b.mp4").write_text("hello")
    watch.configure("settle_secs = 'soon'")
    watch.until(lambda: "The configuration from before stays" in watch.printed)
    folder = f"[[folder]]\npath = {str(more)!r}\noutput = {str(watch.out)!r}\n"
    watch.configure(more=folder)
    watch.until(lambda: watch.states() == ["done"])
    assert "after a restart" not in watch.printed
    watch.configure(top=QUICK + "stall_secs = 17\n", more=folder)
    watch.until(lambda: "`stall_secs` counts after a restart" in watch.printed)
    assert "b.mp4" in watch.results()


def test_outside_its_window_a_job_is_not_begun_until_the_window_changes(watch: Watch) -> None:
    tomorrow = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][(time.localtime().tm_wday + 3) % 7]
    watch.configure(f'schedule = "{tomorrow} 10:00-11:00"')
    watch.start()
    watch.drop("a.mp4")
    watch.until(lambda: watch.states() == ["queued"])
    with watch.store() as store:
        assert store.claim("another") is None
    watch.configure()
    watch.until(lambda: watch.states() == ["done"])


def test_once_does_not_wait_for_a_window_to_open(watch: Watch) -> None:
    tomorrow = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][(time.localtime().tm_wday + 3) % 7]
    watch.configure(f'schedule = "{tomorrow} 10:00-11:00"')
    watch.drop("a.mp4")
    assert watch.once() == 0
    assert watch.states() == ["queued"]


def test_paused_it_sights_and_queues_but_begins_nothing(watch: Watch) -> None:
    watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    with watch.store() as store:
        store.pause(True)
        watch.drop("a.mp4")
        watch.until(lambda: watch.states() == ["queued"])
        watch.until(lambda: judge(watch.state).facts.get("state") == "paused")
        store.pause(False)
    watch.until(lambda: watch.states() == ["done"])


def test_a_job_cancelled_while_it_runs_is_dropped(watch: Watch) -> None:
    watch.start()
    watch.drop("a.mp4", "crawl 1000")
    watch.until(lambda: watch.states() == ["running"])
    with watch.store() as store:
        store.cancel(1)
    watch.drop("b.mp4", "hello again")
    watch.until(lambda: watch.states() == ["cancelled", "done"])
    assert watch.results() == ["b.mp4", "b.report.json"]


def test_a_job_without_a_folder_for_its_result_waits_and_goes_on_when_there_is_one(
    watch: Watch, tmp_path: Path
) -> None:
    watch.configure(top=QUICK + f"state_dir = {str(tmp_path / 'state')!r}\n")
    watch.state = tmp_path / "state"
    watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    (watch.out).rename(tmp_path / "elsewhere")
    watch.drop("a.mp4")
    watch.until(lambda: watch.states() == ["blocked"])
    assert watch.jobs()[0].block == "output"
    (tmp_path / "elsewhere").rename(watch.out)
    watch.until(lambda: watch.states() == ["done"])
    assert watch.jobs()[0].exceptions == 0


def test_without_ffmpeg_it_does_not_even_begin(watch: Watch) -> None:
    command = [sys.executable, str(ROOT / "run.py"), "watch", str(watch.inbox), "-o", str(watch.out)]
    environment = os.environ | {"UGATIT_FFMPEG": "/no/such/ffmpeg"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 6
    assert (
        done.stderr == "Error: UGATIT_FFMPEG names '/no/such/ffmpeg', which is not a program; correct it or unset it.\n"
    )
    assert not watch.state.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_of_the_table_stops_nothing_for_good(watch: Watch, small_disk: Path) -> None:
    watch.configure(top=QUICK + f"state_dir = {str(small_disk)!r}\n")
    watch.state = small_disk
    watch.start()
    watch.until(lambda: judge(watch.state).is_healthy)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    for number in range(30):
        watch.drop(f"{number}.mp4", f"hello {number}")
    watch.until(lambda: "has to wait: there is no space left" in watch.printed)
    assert watch.stop() == 0
    watch.start()
    watch.until(lambda: watch.printed.count("INFO watching") == 2)
    time.sleep(0.5)
    assert watch.processes[-1].poll() is None
    filler.unlink()
    watch.until(lambda: watch.states() == ["done"] * 30)
    assert watch.stop() == 0
