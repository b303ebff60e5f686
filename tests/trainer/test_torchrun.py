"""`torchrun` with two processes has the losses of one process with all pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
OPTIONS = """
    --size 32 --channels 4 --blocks 1 --global-depth 4 --local-depth 3 --device cpu --workers 0 --precision fp32
    --steps 4 --log-every 2
""".split()  # noqa: SIM905
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.mark.slow
def test_two_processes_log_the_losses_of_one_with_the_double_batch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("trainA", "trainB"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "data" / name / f"{i}.png")
    for name, launcher, batch_size in (("two", TORCHRUN, "1"), ("one", [], "2")):
        arguments = ["train", tmp_path / "data", "-o", tmp_path, "--name", name, "--batch-size", batch_size, *OPTIONS]
        subprocess.run([sys.executable, *launcher, "run.py", *arguments], cwd=ROOT, check=True, capture_output=True)
    assert sorted(p.name for p in tmp_path.glob("0*")) == ["00000-two", "00001-one"]  # one folder, however many write
    two, one = (
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("00000-two", "00001-one")
    )
    for ours, theirs in zip(two, one, strict=True):
        losses = {name: value for name, value in theirs.items() if name.startswith(("generator/", "discriminator/"))}
        assert losses
        assert {name: ours[name] for name in losses} == pytest.approx(losses, rel=1e-5)
