"""The landmark recipe on a handful of made-up labels: data, regions, loss, resume, command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from click.testing import CliRunner

from alignment.landmark_net import LandmarkNet, LandmarkOutput
from alignment.landmarks import load_landmark_predictor, roi_from_box
from alignment.points import MESH, MESH_INDICES, Points, eye_distance, five_points
from trainer.errors import TrainingDataError
from trainer.recipes import landmark_degrade as degradations
from trainer.recipes.landmark_data import MIRROR, LabelledFace, held_out_names, load_faces, split_faces
from trainer.recipes.landmark_evaluation import evaluate_landmarks, look_twice
from trainer.recipes.landmark_regions import Batch, RegionBatches, RegionConfig, RegionSampler
from trainer.recipes.landmark_training import (
    LandmarkTrainingConfig,
    LossWeights,
    landmark_losses,
    train_landmarks,
)
from trainer.recipes.landmarks import export_weights, main, mix_weights
from trainer.recipes.training_state import AveragedState, learning_rate_at

TINY = {"widths": (4, 4, 8, 8, 8), "num_blocks": (1, 1, 1, 1), "joint_width": 8}


def made_up_landmarks(centre_xy: tuple[float, float], eyes_px: float) -> Points:
    """152 landmarks of a symmetric cartoon face, upright."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    points = np.zeros((152, 2))
    outline = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points[MESH["outline"]] = np.stack([1.05 * np.sin(outline), 0.35 - 1.4 * np.cos(outline)], 1)
    for side, x in (("right", -0.5), ("left", 0.5)):
        outwards = np.sign(x)
        points[MESH[f"{side}_eye"]] = np.stack([x + outwards * 0.2 * np.cos(angles), -0.08 * np.sin(angles)], 1)
        points[MESH[f"{side}_brow"]] = np.stack([x - outwards * np.linspace(-0.3, 0.3, 10), np.full(10, -0.3)], 1)
        points[MESH[f"{side}_iris"]] = np.array([x, 0]) + 0.06 * np.array([[0, 0], [1, 0], [0, -1], [-1, 0], [0, 1]])
    points[MESH["nose"]][:7, 1] = np.linspace(0.1, 0.5, 7)
    points[MESH["nose"]][7:] = [[x, 0.5] for x in (-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3)]
    ring = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for name, size in (("lips_outer", 1.0), ("lips_inner", 0.7)):
        points[MESH[name]] = np.stack([-0.4 * size * np.cos(ring), 1.0 - 0.15 * size * np.sin(ring)], 1)
    return (points * eyes_px + centre_xy).astype(np.float32)


def made_up_face(name: str = "faces/a", picture: np.ndarray | None = None) -> LabelledFace:
    landmarks = made_up_landmarks((110, 90), 40)
    box = np.concatenate([landmarks.min(0), landmarks.max(0)])[None]
    if picture is None:
        picture = np.random.default_rng(len(name)).integers(0, 256, (220, 240, 3)).astype(np.uint8)
    return LabelledFace(name, picture, landmarks, box, True, np.zeros((0, 2), np.float32))


def write_data(root: Path, num_portraits: int = 2, num_faces: int = 3) -> Path:
    """A data folder whose pictures all differ; landmarks 478 of which the 152 make a face."""
    rng = np.random.default_rng(0)
    for group, count in (("portraits", num_portraits), ("faces", num_faces)):
        (root / group / "images").mkdir(parents=True)
        meshes, notes = {}, {}
        for i in range(count):
            picture = rng.integers(0, 256, (300, 400, 3)).astype(np.uint8)
            cv2.imwrite(str(root / group / "images" / f"n{i}.jpg"), picture)
            mesh = np.full((478, 2), 0.5, np.float32)
            landmarks = made_up_landmarks((200, 130), 50)
            mesh[list(MESH_INDICES)] = (landmarks + 0.5) / (400, 300)
            meshes[f"n{i}/landmarks"] = mesh
            five = ((five_points(landmarks) + 0.5) / (400, 300)).tolist()
            faces = [
                {"box_xywh": [0.0, 0.0, 0.1, 0.1], "points": [[0.05, 0.05]] * 5, "score": 0.9},
                {"box_xywh": [0.35, 0.2, 0.3, 0.6], "points": five, "score": 0.8},
            ]
            notes[f"n{i}"] = faces if group == "portraits" else {"faces": faces, "size_px": 400}
        np.savez(root / group / "landmarks478.npz", **meshes)
        (root / group / "faces.json").write_text(json.dumps(notes), encoding="utf-8")
    return root


# The mirror order


def test_mirroring_twice_changes_nothing() -> None:
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(152))


