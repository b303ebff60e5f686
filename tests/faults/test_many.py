"""Rows 28 and 34 in bulk: two daemons that are killed in turn over 500 files; 2,000 damaged files. All slow."""

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from jobs.selftest.daemon import DaemonProcess
from jobs.selftest.media import write_clip
from jobs.selftest.victims import Victim
from tests.faults.conftest import StartWatch

pytestmark = pytest.mark.slow

NUM_FILES = int(os.environ.get("UGATIT_FAULTS_TWO", "500"))
NUM_SEEDS = int(os.environ.get("UGATIT_FAULTS_FUZZ", "2000"))


def test_row_28_two_daemons_that_are_killed_in_turn_do_everything_once(watch: StartWatch) -> None:
    one, chance = watch(), random.Random(0)
    second = DaemonProcess(one.daemon.folder, environment=one.daemon.environment)
    second.marker = one.daemon.marker
    pair = [one.daemon, second]
    for number in range(NUM_FILES):
        one.drop(f"clip{number:04}.png", arrival="mv")
    kills = refusals = 0
    while len(one.daemon.jobs()) < NUM_FILES or set(one.daemon.states().values()) != {"done"}:
        for daemon in pair:
            if not daemon.is_running:
                refusals += daemon.process is not None and (daemon.process.returncode or 0) > 0
                daemon.start()
        time.sleep(chance.uniform(1, 6))
        victim = chance.choice(pair)
        if victim.is_running and victim.process is not None:
            victim.process.kill()
            victim.process.wait()
            kills += 1
    print(f"{NUM_FILES} files, {kills} kills of either daemon, {refusals} refusals")
    assert refusals > 0
    for daemon in pair:
        daemon.stop()
    one.daemon.start()
    one.until_through()
    one.end()


def test_row_34_damaged_files_neither_crash_nor_hang_the_daemon(watch: StartWatch, tmp_path: Path) -> None:
    one = watch("--incomplete-secs", "0", "--stall-secs", "20", "--max-deaths", "2", "--max-exceptions", "2")
    originals = [write_clip(tmp_path / f"seed{suffix}", 1, 12) for suffix in (".mp4", ".mkv", ".avi", ".mov")]
    one.daemon.start()
    began, peak_kb = time.monotonic(), 0
    for start in range(0, NUM_SEEDS, 100):
        for seed in range(start, min(start + 100, NUM_SEEDS)):
            original = originals[seed % len(originals)]
            made = one.daemon.folder / "made"
            unique = seed.to_bytes(8, "big")  # two of the same content would be one job
            made.write_bytes(mutate(original.read_bytes(), random.Random(seed)) + unique)
            shutil.move(made, one.inbox / f"seed{seed:05}{original.suffix}")
        one.until_through(min(start + 100, NUM_SEEDS), secs=600)
        pids = [one.daemon.pid, *one.pids(Victim.WORKER)]
        peak_kb = max([peak_kb, *(peak_of(pid) for pid in pids)])
        assert one.daemon.is_running, one.daemon.last_words()
    deaths = sum(job["deaths"] for job in one.daemon.jobs())
    print(
        f"{NUM_SEEDS} seeds in {time.monotonic() - began:.0f} s: {one.daemon.counts()}, {deaths} deaths of workers, "
        f"peak RSS {peak_kb // 1024} MiB"
    )
    assert peak_kb < 1_500_000
    one.daemon.stop()


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Flip, insert, zero or cut out some bytes."""
    made = bytearray(content)
    for _ in range(chance.choice((1, 3, 10, 40))):
        place, length = chance.randrange(len(made)), chance.choice((1, 2, 8, 64))
        kind = chance.choice(("flip", "insert", "zero", "cut"))
        if kind == "flip":
            made[place] ^= 1 << chance.randrange(8)
        elif kind == "insert":
            made[place:place] = chance.randbytes(length)
        elif kind == "zero":
            made[place : place + length] = bytes(len(made[place : place + length]))
        elif len(made) > 4096:
            del made[place : place + length]
    return bytes(made)


def peak_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0"))
