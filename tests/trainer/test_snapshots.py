"""Snapshots are whole or told to be damaged; and a run's folder is numbered and found."""

from __future__ import annotations

import errno
import json
import logging
from pathlib import Path

import pytest
import torch

from trainer import snapshots as snapshots_module
from trainer.config import RunConfig, TrainConfig
from trainer.errors import OutOfSpaceError, RunFolderError, SnapshotError
from trainer.run_folder import RunFolder
from trainer.snapshots import Snapshots

ARCHITECTURE = {"--channels": 4, "--head": "pooled"}


def state(step: int) -> dict:
    return {"step": step, "weights": {"w": torch.arange(5000.0) + step}}


def saved(folder: Path, *steps: int, keep: int = 9, scores: dict[int, float] | None = None) -> Snapshots:
    snapshots = Snapshots(folder, keep)
    for step in steps:
        snapshots.save(state(step), step, ARCHITECTURE, (scores or {}).get(step))
    return snapshots


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_newest_snapshot_comes_back_as_it_was(tmp_path: Path) -> None:
    content, info = saved(tmp_path, 5, 10).load_newest(ARCHITECTURE)
    assert info.step == content["step"] == 10
    assert torch.equal(content["weights"]["w"], state(10)["weights"]["w"])


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 1, 2, 3, 4, 5, keep=2, scores={1: 0.5, 2: 0.1, 3: 0.3, 4: float("nan")})
    assert sorted(snapshots.steps()) == [2, 4, 5]
    best = snapshots.best()
    assert best is not None
    assert (best.step, best.score) == (2, 0.1)
    assert {p.suffix for p in tmp_path.iterdir()} == {".pt", ".json"}
    assert len(list(tmp_path.iterdir())) == 6


def test_of_equal_scores_the_later_is_the_best(tmp_path: Path) -> None:
    best = saved(tmp_path, 1, 2, scores={1: 0.5, 2: 0.5}).best()
    assert best is not None
    assert best.step == 2


@pytest.mark.parametrize("how", ["one bit", "cut off", "no sidecar", "empty sidecar"])
def test_a_damaged_snapshot_is_told_of_and_the_one_before_taken(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = saved(tmp_path, 5, 10)
    path = tmp_path / "step-00000010.pt"
    if how == "one bit":
        damage(path)
    elif how == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "no sidecar":
        path.with_suffix(".json").unlink()
    else:
        path.with_suffix(".json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        content, _ = snapshots.load_newest(ARCHITECTURE)
    assert content["step"] == 5
    assert "step-00000010.pt' is damaged" in caplog.text


def test_a_damaged_snapshot_takes_no_room_from_those_made_after_the_one_before(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5, 10, keep=1)
    damage(tmp_path / "step-00000010.pt")
    snapshots.save(state(7), 7, ARCHITECTURE)
    assert snapshots.steps() == [7]


def test_without_a_whole_snapshot_there_is_no_going_on(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 5)
    damage(tmp_path / "step-00000005.pt")
    with pytest.raises(SnapshotError, match="no whole snapshot"):
        snapshots.load_newest(ARCHITECTURE)


def test_another_architecture_is_named_setting_by_setting(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"--channels is 4 there and 8 here; --scse is not set there and True here"):
        saved(tmp_path, 5).load_newest({"--channels": 8, "--head": "pooled", "--scse": True})


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_snapshot_before_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    snapshots = saved(tmp_path / "run" / "snapshots", 5)
    stream = snapshots_module._HashingStream
    write = stream.write

    def full_after_a_while(self, data):
        if self.size_bytes > 8000:
            raise OSError(number, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(stream, "write", full_after_a_while)
    with pytest.raises(OutOfSpaceError, match=r"snapshot of step 5 is whole.*train --resume .*run`"):
        snapshots.save(state(10), 10, ARCHITECTURE)
    assert sorted(p.name for p in snapshots.folder.iterdir()) == ["step-00000005.json", "step-00000005.pt"]
    assert snapshots.load_newest(ARCHITECTURE)[0]["step"] == 5


def test_what_snapshots_hold_cannot_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("evil",))

    snapshots = Snapshots(tmp_path, 1)
    snapshots.save({"evil": Evil()}, 1, ARCHITECTURE)
    with pytest.raises(Exception, match="weights_only"):
        snapshots.load_newest(ARCHITECTURE)


def test_runs_are_numbered_whatever_else_lies_there(tmp_path: Path) -> None:
    (tmp_path / "00007-old").mkdir()
    (tmp_path / "notes").mkdir()
    first, second = RunFolder.create(tmp_path, "a b/c"), RunFolder.create(tmp_path, "...")
    assert [first.path.name, second.path.name] == ["00008-a-b-c", "00009-run"]


def test_the_latest_run_is_the_one_of_the_highest_number(tmp_path: Path) -> None:
    for name in ("one", "two"):
        RunFolder.create(tmp_path, name).write_config(TrainConfig(), {})
    assert RunFolder.find(Path("latest"), tmp_path).path.name == "00001-two"


def test_a_config_comes_back_with_what_was_found(tmp_path: Path) -> None:
    folder, config = RunFolder.create(tmp_path, "x"), TrainConfig(run=RunConfig(steps=7))
    folder.write_config(config, {"num_a": 3})
    assert folder.read_config() == (config, {"num_a": 3})


@pytest.mark.parametrize("text", ["", "[]", '{"config": {}}'])
def test_a_config_that_is_not_understood_names_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RunFolderError, match=r"config\.json"):
        RunFolder(tmp_path).read_config()


def test_a_folder_without_config_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no config"):
        RunFolder.find(tmp_path)
    with pytest.raises(RunFolderError, match="no run in"):
        RunFolder.find(Path("latest"), tmp_path)


def test_a_file_is_no_folder_for_runs(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        RunFolder.create(tmp_path / "runs", "x")


def test_a_sidecar_is_json_that_a_person_can_read(tmp_path: Path) -> None:
    saved(tmp_path, 3, scores={3: 0.25})
    told = json.loads((tmp_path / "step-00000003.json").read_text())
    assert (told["step"], told["score"], told["architecture"]) == (3, 0.25, ARCHITECTURE)
