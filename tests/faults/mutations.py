"""Does the suite see it when a guard is missing? Each is taken out of a copy of the tree; one test must turn red then.

    python -m tests.faults.mutations [GUARD...]

runs them all (or those whose name contains a word) and prints guard, test and what came of it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """A guard, and what is missed when it is gone."""

    guard: str
    path: str
    before: str
    """Text of the guard: it is there once."""
    after: str
    """What stands there when the guard is gone."""
    test: str
    """Test that must fail then."""
    row: str
    """Row of FAULTS.md section 7."""


MUTATIONS = (
    Mutation(
        "fence: only the owner of this attempt may change a job",
        "jobs/store_claims.py",
        '_FENCE = "id = ? AND owner = ? AND attempt = ?"',
        '_FENCE = "id = ? AND (owner = ? OR 1) AND (attempt = ? OR 1)"',
        "tests/jobs/test_store_claims.py::test_a_stale_worker_can_change_nothing",
        "1, 3",
    ),
    Mutation(
        "no result replaces another file",
        "jobs/disks.py",
        "            os.link(source, target, follow_symlinks=False)\n",
        "            os.replace(source, target)\n            return\n",
        "tests/jobs/test_disks.py::test_a_file_never_replaces_another",
        "46",
    ),
    Mutation(
        "frames are counted: what the encoder swallowed is missed",
        "pipeline/video.py",
        "                    self._verify(finished, analysis)\n",
        "                    pass\n",
        "tests/faults/test_ffmpeg.py::test_row_09_a_join_that_loses_frames_is_no_result",
        "7, 9",
    ),
    Mutation(
        "ffmpeg dies with its worker",
        "pipeline/ffmpeg.py",
        "ctypes.CDLL(None).prctl(1, 9)",
        "ctypes.CDLL(None).prctl(1, 0)",
        "tests/pipeline/test_ffmpeg.py::test_the_program_dies_with_a_parent_that_is_killed",
        "1",
    ),
    Mutation(
        "workers die with the daemon",
        "jobs/worker_process.py",
        "    _tie_to_daemon()\n",
        "    os.setpgid(0, 0)\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n",
        "tests/jobs/test_pool.py::test_workers_and_what_they_started_die_with_the_daemon",
        "3",
    ),
    Mutation(
        "life is told by a lock",
        "jobs/locks.py",
        "        return not is_free(self.path(owner))\n",
        "        return True\n",
        "tests/faults/test_steps.py::test_row_02_a_process_that_dies_at_any_step_costs_nothing[work:started]",
        "1, 2, 3, 4",
    ),
    Mutation(
        "a result that became visible is finished, not made again",
        "jobs/recovery.py",
        "    is_published = job.state is JobState.PUBLISHING and _is_visible(job, tick)\n",
        "    is_published = False\n",
        "tests/jobs/test_recovery.py::test_a_result_that_became_visible_is_finished_with_the_report_from_the_table",
        "2",
    ),
    Mutation(
        "the budget of deaths",
        "jobs/retries.py",
        "    spent, most = job.deaths + 1, job.treatment.max_deaths\n",
        "    spent, most = job.deaths + 1, job.treatment.max_deaths + 2\n",
        "tests/jobs/test_recovery.py::test_a_job_that_killed_three_workers_fails_and_its_work_is_removed",
        "44",
    ),
    Mutation(
        "the budget of errors that may pass",
        "jobs/retries.py",
        "    spent, most = job.exceptions + 1, job.treatment.max_exceptions\n",
        "    spent, most = job.exceptions + 1, job.treatment.max_exceptions + 2\n",
        "tests/jobs/test_worker.py::test_a_job_fails_when_its_errors_do_not_pass",
        "9",
    ),
    Mutation(
        "what is blocked spends no attempt",
        "jobs/retries.py",
        "        return Release(JobState.BLOCKED, reason, verdict.block)\n",
        "        return _spend_exception(job, reason, base_secs, chance)\n",
        "tests/faults/test_space.py::test_row_12_a_full_disk_of_results_blocks_and_goes_on_by_itself",
        "12",
    ),
    Mutation(
        "one daemon per job table",
        "jobs/territory.py",
        "        if not lock.acquire():\n",
        "        if False:\n",
        "tests/jobs/test_daemon.py::test_a_second_daemon_is_refused_and_told_who_is_there",
        "28",
    ),
    Mutation(
        "the same content is one job",
        "jobs/store_intake.py",
        '        found = self._jobs("WHERE fingerprint = ? AND opts_hash = ?", (fingerprint, job.opts_hash))\n'
        "        return found[0] if found else None\n",
        "        return None\n",
        "tests/faults/test_arrivals.py::test_row_27_the_same_content_twice_is_one_job_and_two_names",
        "27",
    ),
    Mutation(
        "a job that makes no progress is ended",
        "jobs/pool.py",
        "        return now - self._moved >= self._settings.stall_secs\n",
        "        return False\n",
        "tests/faults/test_kills.py::test_row_08_an_ffmpeg_that_hangs_is_noticed_and_ended_with_its_worker",
        "8",
    ),
    Mutation(
        "a source must not change while it is worked on",
        "pipeline/source.py",
        "        if now != self._stamp:\n",
        "        if False:\n",
        "tests/pipeline/test_source.py::test_appending_replacing_and_removing_are_noticed",
        "19, 20",
    ),
    Mutation(
        "a folder without its mark is away",
        "jobs/roots.py",
        "            return read_mark(folder) != token\n",
        "            return False\n",
        "tests/faults/test_watching.py::test_row_25_a_mount_that_vanishes_and_comes_back_cancels_nothing",
        "25",
    ),
    Mutation(
        "nothing is complete while somebody writes to it",
        "jobs/readiness.py",
        "        return error.errno == errno.EAGAIN\n",
        "        return False\n",
        "tests/jobs/test_readiness.py::test_a_file_has_a_writer_as_long_as_it_is_open_for_writing",
        "17, 18",
    ),
    Mutation(
        "a file must stand still before it counts",
        "jobs/readiness.py",
        "        return not self.is_hashed and stood_secs >= self.wait_secs and boot_secs() >= self.ready_boot_secs\n",
        "        return not self.is_hashed\n",
        "tests/faults/test_sources.py::test_row_18_a_copy_that_goes_on_within_the_settle_time_is_begun_once",
        "18",
    ),
    Mutation(
        "a result is on the disk before it has its name",
        "jobs/publishing.py",
        "        sync_tree(finished)\n",
        "",
        "tests/faults/test_syscalls.py::test_row_16_after_a_power_cut_at_any_sync_the_job_is_done_once_and_whole"
        "[names without their content]",
        "16",
    ),
    Mutation(
        "its name is on the disk before the job is done",
        "jobs/publishing.py",
        "    sync(job.output.parent)\n",
        "",
        "tests/faults/test_syscalls.py::test_row_16_after_a_power_cut_at_any_sync_the_job_is_done_once_and_whole"
        "[only what was synced]",
        "16",
    ),
    Mutation(
        "the table is checked when it is opened",
        "jobs/store_file.py",
        "            if check:\n                _check(connection, path)\n",
        "",
        "tests/faults/test_table.py::test_row_31_a_page_that_is_damaged_anywhere_is_found_when_the_table_is_opened",
        "31",
    ),
    Mutation(
        "a newer table is refused",
        "jobs/store_file.py",
        "    if version > newest:\n",
        "    if False:\n",
        "tests/faults/test_table.py::test_row_31_a_table_of_a_newer_program_is_refused_and_left_alone",
        "31",
    ),
    Mutation(
        "results of a lost table are found again",
        "jobs/worker.py",
        "        found = find_result(job, self._progress.tick)\n",
        "        found = None\n",
        "tests/faults/test_table.py::test_row_31_a_deleted_table_is_built_again_without_new_results",
        "31",
    ),
    Mutation(
        "folders are looked through whatever events say",
        "jobs/folder_intake.py",
        "        self._next_secs = began + self.config.rescan_secs\n",
        '        self._next_secs = float("inf")\n',
        "tests/jobs/test_observer.py::test_events_that_get_lost_are_made_up_for_by_the_next_look",
        "22, 24",
    ),
    Mutation(
        "a source is read again before its result is published",
        "pipeline/source.py",
        "        if hash_source(self.path, progress) != sha256:\n",
        "        if False:\n",
        "tests/pipeline/test_source.py::test_a_change_that_keeps_size_and_time_is_noticed_by_reading_again",
        "19",
    ),
    Mutation(
        "lists of files are no media",
        "pipeline/ffmpeg.py",
        'FORMAT_WHITELIST = "mov,',
        'FORMAT_WHITELIST = "concat,hls,mov,',
        "tests/pipeline/test_hostile_input.py::test_a_playlist_or_text_named_mp4_is_refused_and_opens_nothing",
        "36",
    ),
)


def mutated_copy(mutation: Mutation, folder: Path) -> Path:
    """Copy the tree without the guard; rooms that stay as they are, are links."""
    copy = folder / "tree"
    copy.mkdir()
    for name in ("tests", "run.py", "pyproject.toml", "jobs", "pipeline"):
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "weights")
        shutil.copytree(source, copy / name, ignore=ignore) if source.is_dir() else shutil.copy(source, copy / name)
    for name in ("alignment", "faceseg", "model", "trainer"):
        (copy / name).symlink_to(ROOT / name)
    target = copy / mutation.path
    text = target.read_text(encoding="utf-8")
    if text.count(mutation.before) != 1:
        raise ValueError(f'"{mutation.before}" is there {text.count(mutation.before)} times in {mutation.path}')
    target.write_text(text.replace(mutation.before, mutation.after), encoding="utf-8")
    return copy


def run(mutation: Mutation, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the mutation's test where its guard is gone; return code 1 is what it must give."""
    copy = mutated_copy(mutation, folder)
    command = [sys.executable, "-m", "pytest", "-x", "-m", "", "-p", "no:cacheprovider", mutation.test]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False)


def main() -> int:
    """Run and print; 0 if every missing guard was seen."""
    words, unseen = sys.argv[1:], 0
    for mutation in MUTATIONS:
        if words and not any(word in mutation.guard + mutation.path for word in words):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            done = run(mutation, Path(folder))
        is_seen = done.returncode == 1 and "failed" in done.stdout
        unseen += not is_seen
        print(f"{'seen  ' if is_seen else 'UNSEEN'} {time.monotonic() - began:5.1f} s  {mutation.guard}", flush=True)
        if not is_seen:
            print(done.stdout[-1500:] + done.stderr[-500:])
    return int(unseen > 0)


if __name__ == "__main__":
    sys.exit(main())
