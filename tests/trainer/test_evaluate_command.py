import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from model import GeneratorConfig, Style, StyleCard, build_generator
from run import Globals, cli


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """A tiny style, and three test pictures a side."""
    dice = np.random.default_rng(0)
    for name in ("testA", "testB"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(tmp_path / "data" / name / f"{index}.png"), dice.integers(0, 256, (32, 32, 3), np.uint8))
    config = GeneratorConfig(base_channels=4, num_blocks=1, image_size_px=32, head_size=1)
    Style("tiny", StyleCard(crop_size_px=32), config, build_generator(config)).save(tmp_path / "tiny.safetensors")
    return [str(tmp_path / "tiny.safetensors"), str(tmp_path / "data"), "-o", str(tmp_path / "grid.png")]


def run(*arguments: str) -> str:
    options = ["--features", "parser", "--device", "cpu", "--precision", "fp32"]
    result = CliRunner().invoke(cli, [*arguments, *options], obj=Globals(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_evaluate_tells_scores_counts_and_time_and_writes_the_grid(inputs: list[str]) -> None:
    told = run("evaluate", *inputs)
    assert "tiny (a2b): 3 fakes against 3 real pictures of B, features: parser" in told
    assert "KID" in told
    assert "FID" in told
    assert "ms per picture of 32 px, fp32 on cpu" in told
    assert cv2.imread(inputs[-1]).shape[1] > 3 * 144


def test_evaluate_gives_the_same_as_json(inputs: list[str]) -> None:
    told = json.loads(run("--json", "evaluate", *inputs, "--direction", "b2a"))
    assert told["ok"] is True
    assert told["direction"] == "b2a"
    assert told["num_pictures"] == {"fake": 3, "real": 3, "source": 3}
    assert told["grid"] == inputs[-1]


def test_the_command_imports_no_torch() -> None:
    code = "import sys, trainer.cli_evaluate; print('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"