def test_only_landmarks_on_the_middle_line_mirror_onto_themselves() -> None:
    own = {MESH_INDICES[i] for i in np.flatnonzero(np.arange(152) == MIRROR)}
    assert own == {10, 152, 168, 6, 197, 195, 5, 4, 1, 2, 0, 17, 13, 14}


def test_the_mirror_order_of_labelled_portraits_is_the_one_their_shapes_show(shared: Path) -> None:
    # Given the mean shape of the portraits about its own middle line
    with np.load(shared / "data" / "portraits" / "landmarks478.npz") as labels:
        shapes = np.stack([labels[key][list(MESH_INDICES)] for key in labels.files])
    own_frame = [(s - five_points(s).mean(0)) / eye_distance(s) for s in shapes]
    mean = np.mean(own_frame, axis=0)
    # When it is mirrored and put in the mirror order
    mirrored = mean[MIRROR] * (-1, 1)
    # Then each landmark comes to lie on itself
    assert np.linalg.norm(mirrored - mean, axis=1).max() < 0.06


def test_the_predictor_agrees_that_a_mirrored_picture_has_mirrored_landmarks() -> None:
    # Given the landmarks of a face and of its mirror picture
    predictor = load_landmark_predictor()
    picture = skimage.data.astronaut()
    box = np.array([183.5, 53.1, 274.9, 181.8], np.float32)
    mirrored_box = np.array([511 - 274.9, 53.1, 511 - 183.5, 181.8], np.float32)
    upright = look_twice(predictor, picture, roi_from_box(box, 128)).landmarks
    mirrored = look_twice(predictor, np.ascontiguousarray(picture[:, ::-1]), roi_from_box(mirrored_box, 128)).landmarks
    # When the second are turned round and put in the mirror order
    back = mirrored[MIRROR] * np.float32([-1, 1]) + np.float32([511, 0])
    # Then each is near its own (a wrong order is off by a tenth of the eyes' distance at least)
    assert np.linalg.norm(back - upright, axis=1).max() < 0.09 * eye_distance(upright)


# Data


def test_labels_are_read_as_pixels_and_the_labelled_face_comes_first(tmp_path: Path) -> None:
    faces = load_faces(write_data(tmp_path), is_shrunk=False)
    assert [face.name for face in faces] == ["portraits/n0", "portraits/n1", "faces/n0", "faces/n1", "faces/n2"]
    np.testing.assert_allclose(faces[0].landmarks, made_up_landmarks((200, 130), 50), atol=1e-3)
    np.testing.assert_allclose(faces[0].boxes_xyxy[0], [140, 60, 260, 240], atol=1e-3)
    assert faces[0].is_box_of_face


def test_a_shrunk_face_keeps_its_shape_and_lies_in_its_picture(tmp_path: Path) -> None:
    face = load_faces(write_data(tmp_path), names={"faces/n1"})[0]
    low, high = face.landmarks.min(0), face.landmarks.max(0)
    assert (high - low).max() == pytest.approx(112, abs=1)
    assert (low >= 0).all()
    assert (high < face.picture.shape[1::-1]).all()
    whole = made_up_landmarks((200, 130), 50)
    expected = (whole - whole.mean(0)) * (eye_distance(face.landmarks) / eye_distance(whole))
    np.testing.assert_allclose(face.landmarks - face.landmarks.mean(0), expected, atol=0.6)


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"portraits' is no folder of labelled faces"):
        load_faces(tmp_path)


def test_who_is_held_out_depends_on_names_alone() -> None:
    names = [f"faces/t{i}" for i in range(50)]
    held = held_out_names(names, 0, 5)
    assert len(held) == 5
    assert held_out_names(reversed([*names, "portraits/x"]), 0, 5) == held


def test_a_held_out_picture_at_another_size_is_not_trained_on() -> None:
    # Given a face, the same at half the size, and another
    picture = np.asarray(cv2.resize(skimage.data.astronaut()[:220, 100:340], (240, 220)), np.uint8)
    face = made_up_face("faces/a", picture)
    half = replace(
        face,
        name="faces/c",
        picture=cv2.resize(picture, (120, 110), interpolation=cv2.INTER_AREA),
        landmarks=(face.landmarks + 0.5) / 2 - 0.5,
    )
    other = made_up_face("faces/b")
    # When one of the two sizes is held out
    training, held = split_faces([face, half, other], 0, 1)
    # Then the other size is in neither set
    names = {f.name for f in training}
    assert held[0].name in ("faces/a", "faces/c")
    assert names == {"faces/b"}


# Regions


