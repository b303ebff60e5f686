"""Rows 21, 27, 37, 38, 46: however and under whatever name a file arrives, it is done once; what is no file is left."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from jobs.selftest.drops import ARRIVALS
from jobs.selftest.media import write_clip, write_picture
from jobs.selftest.read_frames import read
from tests.faults.watching import Watch


@pytest.mark.parametrize("arrival", [*ARRIVALS, "resumed", "folder"])
def test_row_21_a_clip_is_done_once_however_it_arrives(shared: Watch, arrival: str) -> None:
    shared.ensure_running()
    name = f"arrival-{arrival}.mp4"
    if arrival == "resumed":
        resume(shared, name)
    elif arrival == "folder":
        made = shared.daemon.folder / "staging" / "moved-in"
        made.mkdir()
        shared.dropper.inbox = made
        shared.drop(name)
        shared.dropper.inbox = shared.inbox
        shared.dropper.dropped[-1]["path"] = str(made.rename(shared.inbox / "moved-in") / name)
        shared.dropper.save()
    else:
        shared.drop(name, arrival=arrival)
    shared.until_state(name, "done")
    assert shared.job(name)["attempt"] == 1


def resume(shared: Watch, name: str) -> None:
    """An upload that comes in three parts, closed after each."""
    content = write_clip(shared.daemon.folder / "whole.mp4", 4000, 25).read_bytes()
    for part in range(3):
        with (shared.inbox / name).open("ab") as file:
            file.write(content[part * len(content) // 3 : (part + 1) * len(content) // 3])


def test_row_21_a_picture_and_a_folder_of_pictures_are_one_job_each(shared: Watch) -> None:
    shared.ensure_running()
    write_picture(shared.inbox / "single.png", 5000)
    made = shared.daemon.folder / "album"
    made.mkdir()
    for number in range(3):
        write_picture(made / f"page{number}.png", 5001 + number)
    made.rename(shared.inbox / "album")
    shared.until(lambda: shared.state("single.png") == shared.state("album") == "done", "picture and album")
    assert sorted(path.name for path in (shared.out / "album").glob("*.png")) == [f"page{n}.png" for n in range(3)]


def test_row_27_the_same_content_twice_is_one_job_and_two_names(shared: Watch) -> None:
    shared.ensure_running()
    shared.drop("twin.mp4")
    shutil.copy(shared.inbox / "twin.mp4", shared.inbox / "copy-of-twin.mp4")
    first, second = shared.out / "twin.mp4", shared.out / "copy-of-twin.mp4"
    shared.until(lambda: first.exists() and second.exists(), "the result under two names")
    assert first.samefile(second)
    assert (shared.state("twin.mp4") is None) != (shared.state("copy-of-twin.mp4") is None)  # one job, one link


HOSTILE = [
    b"-rf.mp4",
    b"new\nline.mp4",
    b"%03d.mp4",
    b"$(touch canary).mp4",
    b"`touch canary`;touch canary.mp4",
    b"\xff\xfe.mp4",
    b"x" * 251 + b".mp4",
    "\u202egpj.mp4".encode(),
    b"http:x.mp4",
    b"concat:a|b.mp4",
    b"up..mp4",
    b"CON.mp4",
    b"'\"\\ .mp4",
]


def test_row_37_any_name_is_only_a_name(shared: Watch) -> None:
    shared.ensure_running()
    for number, name in enumerate(HOSTILE):
        made = write_clip(shared.daemon.folder / "staging" / "made.mp4", 6000 + number, 3, has_sound=False)
        os.rename(os.fsencode(made), os.path.join(os.fsencode(shared.inbox), name))
    names = [os.fsdecode(name) for name in HOSTILE]
    shared.until(lambda: all(shared.state(name) == "done" for name in names), "all names done")
    assert all(Path(shared.job(name)["output"]).parent == shared.out for name in names)
    assert not [path for root in (Path.cwd(), shared.daemon.folder) for path in root.glob("**/canary")]


def test_row_38_what_is_no_regular_file_is_left_alone_and_blocks_nothing(shared: Watch, tmp_path: Path) -> None:
    shared.ensure_running()
    outside = write_clip(tmp_path / "outside.mp4", 7000, 3)
    (shared.inbox / "out.mp4").symlink_to(outside)
    (shared.inbox / "loop.mp4").symlink_to(shared.inbox / "loop.mp4")
    (shared.inbox / "around").symlink_to(shared.inbox)
    os.mkfifo(shared.inbox / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(shared.inbox)  # a socket's path must be short
        listener.bind("socket.mp4")
        os.chdir(Path(__file__).parents[2])
        shared.drop("after-the-fifo.mp4")
        shared.until_state("after-the-fifo.mp4", "done")
    strange = {"out.mp4", "loop.mp4", "fifo.mp4", "socket.mp4"}
    assert not strange & set(shared.daemon.states())
    for name in (*strange, "around"):
        (shared.inbox / name).unlink()


def test_row_46_a_foreign_file_with_the_name_of_a_result_stays(shared: Watch) -> None:
    shared.ensure_running()
    foreign = shared.out / "taken.mp4"
    foreign.write_bytes(b"somebody else's")
    shared.drop("taken.mp4")
    shared.until_state("taken.mp4", "done")
    assert foreign.read_bytes() == b"somebody else's"
    assert read(str(shared.out / "taken-2.mp4"))["is_whole"]
    foreign.unlink()
