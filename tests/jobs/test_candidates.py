"""What in a watch folder counts, and as what."""

import os
import socket
from pathlib import Path

import pytest

from jobs.beneath import opened_folder
from jobs.candidates import Candidate, Rules, candidates, of_folder
from jobs.folder_intake import kind_by_name
from jobs.job import JobKind
from jobs.tree import Reading, TreeReader


def read(folder: Path, **options: object) -> Reading:
    with opened_folder(folder) as handle:
        return TreeReader(kind_by_name, **options).read(handle)  # type: ignore[arg-type]


def drop(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(folder: Path, rules: Rules | None = None) -> dict[str, JobKind]:
    listed = candidates(read(folder).tree, rules or Rules())
    assert len({one.relative for one in listed}) == len(listed)
    return {one.relative: one.kind for one in listed}


def only(folder: Path, rules: Rules | None = None) -> Candidate:
    (one,) = candidates(read(folder).tree, rules or Rules())
    return one


def test_media_files_count_at_any_depth_and_others_do_not(tmp_path: Path) -> None:
    drop(tmp_path, "clip.mp4", "trip/day/CLIP.MKV", "picture.jpg", "notes.txt", "clip.report.json", "clip.mp4.toml")
    assert found(tmp_path) == {
        "clip.mp4": JobKind.VIDEO,
        "trip/day/CLIP.MKV": JobKind.VIDEO,
        "picture.jpg": JobKind.PICTURE,
    }


@pytest.mark.parametrize(
    "name",
    [
        ".clip.mp4",
        ".clip.mp4.Xy12Ab",
        "clip.mp4.part",
        "clip.mp4.crdownload",
        "clip.mp4~",
        "~$clip.mp4",
        "~syncthing~clip.mp4.tmp",
        "clip.mp4.download/clip.mp4",
        ".ugatit/work/clip.mp4",
        ".cache/clip.mp4",
        "done/clip.mp4",
        "failed/clip.mp4",
        "@eaDir/clip.mp4",
        "album/@eaDir/thumb.jpg",
        "#recycle/clip.mp4",
        "$RECYCLE.BIN/clip.mp4",
        "lost+found/clip.mp4",
    ],
)
def test_hidden_unfinished_and_foreign_names_and_our_own_folders_do_not_count(tmp_path: Path, name: str) -> None:
    drop(tmp_path, name)
    reading = read(tmp_path)
    assert candidates(reading.tree, Rules()) == []
    assert reading.oddities == {}


def test_a_folder_called_done_further_down_is_the_users(tmp_path: Path) -> None:
    drop(tmp_path, "trip/done/clip.mp4")
    assert found(tmp_path) == {"trip/done/clip.mp4": JobKind.VIDEO}


def test_a_folder_for_results_in_the_watch_folder_is_not_looked_into(tmp_path: Path) -> None:
    drop(tmp_path, "clip.mp4", "results/clip.mp4")
    status = os.stat(tmp_path / "results")
    reading = read(tmp_path, excluded=[(status.st_dev, status.st_ino)])
    assert [one.relative for one in candidates(reading.tree, Rules())] == ["clip.mp4"]


def test_links_pipes_and_sockets_are_told_of_and_do_not_count(tmp_path: Path) -> None:
    drop(tmp_path, "real.mp4")
    folder, outside = tmp_path / "in", tmp_path / "real.mp4"
    drop(folder, "clip.mp4")
    (folder / "link.mp4").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "broken.mp4").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s.mp4"))
        reading = read(folder)
    assert [one.relative for one in candidates(reading.tree, Rules())] == ["clip.mp4"]
    assert reading.oddities.keys() == {"link.mp4", "loop", "broken.mp4", "pipe.mp4", "s.mp4"}
    assert reading.oddities["pipe.mp4"] == "it is a pipe, which is never opened"
    assert "symbolic link" in reading.oddities["loop"]


def test_a_hard_link_counts_as_a_file(tmp_path: Path) -> None:
    drop(tmp_path, "elsewhere/real.mp4")
    (tmp_path / "in").mkdir()
    os.link(tmp_path / "elsewhere/real.mp4", tmp_path / "in/clip.mp4")
    assert found(tmp_path / "in") == {"clip.mp4": JobKind.VIDEO}


