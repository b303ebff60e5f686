"""The command `train` from a folder of pictures to a style, and what becomes of it when something goes wrong."""

from __future__ import annotations

import errno
import json
import logging
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import run
from model import load_style
from trainer import snapshots as snapshots_module
from trainer.batch import Batch
from trainer.run_state import RunState
from trainer.steps import Stepper

ROOT = Path(__file__).parents[2]
TINY = """
    --size 32 --channels 4 --blocks 1 --global-depth 4 --local-depth 3 --device cpu --workers 0
    --augment colour,translation --temporal 1 --preview-every 1000 --log-every 5
""".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise: on pictures of one colour, norms divide by nothing and gradients explode."""
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for name, count in (("trainA", 5), ("trainB", 7)):
        (root / name).mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(autouse=True)
def no_word_of_missing_tests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "trainer.held_out")


def train(*arguments: object) -> int:
    return run.main([str(argument) for argument in arguments])


def begun(data: Path, runs: Path, *more: object) -> list[str]:
    return ["train", str(data), "-o", str(runs), "--name", "x", *TINY, *(str(argument) for argument in more)]


def in_own_process(arguments: list[str], until: Path) -> subprocess.Popen[str]:
    """Start a run and return when a file of it is there."""
    process = subprocess.Popen(
        [sys.executable, "run.py", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not until.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    return process


def snapshot(run_dir: Path, step: int) -> dict:
    return torch.load(run_dir / "snapshots" / f"step-{step:08d}.pt", weights_only=True)


def leaves(content: object, path: str = ""):
    if isinstance(content, dict):
        content = content.items()
    elif isinstance(content, list | tuple):
        content = enumerate(content)
    else:
        yield path, content
        return
    for key, value in content:
        yield from leaves(value, f"{path}/{key}")


def different(a: dict, b: dict) -> list[str]:
    """Names of everything but options that two snapshots do not have in common, to the bit."""
    ours, theirs = ({k: v for k, v in leaves(x) if not k.startswith("/config")} for x in (a, b))
    same = {
        k
        for k in ours.keys() & theirs.keys()
        if (torch.equal(ours[k], theirs[k]) if isinstance(ours[k], torch.Tensor) else ours[k] == theirs[k])
    }
    return sorted((ours.keys() | theirs.keys()) - same)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_that_was_killed_goes_on_to_the_bit_as_if_it_had_not_been(
    data: Path, tmp_path: Path, precision: str
) -> None:
    # Given: a run that nothing disturbed
    steps = ["--steps", "20", "--precision", precision]
    assert train(*begun(data, tmp_path / "whole", *steps, "--snapshot-every", 20)) == 0
    # When: another is killed in the middle, and then told to go on
    cut = tmp_path / "cut" / "00000-x"
    until = cut / "snapshots" / "step-00000005.pt"
    process = in_own_process(begun(data, tmp_path / "cut", *steps, "--snapshot-every", 5), until)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (cut / "snapshots" / "step-00000020.pt").exists()
    assert train("train", "--resume", cut) == 0
    # Then: all weights, averages, moments and chances are the same, and so is the log
    whole = tmp_path / "whole" / "00000-x"
    assert different(snapshot(whole, 20), snapshot(cut, 20)) == []
    told = [[json.loads(line) for line in (r / "log.jsonl").read_text().splitlines()] for r in (whole, cut)]
    assert [entry["step"] for entry in told[0]] == [entry["step"] for entry in told[1]]
    assert told[0][-1]["generator/total"] == told[1][-1]["generator/total"]


def test_ctrl_c_saves_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    cut = tmp_path / "00000-x"
    process = in_own_process(begun(data, tmp_path, "--steps", 100_000, "--snapshot-every", 5), cut / "snapshots")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    step = max(int(path.stem.partition("-")[2]) for path in (cut / "snapshots").glob("*.pt"))
    assert f"Stopped after step {step}, and saved. Go on with: train --resume {cut}" in out
    assert snapshot(cut, step)["step"] == step


def test_a_run_leaves_everything_in_its_folder(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--json", *begun(data, tmp_path, "--steps", 6, "--template", "tight")]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = tmp_path / "00000-x"
    assert (told["ok"], told["run"], told["steps"], told["skipped_steps"]) == (True, str(folder), 6, 0)
    for name in ("config.json", "log.jsonl", "curves.png", "previews/step-00000006.png", "snapshots/step-00000006.pt"):
        assert (folder / name).stat().st_size, name
    assert list(folder.glob("events.*"))
    style = load_style(told["style"])
    assert (style.name, style.card.template, style.card.crop_size_px) == ("00000-x", "tight", 32)
    averages = snapshot(folder, 6)["averages"]
    assert torch.equal(style.generator.draw.weight, averages["gen_a2b"]["draw.weight"].half().float())
    back = load_style(told["style_b2a"])
    assert torch.equal(back.generator.draw.weight, averages["gen_b2a"]["draw.weight"].half().float())
    found = json.loads((folder / "config.json").read_text())["found"]
    assert (found["num_a"], found["num_b"], found["data"]) == (5, 7, str(data))


def test_the_config_of_a_run_alone_reproduces_it(data: Path, tmp_path: Path) -> None:
    assert train(*begun(data, tmp_path, "--steps", 3, "--seed", 4)) == 0
    assert train("train", "--config", tmp_path / "00000-x" / "config.json", "-o", tmp_path, "--name", "again") == 0
    assert different(snapshot(tmp_path / "00000-x", 3), snapshot(tmp_path / "00001-again", 3)) == []


def test_a_run_may_last_longer_than_planned_but_not_shorter_than_it_has(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*begun(data, tmp_path, "--steps", 3)) == 0
    assert train("train", "--resume", "latest", "-o", tmp_path, "--steps", 5) == 0
    assert snapshot(tmp_path / "00000-x", 5)["step"] == 5
    assert train("train", "--resume", tmp_path / "00000-x", "--steps", 4) == 12
    assert "--steps is 4, but 5 are done" in capsys.readouterr().err
    assert train("train", "--resume", tmp_path / "00000-x", "--channels", 8) == 12
    assert "--channels is 4 in this run and cannot become 8" in capsys.readouterr().err


def test_a_run_begins_with_the_networks_of_another(data: Path, tmp_path: Path) -> None:
    assert train(*begun(data, tmp_path, "--steps", 2)) == 0
    first = tmp_path / "00000-x"
    assert train(*begun(data, tmp_path, "--steps", 1, "--start-from", first, "--learning-rate", 0)) == 0
    theirs, ours = snapshot(first, 2)["networks"], snapshot(tmp_path / "00001-x", 1)["networks"]
    assert torch.equal(theirs["disc_local_b"]["judge.weight"], ours["disc_local_b"]["judge.weight"])
    assert torch.equal(theirs["gen_a2b"]["draw.weight"], ours["gen_a2b"]["draw.weight"])


def test_a_style_of_another_architecture_is_refused_with_the_settings(
    data: Path, tmp_path: Path, style_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    channels = load_style(style_file).config.base_channels
    arguments = begun(data, tmp_path, "--steps", 2, "--start-from", style_file, "--channels", channels + 1)
    assert train(*arguments) == 12
    assert f"--channels is {channels} there and {channels + 1} here" in capsys.readouterr().err


def test_a_full_disk_ends_the_run_with_the_snapshot_before_whole(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    advance = RunState.advance

    def advance_until_full(self, batches):
        if self.step == 4:
            monkeypatch.setattr(snapshots_module._HashingStream, "write", full)
        return advance(self, batches)

    monkeypatch.setattr(RunState, "advance", advance_until_full)
    assert train(*begun(data, tmp_path, "--steps", 6, "--snapshot-every", 3)) == 8
    assert "the snapshot of step 3 is whole" in capsys.readouterr().err
    monkeypatch.undo()
    assert train("train", "--resume", tmp_path / "00000-x") == 0


def test_a_run_that_diverged_stops_and_says_what_to_try(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    to = Batch.to
    spoilt = iter([False, True, False, *[True] * 9])

    def maybe_spoilt(self, device):
        moved = to(self, device)
        a = replace(moved.a, real=moved.a.real * float("nan")) if next(spoilt) else moved.a
        return replace(moved, a=a)

    monkeypatch.setattr(Batch, "to", maybe_spoilt)
    limits = ("--steps", 50, "--max-bad-steps", 4, "--snapshot-every", 3)
    assert train(*begun(data, tmp_path, *limits)) == 12
    assert "4 steps in a row up to step 7" in capsys.readouterr().err
    content = snapshot(tmp_path / "00000-x", 6)  # steps that were skipped have spoilt nothing
    assert all(torch.isfinite(t).all() for _, t in leaves(content["networks"]))
    assert int(content["stepper"]["num_skipped"]) == 4


def test_a_step_that_does_not_fit_tells_what_would(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr(Stepper, "run", too_large)
    assert train(*begun(data, tmp_path, "--steps", 2, "--batch-size", 4, "--precision", "bf16")) == 12
    assert "It would fit with --batch-size 2 --accumulate 2" in capsys.readouterr().err


def test_a_dry_run_tells_what_it_needs_and_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert train(*begun(data, runs, "--dry-run")) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--channels 4" in text
    assert "gen_a2b" in text
    assert "Memory: about" in text
    assert not runs.exists()


@pytest.mark.parametrize(
    ("folders", "told"), [((), "trainA"), (("trainA",), "trainB"), (("trainA", "trainB"), "picture")]
)
def test_missing_pictures_are_told_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folders: tuple[str, ...], told: str
) -> None:
    for name in folders:
        (tmp_path / "data" / name).mkdir(parents=True)
    assert train(*begun(tmp_path / "data", tmp_path / "runs", "--steps", 2)) == 12
    assert told in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_what_a_run_has_fixed_is_not_asked_for_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("train", "--resume", tmp_path, "--preset", "tiny") == 2
    assert "--preset and --resume exclude each other" in capsys.readouterr().err
    assert train("train", "--resume", tmp_path) == 12
    assert "no config.json" in capsys.readouterr().err
    assert train("train") == 12
    assert "train DATA" in capsys.readouterr().err