@pytest.mark.parametrize("bend_share", [0.0, 1.0])
def test_landmarks_lie_on_the_pixels_they_lay_on_in_the_picture(bend_share: float) -> None:
    # Given a black picture with a white dot on one landmark that is off the middle line
    face = made_up_face(picture=np.zeros((220, 240, 3), np.uint8))
    place = MESH["left_iris"].start
    cv2.circle(face.picture, tuple(int(v) for v in face.landmarks[place].round()), 2, (255, 255, 255), -1)
    centre = np.stack(np.nonzero(face.picture[..., 0])[::-1], 1).mean(0)
    face.landmarks[place] = centre
    face.landmarks[MIRROR[place]] = centre  # a mirrored region shows the dot at the other iris
    sampler = RegionSampler([face], RegionConfig(bend_share=bend_share))
    rng, num_seen = np.random.default_rng(0), 0
    for _ in range(40):
        region, landmarks = sampler.positive(rng)
        pixels = landmarks[place] * 128 - 0.5
        ys, xs = np.nonzero(region[..., 0] > 127)
        near = np.hypot(xs - pixels[0], ys - pixels[1]) < 12
        if region[..., 0].min() > 0 or pixels.min() <= 8 or pixels.max() >= 119 or near.sum() < 4:
            continue  # a coloured border, or the dot is outside the region or the cut picture
        assert np.hypot(xs[near].mean() - pixels[0], ys[near].mean() - pixels[1]) < 0.6
        num_seen += 1
    assert num_seen > 20


def test_degrading_moves_nothing() -> None:
    dot = np.full((128, 128, 3), 20, np.uint8)
    cv2.circle(dot, (70, 50), 12, (230, 230, 230), -1)
    rng = np.random.default_rng(0)
    for _ in range(60):
        region = degradations.degrade(dot, rng).astype(np.float64).mean(-1)
        assert region.shape == (128, 128)
        weight = np.clip(region - region[90:].mean() - 0.5 * (region.max() - region[90:].mean()), 0, None)
        ys, xs = np.mgrid[:128, :128]
        near = np.hypot(xs - 70, ys - 50) < 20
        weight = weight * near
        assert abs((weight * xs).sum() / weight.sum() - 70) < 2.5
        assert abs((weight * ys).sum() / weight.sum() - 50) < 2.5


def test_batch_i_is_the_same_wherever_a_run_starts() -> None:
    faces = [made_up_face("faces/a"), made_up_face("faces/bb")]
    whole = list(RegionBatches(faces, batch_size=3, first=0, last=3))
    late = list(RegionBatches(faces, batch_size=3, first=2, last=3))
    assert torch.equal(whole[2].regions, late[0].regions)
    assert torch.equal(whole[2].landmarks, late[0].landmarks)
    assert not torch.equal(whole[1].regions, whole[2].regions)


def test_regions_without_a_face_carry_no_presence() -> None:
    config = RegionConfig(negative_share=1.0)
    batch = next(iter(RegionBatches([made_up_face()], batch_size=6, first=0, last=1, config=config)))
    assert batch.presence.sum() == 0
    assert batch.landmarks.abs().sum() == 0


# Loss and schedule


def output_and_batch(
    offset_eyes: float = 0.0, *, size: float = 1.0, presence: float = 1.0
) -> tuple[LandmarkOutput, Batch]:
    landmarks = torch.from_numpy(made_up_landmarks((64, 50), 40 * size))[None] / 128
    picture, partners = torch.zeros(1, 1, 1, 3, dtype=torch.uint8), torch.tensor([-1])
    batch = Batch(picture, landmarks, torch.tensor([presence]), partners)
    shift = offset_eyes * 40 * size / 128
    return LandmarkOutput(landmarks + shift, torch.tensor([0.0])), batch


def test_right_landmarks_cost_nothing_and_an_undecided_presence_costs_log_2() -> None:
    losses = landmark_losses(*output_and_batch(), LossWeights(presence=0.5))
    assert losses["landmarks"] == 0
    assert losses["five"] == 0
    assert losses["total"].item() == pytest.approx(0.5 * np.log(2), rel=1e-5)


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_the_loss_counts_in_eye_distances_whatever_the_size(size: float) -> None:
    losses = landmark_losses(*output_and_batch(0.1, size=size), LossWeights())
    assert losses["five"].item() == pytest.approx(0.1 - 0.01, rel=1e-3)  # smooth L1 with a knee at 0.02
    assert losses["landmarks"].item() == pytest.approx(0.1 - 0.01, rel=1e-3)


def test_the_learning_rate_rises_then_falls_to_a_hundredth() -> None:
    config = LandmarkTrainingConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate_at(step, config) for step in (0, 9, 10, 55, 100)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.505, 0.01], abs=1e-6)


