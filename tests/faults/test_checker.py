"""The checker finds what it is there to find; a judge that sees nothing would make every row pass."""

import ast
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from jobs.selftest import checker, media
from jobs.selftest.drops import Dropper
from jobs.selftest.media import write_clip
from jobs.selftest.read_frames import read

SCRIPTS = Path(checker.__file__).parent
ROOMS = {"jobs", "pipeline", "model", "faceseg", "alignment", "trainer", "run"}


class Scene:
    """An output folder and a job table as a daemon would leave them, made by hand."""

    def __init__(self, folder: Path) -> None:
        self.inbox, self.out, self.state = folder / "inbox", folder / "out", folder / "out" / ".ugatit"
        for path in (self.inbox, self.state):
            path.mkdir(parents=True)
        self.dropper = Dropper(self.inbox, folder / "staging", random.Random(0))
        with sqlite3.connect(self.state / "jobs.sqlite") as table:
            table.execute(
                "CREATE TABLE jobs (id INTEGER PRIMARY KEY, state, source BLOB, fingerprint, opts_hash, output BLOB,"
                " output_sha256, reason)"
            )
            table.execute("CREATE TABLE moves (job_id, before, after)")
            table.execute("CREATE TABLE links (job_id, source BLOB, output BLOB)")
        table.close()

    def run(self, sql: str, *values: object) -> None:
        with sqlite3.connect(self.state / "jobs.sqlite") as table:
            table.execute(sql, values)
        table.close()

    def add_done(self) -> Path:
        """Drop a clip and pretend that it was restyled."""
        drop = self.dropper.drop(arrival="mv", num_frames=8)
        result = self.out / Path(drop["path"]).name
        darken(drop["clip"], result)
        self.run(
            "INSERT INTO jobs (state, source, fingerprint, opts_hash, output, output_sha256, reason)"
            " VALUES ('done', ?, ?, 'o', ?, ?, '')",
            os.fsencode(drop["path"]),
            drop["sha256"],
            os.fsencode(result),
            checker.sha256_of(str(result)),
        )
        self.run("INSERT INTO moves VALUES (?, 'publishing', 'done')", drop["clip"])
        return result

    def judge(self, *more: str) -> dict[str, Any]:
        files = ["--manifest", str(self.dropper.manifest)] if self.dropper.manifest.exists() else []
        command = [sys.executable, str(SCRIPTS / "checker.py"), str(self.state), str(self.out), *files, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        found = json.loads(done.stdout)
        assert done.returncode == any(found[name] for name in ("lost", "duplicates", "partial", "orphans", "temp_left"))
        return dict(found)


def darken(clip: int, path: Path, num_frames: int = 8) -> None:
    """Write a clip as the rehearsal style would restyle it: dark in the middle."""

    def draw(clip: int, frame: int, total: int) -> media.Picture:
        picture = bright(clip, frame, total)
        picture[40:88, 50:110] = 255 - picture[40:88, 50:110]
        return picture

    bright = media.draw_frame
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media, "draw_frame", draw)
        write_clip(path, clip, num_frames)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def counts(found: dict[str, Any]) -> list[int]:
    return [found[name] for name in ("lost", "duplicates", "partial", "orphans", "temp_left")]


def test_a_clean_house_is_found_clean(scene: Scene) -> None:
    scene.add_done()
    assert counts(scene.judge()) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("state", ["settling", "queued", "running", "publishing", "blocked"])
def test_a_job_without_an_end_is_lost(scene: Scene, state: str) -> None:
    scene.add_done()
    scene.run("UPDATE jobs SET state = ?", state)
    assert scene.judge()["lost"] > 0


def test_a_drop_that_nobody_knows_and_a_result_that_vanished_are_lost(scene: Scene) -> None:
    scene.add_done().unlink()
    scene.dropper.drop(arrival="mv", num_frames=2)
    assert counts(scene.judge())[0] == 2


def test_a_second_result_of_one_clip_is_a_duplicate_and_left_over(scene: Scene) -> None:
    result = scene.add_done()
    darken(1, result.with_name("clip0001-2.mp4"))
    assert counts(scene.judge()) == [0, 1, 0, 0, 1]


def test_a_job_that_was_published_twice_is_a_duplicate(scene: Scene) -> None:
    scene.add_done()
    scene.run("INSERT INTO moves VALUES (1, 'publishing', 'done')")
    assert counts(scene.judge())[1] == 1


@pytest.mark.parametrize("damage", ["cut", "short", "other", "unstyled", "changed"])
def test_results_that_are_cut_short_foreign_or_not_restyled_are_partial(scene: Scene, damage: str) -> None:
    result = scene.add_done()
    if damage == "cut":
        result.write_bytes(result.read_bytes()[:-3000])
    elif damage == "short":
        shorten(result)
        assert len(read(str(result))["frames"]) < 8
    elif damage == "other":
        darken(77, result)
    elif damage == "unstyled":
        write_clip(result, 1, 8)
    else:
        result.write_bytes(result.read_bytes() + b"\0")
    assert scene.judge()["partial"] > 0


def shorten(path: Path) -> None:
    made = path.with_name("made.mp4")
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [program, "-v", "error", "-i", str(path), "-frames:v", "5", "-c", "copy", str(made)]
    subprocess.run(command, check=True)
    made.replace(path)


def test_a_marked_process_is_an_orphan_and_what_lies_about_is_left(scene: Scene) -> None:
    scene.add_done()
    (scene.out / ".clip.mp4.part").write_text("x")
    (scene.state / "jobs" / "7").mkdir(parents=True)
    (scene.state / "jobs" / "7" / "chunk0.mkv").write_text("x")
    orphan = subprocess.Popen(["sleep", "60"], env={"UGATIT_TRIAL": "abc"})
    try:
        assert counts(scene.judge("--marker", "UGATIT_TRIAL=abc"))[3:] == [1, 2]
    finally:
        orphan.kill()
        orphan.wait()


def test_a_report_belongs_to_the_result_that_it_names_whatever_it_is_called(scene: Scene) -> None:
    result = scene.add_done()
    (scene.out / "clip~1234.report.json").write_text(json.dumps({"output": str(result)}))
    assert counts(scene.judge())[4] == 0
    (scene.out / "other.report.json").write_text(json.dumps({"output": "/elsewhere/other.mp4"}))
    assert counts(scene.judge())[4] == 1


def test_what_the_sampler_saw_counts(scene: Scene, tmp_path: Path) -> None:
    scene.add_done()
    sampled = tmp_path / "sampled.json"
    sampler = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "sampler.py"), str(scene.out), str(sampled)], stdin=subprocess.PIPE
    )
    half = scene.out / "half.mp4"
    half.write_bytes(scene.add_done().read_bytes()[:5000])
    time.sleep(1.0)
    half.unlink()
    sampler.communicate()  # stdin ends, and so it does
    assert json.loads(sampled.read_text())["looks"] > 5
    assert counts(scene.judge("--sampled", str(sampled))) == [0, 0, 1, 0, 0]


@pytest.mark.parametrize("script", ["checker.py", "sampler.py", "read_frames.py"])
def test_the_judges_import_nothing_of_what_they_judge(script: str) -> None:
    tree = ast.parse((SCRIPTS / script).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & ROOMS
    assert all(node.level == 0 for node in imports if isinstance(node, ast.ImportFrom))
