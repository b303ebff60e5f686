"""Rows 39 to 45: pictures and processes that take too much. All slow."""

import ctypes
import os
import struct
import threading
import time
import zlib
from pathlib import Path

import pytest

from jobs.selftest.checker import sha256_of
from jobs.selftest.media import write_clip
from jobs.selftest.victims import Victim
from tests.faults.conftest import StartWatch

pytestmark = pytest.mark.slow

EXCHANGE = 2


def test_row_39_a_folder_that_is_swapped_for_a_link_all_the_time_leads_nowhere(
    watch: StartWatch, tmp_path: Path
) -> None:
    one = watch()
    outside = tmp_path / "outside"
    outside.mkdir()
    write_clip(outside / "clip.mp4", 900, 10)
    (one.inbox / "sub").mkdir()
    write_clip(one.inbox / "sub" / "clip.mp4", 1, 10)
    link = one.daemon.folder / "link"
    link.symlink_to(outside)
    stop = threading.Event()

    def swap() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        names = [os.fsencode(path) for path in (link, one.inbox / "sub")]
        while not stop.is_set():
            libc.renameat2(-100, names[0], -100, names[1], EXCHANGE)
            time.sleep(0.0007)

    before = sorted(outside.iterdir())
    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        one.daemon.start()
        time.sleep(10)
    finally:
        stop.set()
        swapper.join()
    if (one.inbox / "sub").is_symlink():
        libc = ctypes.CDLL(None)
        libc.renameat2(-100, os.fsencode(link), -100, os.fsencode(one.inbox / "sub"), EXCHANGE)
    one.until_through(1)
    assert sorted(outside.iterdir()) == before
    stolen = sha256_of(str(outside / "clip.mp4"))
    assert all(job["fingerprint"] != stolen for job in one.daemon.jobs())
    one.end()


def test_row_40_a_picture_bomb_is_refused_and_takes_no_memory(watch: StartWatch) -> None:
    one = watch()
    one.daemon.start()
    one.until(lambda: bool(one.pids(Victim.WORKER)), "a worker")
    write_bomb(one.inbox / "bomb.png", 16_000)
    one.until_state("bomb.png", "failed")
    assert peak_mb(one.pids(Victim.WORKER)) < 900
    one.end()


def write_bomb(path: Path, side: int) -> None:
    """A small PNG of very many black pixels."""

    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compressobj(9)
    content = b"".join(rows.compress(bytes(1 + side // 8)) for _ in range(side)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", content) + part(b"IEND", b""))


def peak_mb(pids: list[int]) -> int:
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return max(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def test_row_41_out_of_gpu_memory_gives_the_same_pixels_or_blocks(watch: StartWatch) -> None:
    hashes = []
    for fault in ("", "oom:2"):
        one = watch(UGATIT_REHEARSAL=fault)
        one.daemon.start()
        one.drop("clip.mp4", num_frames=60)
        one.until_through()
        assert one.job("clip.mp4")["attempt"] == 1
        hashes.append(sha256_of(str(one.out / "clip.mp4")))
        one.end()
    assert hashes[0] == hashes[1]


def test_rows_41_42_a_device_that_is_not_usable_blocks_until_it_is(watch: StartWatch) -> None:
    one = watch(UGATIT_REHEARSAL="oom:always")
    one.daemon.start()
    one.drop("clip.mp4")
    one.until_state("clip.mp4", "blocked")
    assert (one.job("clip.mp4")["block"], one.job("clip.mp4")["exceptions"]) == ("device", 0)
    assert one.daemon.stop() == 0

    one.daemon.start(UGATIT_REHEARSAL="")
    one.until_through()
    one.end()


def test_row_43_a_worker_that_leaks_is_ended_and_its_job_fails_after_its_budget(watch: StartWatch) -> None:
    one = watch("--max-memory", "1200M", "--max-deaths", "2", "--max-exceptions", "2", UGATIT_REHEARSAL="leak:100")
    one.daemon.start()
    one.drop("clip.mp4", num_frames=60, expect="failed")
    one.until_state("clip.mp4", "failed")
    assert one.job("clip.mp4")["deaths"] + one.job("clip.mp4")["exceptions"] == 2
    one.end()


def test_row_45_no_file_stays_open_over_many_jobs(watch: StartWatch) -> None:
    one = watch("--workers", "1")
    one.daemon.start()
    counts = []
    for _ in range(3):
        for _ in range(8):
            one.drop(num_frames=5)
        one.until_through()
        pids = [one.daemon.pid, *one.pids(Victim.WORKER)]
        counts.append(sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids))
    assert counts[2] <= counts[0] + 1, counts
    one.end()


def test_row_45_with_few_open_files_allowed_nothing_is_lost(watch: StartWatch) -> None:
    one = watch()
    one.daemon.prefix = ["prlimit", "--nofile=48"]
    one.daemon.start()
    for number in range(4):
        one.drop(f"clip{number}.mp4")
    one.daemon.wait_for(lambda: set(one.daemon.states().values()) == {"done"}, 20)
    one.daemon.kill_all()
    one.daemon.prefix = []
    one.daemon.start()
    one.until_through()
    assert set(one.daemon.states().values()) == {"done"}
    one.end()