def test_a_region_without_a_face_trains_presence_only() -> None:
    losses = landmark_losses(*output_and_batch(0.3, presence=0.0), LossWeights(presence=1.0))
    assert losses["total"].item() == pytest.approx(np.log(2), rel=1e-5)


# The run


def save_and_stop(
    state: AveragedState[LandmarkNet], path: Path, save: Callable[..., None] = AveragedState.save
) -> None:
    save(state, path)
    raise KeyboardInterrupt


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run of four steps, and one that ended after two
    faces = [made_up_face("faces/a"), made_up_face("faces/bb")]
    config = LandmarkTrainingConfig(steps=4, batch_size=4, warmup_steps=1, snapshot_steps=2, is_autocast=False)
    whole = train_landmarks(faces, tmp_path / "whole", config, TINY)
    with monkeypatch.context() as patch:
        patch.setattr(AveragedState, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train_landmarks(faces, tmp_path / "parts", config, TINY)
    # When the second goes on
    resumed = train_landmarks(faces, tmp_path / "parts", config, TINY)
    # Then nothing tells them apart
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_new_run_begins_with_the_averaged_weights_of_another_and_a_stopped_one_with_its_own(tmp_path: Path) -> None:
    # Given a finished run of two steps
    faces = [made_up_face("faces/a"), made_up_face("faces/bb")]
    config = LandmarkTrainingConfig(steps=2, batch_size=4, warmup_steps=1, is_autocast=False)
    old = train_landmarks(faces, tmp_path / "old", config, TINY)
    # When a run of no step begins with it
    none = replace(config, steps=0)
    begun = train_landmarks(faces, tmp_path / "new", none, TINY, start_from=tmp_path / "old" / "snapshot.pt")
    # Then it has the old average, and a folder with a snapshot of its own does not look at it
    for a, b in zip(old.state_dict().values(), begun.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert train_landmarks(faces, tmp_path / "old", config, TINY, start_from=tmp_path / "absent.pt")


def test_weights_mix_by_their_shares() -> None:
    torch.manual_seed(0)
    network, other = LandmarkNet(**TINY), LandmarkNet(**TINY)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    mix_weights(network, other.state_dict(), 0.25)
    expected = 0.75 * before["vote_head.weight"] + 0.25 * other.state_dict()["vote_head.weight"]
    torch.testing.assert_close(network.state_dict()["vote_head.weight"], expected)


def test_keeping_a_share_of_nothing_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "-o", str(tmp_path / "run"), "--keep-share", "0.5"])
    assert result.exit_code == 2
    assert "--keep-share 0.5 needs --start-from" in result.output


def test_exported_weights_give_the_trained_network_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = LandmarkNet().eval()
    export_weights(network, tmp_path / "w.safetensors")
    predictor = load_landmark_predictor(tmp_path / "w.safetensors")
    picture = skimage.data.astronaut()[:128, :128].copy()
    region = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = network(region).landmarks[0].numpy() * 128 - 0.5
    found = predictor.predict(picture, [np.eye(2, 3, dtype=np.float32)])[0].landmarks
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert network.training is False
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_the_command_trains_exports_and_measures(tmp_path: Path) -> None:
    arguments = [
        str(write_data(tmp_path / "data")),
        "-o",
        str(tmp_path / "run"),
        "--steps",
        "2",
        "--batch-size",
        "2",
        "--hold-portraits",
        "1",
        "--hold-faces",
        "1",
        "--presence-regions",
        "2",
    ]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "run" / "figures.json").read_text(encoding="utf-8"))
    assert figures["errors"]["portraits"]["own"]["num_faces"] == 1
    assert figures["errors"]["faces"]["yunet"]["all_percent"] > 0
    assert load_landmark_predictor(tmp_path / "run" / "landmarks.safetensors").num_landmarks == 152


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [str(tmp_path), "-o", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "is no folder of labelled faces" in result.output


# The result


def test_held_out_portraits_stay_within_four_percent_of_eye_distance(shared: Path) -> None:
    data = shared / "data"
    with np.load(data / "portraits" / "landmarks478.npz") as labels:
        held = held_out_names((f"portraits/{key.partition('/')[0]}" for key in labels.files), 20, 0)
    faces = load_faces(data, names=held, is_shrunk=False)
    figures = evaluate_landmarks(load_landmark_predictor(), faces)["portraits"]
    assert figures["yunet"]["num_faces"] == 20
    assert figures["yunet"]["all_percent"] < 4.0
    assert figures["own"]["all_percent"] < 4.0
    assert figures["rolled"]["all_percent"] < 4.0