@pytest.mark.parametrize(
    "name",
    [b"-rf.mp4", b"new\nline.mp4", b"%03d.mp4", b"$(x).mp4", b"\xff\xfe.mp4", b"http:x.mp4", b"x" * 251 + b".mp4"],
)
def test_any_name_that_a_file_can_have_counts(tmp_path: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(b"x")
    assert os.fsencode(only(tmp_path).relative) == name


def test_very_deep_folders_are_told_of_and_left_out(tmp_path: Path) -> None:
    drop(tmp_path, "/".join(["d"] * 60) + "/clip.mp4")
    reading = read(tmp_path)
    assert candidates(reading.tree, Rules()) == []
    assert list(reading.oddities.values()) == ["it lies more than 40 folders deep"]


def test_what_cannot_be_read_is_not_taken_for_empty(tmp_path: Path) -> None:
    drop(tmp_path, "clip.mp4")
    handle = os.open(tmp_path / "clip.mp4", os.O_RDONLY)
    try:
        assert TreeReader(kind_by_name).read(handle).unread == [""]
    finally:
        os.close(handle)


def test_without_recursion_sub_folders_are_left_alone(tmp_path: Path) -> None:
    drop(tmp_path, "clip.mp4", "trip/clip.mp4")
    reading = read(tmp_path, is_recursive=False)
    assert [one.relative for one in candidates(reading.tree, Rules())] == ["clip.mp4"]


def test_a_sidecar_is_seen_beside_its_source(tmp_path: Path) -> None:
    drop(tmp_path, "clip.mp4", "other.mp4", "clip.mp4.toml", "album/1.jpg", "album.toml")
    has_one = {one.relative: one.sidecar is not None for one in candidates(read(tmp_path).tree, Rules())}
    assert has_one == {"clip.mp4": True, "other.mp4": False, "album": True}


# Folders of pictures


def test_the_topmost_folder_with_pictures_only_is_one_job(tmp_path: Path) -> None:
    drop(tmp_path, "trip/1.jpg", "trip/day/2.png", "trip/notes.txt")
    assert found(tmp_path) == {"trip": JobKind.FOLDER}


def test_a_folder_with_a_video_is_taken_file_by_file_but_its_albums_are_not(tmp_path: Path) -> None:
    drop(tmp_path, "trip/clip.mp4", "trip/1.jpg", "trip/album/2.jpg")
    assert found(tmp_path) == {
        "trip/clip.mp4": JobKind.VIDEO,
        "trip/1.jpg": JobKind.PICTURE,
        "trip/album": JobKind.FOLDER,
    }


def test_pictures_can_be_taken_one_by_one(tmp_path: Path) -> None:
    drop(tmp_path, "trip/1.jpg", "trip/day/2.png")
    assert found(tmp_path, Rules(by_folder=False)) == {
        "trip/1.jpg": JobKind.PICTURE,
        "trip/day/2.png": JobKind.PICTURE,
    }


def test_the_folder_of_a_style_is_no_job_itself(tmp_path: Path) -> None:
    drop(tmp_path, "toon/1.jpg", "toon/album/2.jpg", "other/3.jpg", "other/toon/4.jpg")
    rules = Rules(is_style=lambda name: name == "toon")
    assert found(tmp_path, rules) == {
        "toon/1.jpg": JobKind.PICTURE,
        "toon/album": JobKind.FOLDER,
        "other": JobKind.FOLDER,
    }


def test_folders_without_media_are_nothing(tmp_path: Path) -> None:
    drop(tmp_path, "docs/notes.txt")
    (tmp_path / "empty").mkdir()
    assert found(tmp_path) == {}


def test_a_folder_that_was_accepted_as_one_job_stays_one_when_a_video_comes(tmp_path: Path) -> None:
    drop(tmp_path, "trip/1.jpg", "trip/clip.mp4")
    assert found(tmp_path, Rules(folder_jobs={"trip"})) == {"trip": JobKind.FOLDER, "trip/clip.mp4": JobKind.VIDEO}


def test_a_folder_whose_files_have_jobs_stays_taken_file_by_file_when_its_video_is_gone(tmp_path: Path) -> None:
    drop(tmp_path, "trip/day/1.jpg", "trip/day/2.jpg")
    rules = Rules(single_files={"trip/day/1.jpg"})
    assert found(tmp_path, rules) == {"trip/day/1.jpg": JobKind.PICTURE, "trip/day/2.jpg": JobKind.PICTURE}


def test_any_change_in_a_folder_of_pictures_changes_its_stamp(tmp_path: Path) -> None:
    folder = tmp_path / "trip"
    drop(tmp_path, "trip/1.jpg", "trip/2.jpg")
    stamps = [only(tmp_path).stamp]
    (folder / "1.jpg").write_bytes(b"longer")
    stamps.append(only(tmp_path).stamp)
    os.rename(folder / "2.jpg", folder / "3.jpg")
    stamps.append(only(tmp_path).stamp)
    drop(folder, "4.jpg")
    stamps.append(only(tmp_path).stamp)
    os.unlink(folder / "4.jpg")
    stamps.append(only(tmp_path).stamp)
    assert len(set(stamps[:-1])) == 4
    assert stamps[-1] == stamps[2]
    assert only(tmp_path).stamp.inode == 0


def test_unfinished_files_keep_a_folder_restless_without_being_part_of_it(tmp_path: Path) -> None:
    drop(tmp_path, "trip/1.jpg")
    before = only(tmp_path)
    drop(tmp_path, "trip/.2.jpg.Xy12Ab", "trip/3.jpg.part")
    after = only(tmp_path)
    assert before.stamp == before.activity == after.stamp
    assert after.activity != before.activity


def test_a_folder_read_by_itself_has_the_same_stamp_as_in_its_watch_folder(tmp_path: Path) -> None:
    drop(tmp_path, "trip/1.jpg", "trip/day/2.jpg")
    assert of_folder(read(tmp_path / "trip").tree).stamp == only(tmp_path).stamp
