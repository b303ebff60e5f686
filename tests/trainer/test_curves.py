import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.curves import build_panels, draw_curves
from trainer.errors import RunFolderError
from trainer.journal import Journal, read_log


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with Journal(tmp_path) as journal:
        for step in (10, 20, 30):
            losses = {"generator/cycle_a2b": 4.0 / step, "generator/total": math.nan if step == 20 else 9.0}
            journal.tick(step, losses | {"run/learning_rate": 1e-4, "run/kimg": step / 1000})
        counts = {f"{kind}/a2b/num_{what}": 7 for kind in ("raw", "averaged") for what in ("fake", "real", "source")}
        scores = {f"{kind}/a2b/{name}": 0.5 for kind in ("raw", "averaged") for name in ("kid_x", "kid_x_std", "fid_x")}
        journal.tick(30, scores | counts)
    return tmp_path


def test_every_kind_of_number_has_its_panel_in_order(run: Path) -> None:
    panels = {panel.title: sorted(panel.curves) for panel in build_panels(read_log(run / "log.jsonl"))}
    assert panels == {
        "losses, total": ["generator"],
        "losses of the generator": ["cycle_a2b"],
        "fid_x a2b (7 fake, 7 real)": ["averaged", "raw"],
        "kid_x a2b (7 fake, 7 real)": ["averaged", "raw"],
        "learning rate": [""],
    }
    assert next(iter(panels)) == "losses, total"


def test_a_number_that_was_not_finite_breaks_its_curve(run: Path) -> None:
    (total,) = (panel for panel in build_panels(read_log(run / "log.jsonl")) if panel.title == "losses, total")
    steps, values = total.curves["generator"]
    assert steps == [10, 20, 30]
    assert np.array_equal(values, [9.0, math.nan, 9.0], equal_nan=True)


def test_curves_are_drawn_as_a_png(run: Path) -> None:
    draw_curves(run / "log.jsonl", run / "curves.png")
    picture = cv2.imread(str(run / "curves.png"))
    assert picture.shape[1] == 1280
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50  # not an empty sheet


def test_an_empty_log_gives_an_empty_sheet(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").touch()
    draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_a_missing_log_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"nowhere/log\.jsonl"):
        draw_curves(tmp_path / "nowhere" / "log.jsonl", tmp_path / "curves.png")
