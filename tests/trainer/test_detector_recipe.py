"""The detector recipe on a handful of made-up pictures: parts, scenes, targets, loss, resume, command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from alignment.scenes import cut_out
from alignment.spotter import load_builtin_detector
from alignment.spotter_net import STRIDES, SpotterNet, SpotterOutput, cell_centres
from trainer.errors import TrainingDataError
from trainer.recipes.detector import export_weights, main
from trainer.recipes.detector_data import (
    HELD_STOCK,
    TRAINING_STOCK,
    Backdrop,
    Person,
    SceneParts,
    load_held_parts,
    load_training_parts,
    stock_pictures,
)
from trainer.recipes.detector_scenes import LabelledScene, SceneConfig, SceneSampler, collage, random_view
from trainer.recipes.detector_training import (
    Batch,
    DetectorState,
    DetectorTrainingConfig,
    assign,
    collate,
    detector_losses,
    find_hard,
    train_detector,
)
from trainer.recipes.training_state import learning_rate_at

from .test_landmark_recipe import write_data

TINY = {"widths": (4, 4, 8, 8, 8), "num_blocks": (0, 1, 1, 1), "joint_width": 8}


def made_up_parts() -> SceneParts:
    picture = np.full((120, 100, 3), 180, np.uint8)
    points = np.array([[40, 45], [60, 45], [50, 55], [42, 68], [58, 68]], np.float32)
    for x, y in points.astype(int):
        cv2.circle(picture, (int(x), int(y)), 3, (20, 20, 20), -1)
    whole = cut_out(picture, np.full((120, 100), 255, np.uint8), np.array([30, 25, 70, 80], np.float32), points)
    walls = [np.full((90, 120, 3), value, np.uint8) for value in (40, 90, 140)]
    backdrops = [Backdrop(wall, np.zeros((0, 2), np.float32)) for wall in walls]
    return SceneParts([Person(whole, whole, whole)], backdrops, [np.full((30, 30, 3), 60, np.uint8)])


def scene(*boxes: tuple[float, float, float, float], is_judged: tuple[bool, ...] = ()) -> LabelledScene:
    count = len(boxes)
    array = np.array(boxes, np.float32).reshape(count, 4)
    points = np.repeat(((array[:, :2] + array[:, 2:]) / 2)[:, None], 5, axis=1)
    judged = np.array(is_judged or (True,) * count, bool)
    return LabelledScene(np.zeros((320, 320, 3), np.uint8), array, points, judged, np.ones(count, bool))


# Parts


def write_everything(root: Path) -> Path:
    """The landmark recipe's made-up data with masks, and with one face per picture."""
    write_data(root)
    for group in ("portraits", "faces"):
        for folder in ("person", "parsing"):
            (root / group / folder).mkdir(exist_ok=True)
        notes = json.loads((root / group / "faces.json").read_text(encoding="utf-8"))
        for name, note in notes.items():
            faces = note if isinstance(note, list) else note["faces"]
            del faces[0]  # leave the labelled face alone
            height, width = cv2.imread(str(root / group / "images" / f"{name}.jpg")).shape[:2]
            labels = np.zeros((height, width), np.uint8)
            labels[height // 6 : height * 3 // 4, width // 4 : width * 3 // 4] = 1
            labels[height * 3 // 4 :] = 16
            cv2.imwrite(str(root / group / "parsing" / f"{name}.png"), labels)
            cv2.imwrite(str(root / group / "person" / f"{name}.png"), (labels > 0).astype(np.uint8) * 255)
        (root / group / "faces.json").write_text(json.dumps(notes), encoding="utf-8")
    return root


def test_every_picture_with_one_face_gives_a_person_and_a_background(tmp_path: Path) -> None:
    root = write_everything(tmp_path)
    training = load_training_parts(root, hold_portraits=1, hold_faces=1)
    held = load_held_parts(root, hold_portraits=1, hold_faces=1)
    names = [{person.whole.name for person in parts.people} for parts in (training, held)]
    assert not names[0] & names[1]
    assert len(names[1]) == 2
    assert len(held.backgrounds) == len(HELD_STOCK) + 2
    assert training.patches


def test_a_background_does_not_show_its_person(tmp_path: Path) -> None:
    root = write_everything(tmp_path)
    for path in root.glob("*/images/*.jpg"):  # people are red, walls are green
        labels = cv2.imread(str(path.parents[1] / "parsing" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        picture = np.full((*labels.shape, 3), (0, 200, 0), np.uint8)
        picture[labels > 0] = (0, 0, 200)
        cv2.imwrite(str(path), picture)
    parts = load_held_parts(root, hold_portraits=1, hold_faces=1)
    own = parts.backgrounds[len(HELD_STOCK)].picture
    assert own[..., 0].max() < 60
    assert own[..., 1].min() > 140


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="is no folder of labelled faces"):
        load_held_parts(tmp_path)


def test_no_stock_picture_is_trained_on_and_measured_on() -> None:
    assert not set(TRAINING_STOCK) & set(HELD_STOCK)
    assert not {"astronaut", "camera", "lfw_subset"} & {*TRAINING_STOCK, *HELD_STOCK}
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 and max(p.shape) <= 512 for p in stock_pictures(HELD_STOCK))


# Scenes


def test_scenes_are_the_same_for_the_same_chance_and_know_their_faces() -> None:
    sampler = SceneSampler(made_up_parts(), SceneConfig(empty_share=0.0))
    one, again = (sampler.draw(np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.picture, again.picture)
    np.testing.assert_array_equal(one.boxes_xyxy, again.boxes_xyxy)
    counts = [len(sampler.draw(np.random.default_rng(i)).boxes_xyxy) for i in range(30)]
    assert sum(count > 0 for count in counts) > 24
    assert max(counts) > 1


def test_some_scenes_have_no_face() -> None:
    sampler = SceneSampler(made_up_parts(), SceneConfig(empty_share=1.0))
    assert not any(len(sampler.draw(np.random.default_rng(i)).boxes_xyxy) for i in range(10))


def test_a_view_is_square_and_of_the_backdrop() -> None:
    view = random_view(
        Backdrop(np.full((50, 80, 3), 77, np.uint8), np.zeros((0, 2), np.float32)), 64, np.random.default_rng(0)
    )
    assert view.shape == (64, 64, 3)
    assert (view == 77).all()


def test_a_collage_is_made_of_pieces_of_backgrounds_and_patches() -> None:
    picture = collage(made_up_parts(), 320, np.random.default_rng(2))
    assert picture.shape == (320, 320, 3)
    assert len(np.unique(picture)) > 2


# Targets


@pytest.mark.parametrize(("size", "expected"), [(20, {8}), (48, {8, 16}), (70, {16}), (100, {16, 32}), (300, {32})])
def test_a_face_is_found_on_the_grids_of_its_size(size: int, expected: set[int]) -> None:
    half = size / 2
    _, cells, owners = assign(scene((160 - half, 160 - half, 160 + half, 160 + half)))
    strides = cell_centres(320, 320)[1].numpy()
    assert set(strides[cells].astype(int)) == expected
    assert (owners == 0).all()


def test_every_face_has_a_cell_even_the_smallest_between_cells() -> None:
    for shift in range(16):
        _, cells, _ = assign(scene((100 + shift, 100, 114 + shift, 114)))
        assert len(cells) >= 1


def test_where_faces_meet_the_smaller_has_the_cell() -> None:
    _, cells, owners = assign(scene((60, 60, 260, 260), (110, 110, 210, 210)))
    centres, strides = (t.numpy() for t in cell_centres(320, 320))
    middle = np.flatnonzero((strides == 32) & (np.abs(centres - 160).max(1) < 17))
    assert set(owners[np.isin(cells, middle)]) == {1}


def test_a_face_that_is_not_judged_counts_neither_way() -> None:
    is_judged, cells, _ = assign(scene((100, 100, 140, 140), is_judged=(False,)))
    centres, _ = (t.numpy() for t in cell_centres(320, 320))
    inside = ((centres >= 100) & (centres <= 140)).all(1)
    assert len(cells) == 0
    np.testing.assert_array_equal(is_judged, ~inside)


def test_a_grid_just_beside_a_faces_size_is_not_judged_at_its_middle() -> None:
    is_judged, cells, _ = assign(scene((130, 130, 190, 190)))  # 60 px: found at stride 16, nearly at 8
    strides = cell_centres(320, 320)[1].numpy()
    assert set(strides[cells]) == {16}
    assert set(strides[~is_judged]) == {8}


# Loss and schedule


def exact(batch: Batch, num_cells: int) -> SpotterOutput:
    boxes = torch.zeros(len(batch.pictures) * num_cells, 4)
    boxes[:, 2:] = 1
    points = torch.zeros(len(boxes), 5, 2)
    boxes[batch.cells], points[batch.cells] = batch.boxes, batch.points
    logits = torch.full((len(boxes),), -20.0)
    logits[batch.cells] = 20.0
    shape = (len(batch.pictures), num_cells)
    return SpotterOutput(logits.reshape(shape), boxes.reshape(*shape, 4), points.reshape(*shape, 5, 2))


def test_the_truth_costs_nothing() -> None:
    batch = collate([scene((100, 100, 140, 140)), scene()])
    output = exact(batch, sum((320 // s) ** 2 for s in STRIDES))
    losses = detector_losses(output, batch, DetectorTrainingConfig())
    assert losses["total"].item() == pytest.approx(0, abs=1e-5)


def test_points_that_are_guesses_and_cells_that_are_not_judged_cost_nothing() -> None:
    guess = replace(scene((100, 100, 140, 140)), has_points=np.array([False]))
    batch = collate([guess, scene((200, 200, 240, 240), is_judged=(False,))])
    output = exact(batch, sum((320 // s) ** 2 for s in STRIDES))
    output.points.add_(50)
    output.score_logits[1][~batch.is_judged[1]] = 20
    assert detector_losses(output, batch, DetectorTrainingConfig())["total"].item() == pytest.approx(0, abs=1e-5)


def test_a_box_beside_its_face_costs_more_than_one_nearly_on_it() -> None:
    batch = collate([scene((100, 100, 140, 140))])
    output, costs = exact(batch, sum((320 // s) ** 2 for s in STRIDES)), []
    for shift in (2.0, 30.0, 80.0):
        moved = output._replace(boxes=output.boxes + shift)
        costs.append(detector_losses(moved, batch, DetectorTrainingConfig())["box"].item())
    assert costs[0] < costs[1] < costs[2]


def test_a_batch_without_a_face_trains_the_score_only() -> None:
    batch = collate([scene(), scene()])
    output = SpotterNet(**TINY)(torch.zeros(2, 3, 320, 320))  # type: ignore[arg-type]
    losses = detector_losses(output, batch, DetectorTrainingConfig())
    assert losses["box"] == losses["points"] == 0
    losses["total"].backward()  # type: ignore[no-untyped-call]


def test_the_learning_rate_rises_then_falls_to_a_hundredth() -> None:
    config = DetectorTrainingConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in (0, 9, 10, 55, 100)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.505, 0.01], abs=1e-6)


# The run


def quick(**changes: object) -> DetectorTrainingConfig:
    options = {"steps": 4, "batch_size": 2, "warmup_steps": 1, "snapshot_steps": 2, "is_autocast": False}
    return DetectorTrainingConfig(scenes=SceneConfig(side_px=96), **(options | changes))  # type: ignore[arg-type]


def save_and_stop(state: DetectorState, path: Path, save: Callable[..., None] = DetectorState.save) -> None:
    save(state, path)
    raise KeyboardInterrupt


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run of four steps that looks for hard backgrounds after the first, and one that ended after two
    parts, config = made_up_parts(), quick(mining_shares=(0.25,))
    whole = train_detector(parts, tmp_path / "whole", config, TINY)
    with monkeypatch.context() as patch:
        patch.setattr(DetectorState, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train_detector(parts, tmp_path / "parts", config, TINY)
    # When the second goes on
    resumed = train_detector(parts, tmp_path / "parts", config, TINY)
    # Then nothing tells them apart
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_run_can_start_from_what_another_has_learnt(tmp_path: Path) -> None:
    parts, config = made_up_parts(), quick(mining_shares=(0.5,))
    learnt = train_detector(parts, tmp_path / "first", config, TINY)
    state = DetectorState.begin(lambda: SpotterNet(**TINY), config)  # type: ignore[arg-type]
    state.resume(tmp_path / "second" / "snapshot.pt", tmp_path / "first" / "snapshot.pt")
    assert (state.step, len(state.hard)) == (0, 1)
    for network in (state.network, state.average):
        assert all(torch.equal(a, b) for a, b in zip(learnt.parameters(), network.parameters(), strict=True))


def test_hard_backgrounds_are_the_ones_that_fire_most() -> None:
    # Given a network that fires the more the brighter a picture is
    network = SpotterNet(**TINY).eval()  # type: ignore[arg-type]

    def bright(pictures: torch.Tensor) -> SpotterOutput:
        return SpotterOutput(pictures.mean((1, 2, 3))[:, None], torch.zeros(1), torch.zeros(1))

    network.forward = bright  # type: ignore[method-assign, assignment]
    assert find_hard(network, made_up_parts(), quick(), share=0.67) == [2, 1]


def test_exported_weights_are_what_the_detector_runs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SpotterNet()
    torch.nn.init.constant_(network.heads[2].bias[0], 3.0)  # type: ignore[index, arg-type]  # sees big faces everywhere
    export_weights(network, tmp_path / "w.safetensors")
    assert (tmp_path / "w.safetensors").stat().st_size < 2**20
    faces = load_builtin_detector(tmp_path / "w.safetensors").detect(np.zeros((360, 360, 3), np.uint8))
    assert faces
    assert network.training


def test_exported_scores_are_shifted_so_that_a_grids_threshold_becomes_a_half(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = SpotterNet().eval()
    torch.nn.init.constant_(network.heads[2].bias[0], 1.0)  # type: ignore[index, arg-type]
    export_weights(network, tmp_path / "w.safetensors", thresholds=(0.5, 0.5, 0.6))
    picture = np.full((96, 96, 3), 200, np.uint8)
    with torch.no_grad():
        raw = network(torch.full((1, 3, 96, 96), 200 / 127.5 - 1)).score_logits.max()
    face = load_builtin_detector(tmp_path / "w.safetensors", working_short_side_px=96, min_score=0.01).detect(picture)[
        0
    ]
    assert face.score == pytest.approx(float(torch.sigmoid(raw - np.log(1.5))), abs=2e-3)


def test_the_commands_train_and_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, run = write_everything(tmp_path / "data"), tmp_path / "run"
    monkeypatch.setattr("trainer.recipes.detector_data.split_faces", lambda faces, *_: (faces[1:], faces[:1]))
    monkeypatch.setattr("trainer.recipes.detector_evaluation._VIEWS_EACH", 1)
    for arguments in (
        ["train", str(data), "-o", str(run), "--steps", "1", "--batch-size", "2"],
        ["evaluate", str(data), "-o", str(run), "--trials", "1"],
    ):
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
    assert set(figures) == {"builtin", "hog"}
    assert "| faces | n | builtin | hog |" in (run / "figures.md").read_text(encoding="utf-8")


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["train", str(tmp_path), "-o", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "is no folder of labelled faces" in result.output
