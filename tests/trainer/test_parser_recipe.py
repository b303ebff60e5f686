"""The parser recipe on made-up heads: cleaning, occluders, views, losses, resume, command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F

from alignment.points import MESH, MESH_INDICES, Points, five_points
from faceseg.bisenet import BiSeNet
from faceseg.parser import BiSeNetParser, load_face_parser
from faceseg.part_net import PartNet
from faceseg.parts import FacePart
from trainer.errors import TrainingDataError
from trainer.recipes.parser import export_weights, main, paint_occluders
from trainer.recipes.parser_cleaning import IGNORED, clean_labels
from trainer.recipes.parser_data import CANVAS_PX, Heads, find_heads, load_heads, split_heads, without_likenesses
from trainer.recipes.parser_evaluation import evaluate_parser, part_ious
from trainer.recipes.parser_flicker import flicker_percent
from trainer.recipes.parser_losses import LossWeights, part_losses, predict, teacher_loss
from trainer.recipes.parser_occluders import KINDS, OCCLUDER_PX, OccluderPainter, paste_occluder
from trainer.recipes.parser_training import ParserTrainingConfig, train_parser
from trainer.recipes.parser_views import OCCLUDED, SceneMaterial, SceneSampler, ViewConfig, mirror_labels
from trainer.recipes.training_state import AveragedState

TINY = {"widths": (4, 4, 8, 8, 8), "num_blocks": (1, 1, 1, 1), "joint_widths": (4, 4, 4, 4)}
SIDE = 300


def landmarks() -> Points:
    """152 landmarks of a plain face in the middle of a picture of SIDE px."""
    points = np.full((152, 2), SIDE / 2, np.float32)
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points[MESH["outline"]] += np.stack([60 * np.sin(turn), 10 - 75 * np.cos(turn)], 1)
    ring = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for side, x in (("right", -28), ("left", 28)):
        points[MESH[f"{side}_eye"]] += np.stack([x + 11 * np.cos(ring), -12 + 5 * np.sin(ring)], 1)
        brow = np.linspace(0, 2 * np.pi, 10, endpoint=False)
        points[MESH[f"{side}_brow"]] += np.stack([x + 14 * np.cos(brow), -28 + 3 * np.sin(brow)], 1)
    points[MESH["nose"]] += (0, 15)
    ring = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for name, size in (("lips_outer", 1.0), ("lips_inner", 0.5)):
        points[MESH[name]] += size * np.stack([-24 * np.cos(ring), -10 * np.sin(ring)], 1) + (0, 45)
    return points


def painted_head(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, labels and person mask of a head that fits `landmarks`; eyes are labelled left for right."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    points = landmarks()

    def fill(name: str, part: int) -> None:
        cv2.fillPoly(labels, [np.round(points[MESH[name]]).astype(np.int32)], part)

    cv2.rectangle(labels, (70, 240), (230, SIDE), FacePart.CLOTH, -1)
    cv2.ellipse(labels, (150, 140), (80, 95), 0, 0, 360, FacePart.HAIR, -1)
    cv2.rectangle(labels, (125, 200), (175, 250), FacePart.NECK, -1)
    fill("outline", FacePart.SKIN)
    for side, other in (("right", "LEFT"), ("left", "RIGHT")):
        fill(f"{side}_eye", FacePart[f"{other}_EYE"])
        fill(f"{side}_brow", FacePart[f"{other}_BROW"])
    fill("lips_outer", FacePart.UPPER_LIP)
    colours = rng.integers(30, 226, (19, 3))
    picture = (colours[labels] + rng.normal(0, 4, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
    return picture, labels, np.where(labels > 0, 255, 0).astype(np.uint8)


def write_data(root: Path, num_portraits: int = 2, num_faces: int = 4) -> Path:
    rng, mesh = np.random.default_rng(0), np.full((478, 2), 0.5, np.float32)
    mesh[list(MESH_INDICES)] = (landmarks() + 0.5) / SIDE
    five = ((five_points(landmarks()) + 0.5) / SIDE).tolist()
    face = {"box_xywh": [0.3, 0.3, 0.4, 0.5], "points": five, "score": 0.9}
    for group, count in (("portraits", num_portraits), ("faces", num_faces)):
        for kind in ("images", "parsing", "person"):
            (root / group / kind).mkdir(parents=True)
        for i in range(count):
            picture, labels, person = painted_head(rng)
            cv2.imwrite(str(root / group / "images" / f"n{i}.jpg"), picture[..., ::-1])
            cv2.imwrite(str(root / group / "parsing" / f"n{i}.png"), labels)
            cv2.imwrite(str(root / group / "person" / f"n{i}.png"), cv2.resize(person, (256, 256)))
        names = [f"n{i}" for i in range(count)]
        notes = {n: [face] if group == "portraits" else {"faces": [face], "landmarks_trusted": True} for n in names}
        (root / group / "faces.json").write_text(json.dumps(notes))
        trusted = names if group == "portraits" else names[:-1]  # the last face has YuNet's points only
        np.savez(root / group / "landmarks478.npz", **{f"{n}/landmarks": mesh for n in trusted})
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def heads(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Heads:
    return load_heads(data, find_heads(data), tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def material(heads: Heads) -> SceneMaterial:
    indices = np.arange(len(heads))
    return SceneMaterial(heads, indices, paint_occluders(heads, indices, 6, seed=0))


def cleaned(change: object = None) -> tuple[np.ndarray, np.ndarray]:
    picture, labels, person = painted_head(np.random.default_rng(3))
    points = landmarks()
    if callable(change):
        change(labels, person)
    return labels, clean_labels(labels, picture, person.astype(np.float32) / 255, five_points(points), points)


def test_left_and_right_become_the_persons_own() -> None:
    raw, labels = cleaned()
    assert raw[138, 122] == FacePart.LEFT_EYE  # as the made-up parser has it
    assert labels[138, 122] == FacePart.RIGHT_EYE
    assert labels[138, 178] == FacePart.LEFT_EYE
    assert labels[122, 122] == FacePart.RIGHT_BROW


def test_lips_are_drawn_from_the_landmarks() -> None:
    _, labels = cleaned()
    assert labels[187, 150] == FacePart.UPPER_LIP
    assert labels[195, 150] == FacePart.MOUTH
    assert labels[203, 150] == FacePart.LOWER_LIP


def test_small_holes_in_the_face_are_closed_and_large_ones_left_open() -> None:
    def make_holes(labels: np.ndarray, _: np.ndarray) -> None:
        labels[160:166, 110:116] = 0
        labels[150:185, 160:195] = 0

    _, labels = cleaned(make_holes)
    assert labels[163, 113] == FacePart.SKIN
    assert labels[165, 180] == IGNORED


def test_the_person_mask_settles_what_the_parser_did_not_look_at() -> None:
    def hide(labels: np.ndarray, _: np.ndarray) -> None:
        labels[:, :40] = IGNORED
        labels[280:, 100:200] = IGNORED

    _, labels = cleaned(hide)
    assert (labels[:200, :30] == FacePart.BACKGROUND).all()
    assert (labels[285:, 120:180] == FacePart.CLOTH).all()


def test_a_part_that_landmarks_and_parser_see_elsewhere_is_unknown() -> None:
    def move_mouth(labels: np.ndarray, _: np.ndarray) -> None:
        labels[labels == FacePart.UPPER_LIP] = FacePart.SKIN
        labels[170:182, 120:150] = FacePart.UPPER_LIP

    _, labels = cleaned(move_mouth)
    assert labels[195, 150] == IGNORED


def test_heads_are_aligned_once_and_then_read_from_the_cache(data: Path, tmp_path: Path) -> None:
    sources = find_heads(data)
    first = load_heads(data, sources, tmp_path)
    assert first.names == ("portraits/n0", "portraits/n1", "faces/n0", "faces/n1", "faces/n2", "faces/n3")
    assert first.pictures.shape == (6, CANVAS_PX, CANVAS_PX, 3)
    again = load_heads(tmp_path / "nowhere", sources, tmp_path)
    assert (again.labels == first.labels).all()


def test_what_lies_outside_the_picture_is_unknown(heads: Heads) -> None:
    assert (heads.labels[0][:4, :4] == IGNORED).all()
    assert (heads.labels[0][150:200, 150:200] != IGNORED).all()


def test_the_same_pictures_are_held_out_as_in_the_landmark_recipe_and_their_likenesses_left_out(
    data: Path, heads: Heads
) -> None:
    training, held = split_heads(find_heads(data), 1, 1)
    assert len(held) == 2
    assert all(source.landmarks is not None for source in held)
    assert not {s.name for s in training} & {s.name for s in held}
    assert len(without_likenesses(heads, heads)) == 0


def test_a_folder_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"portraits' is no folder of labelled faces"):
        find_heads(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_occluder_covers_something_and_not_everything(kind: str, heads: Heads) -> None:
    painter = OccluderPainter(heads.pictures, heads.labels)
    for seed in range(3):
        occluder = painter.paint(np.random.default_rng(seed), kind)
        assert occluder.shape == (OCCLUDER_PX, OCCLUDER_PX, 4)
        assert 0.005 < (occluder[..., 3] > 127).mean() < 0.8
        assert (occluder[..., :3] <= occluder[..., 3:].astype(int) + 1).all()  # premultiplied


def test_an_occluder_changes_what_it_covers_and_hardly_the_rest() -> None:
    rng, picture = np.random.default_rng(0), np.full((200, 200, 3), 200, np.uint8)
    occluder = np.zeros((OCCLUDER_PX, OCCLUDER_PX, 4), np.uint8)
    occluder[40:150, 40:150] = (0, 0, 0, 255)
    changed, covered = paste_occluder(picture, occluder, np.array([[0.5, 0, 50], [0, 0.5, 50.0]]), rng)
    assert covered[80:120, 80:120].all()
    assert not covered[:60].any()
    assert changed[100, 100].max() < 10
    assert (changed[:30] == 200).all()
    assert (picture == 200).all()


def test_mirrored_labels_change_sides_and_twice_is_nothing() -> None:
    labels = np.array([[2, 5, 7, OCCLUDED, IGNORED]], np.uint8)
    assert mirror_labels(labels).tolist() == [[IGNORED, OCCLUDED, 8, 4, 3]]
    assert (mirror_labels(mirror_labels(labels)) == labels).all()


@pytest.mark.parametrize("size_px", [160, 256])
def test_two_views_of_a_scene_lie_on_each_other_after_the_given_movement(material: SceneMaterial, size_px: int) -> None:
    config = ViewConfig(is_degraded=False)
    pair = SceneSampler(material, config).pair(np.random.default_rng(0), 4, size_px)
    first, second = pair.labels.chunk(2)
    grid = F.affine_grid(pair.between, [4, 1, size_px, size_px], align_corners=False)
    moved = F.grid_sample(first[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0]
    inside = (grid.abs().amax(-1) < 0.95) & (moved != IGNORED) & (second != IGNORED)
    assert (moved == second)[inside].float().mean() > 0.97
    assert (first == second)[inside].float().mean() < 0.97


def test_batches_repeat_by_seed_and_hold_occluders(material: SceneMaterial) -> None:
    sampler = SceneSampler(material, ViewConfig(occluded_share=1.0))
    one, two = (sampler.pair(np.random.default_rng(5), 3) for _ in range(2))
    assert torch.equal(one.pictures, two.pictures)
    assert torch.equal(one.labels, two.labels)
    assert (one.labels == OCCLUDED).any(dim=(1, 2)).float().mean() > 0.6


def sure(labels: torch.Tensor, sureness: float = 12.0) -> torch.Tensor:
    known = torch.where(labels > 18, torch.zeros_like(labels), labels).long()
    return sureness * F.one_hot(known, 19).permute(0, 3, 1, 2).float()


def test_losses_are_lowest_for_the_right_answer_and_unknown_pixels_do_not_count() -> None:
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[:, 8:24, 8:24], labels[:, :4], labels[:, 28:] = 1, OCCLUDED, IGNORED
    still = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    half = labels[:, ::2, ::2]
    right = part_losses(predict(sure(half), labels, (0, 0)), still, LossWeights())
    assert right["total"] < 0.01
    noise = sure(half).clone()
    noise[:, 5, 14:] = 50.0  # only where nothing is known
    assert part_losses(predict(noise, labels, (0, 0)), still, LossWeights())["total"] < 0.01
    wrong = part_losses(predict(-sure(half), labels, (0, 0)), still, LossWeights())
    assert wrong["cross_entropy"] > 5
    assert wrong["dice"] > 0.5


def test_views_that_disagree_cost_and_views_that_moved_do_not() -> None:
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[0, 8:24, 8:20], labels[1, 8:24, 12:24] = 17, 17
    prediction = predict(sure(labels[:, ::2, ::2]), labels, (0, 0))
    moved = torch.tensor([[[1.0, 0, -4 / 16], [0, 1, 0]]])
    still = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    assert part_losses(prediction, moved, LossWeights())["agreement"] < 0.01
    assert part_losses(prediction, still, LossWeights())["agreement"] > 0.1


def test_a_teacher_that_mixes_up_left_and_right_is_still_agreed_with() -> None:
    student, teacher = torch.zeros(1, 19, 2, 2), torch.zeros(1, 19, 2, 2)
    student[:, 4], teacher[:, 5] = 1.0, 1.0
    everywhere = torch.ones(1, 2, 2, dtype=torch.bool)
    assert teacher_loss(student, teacher, everywhere) < 1e-4
    teacher = teacher.roll(2, 1)
    assert teacher_loss(student, teacher, everywhere) > 5


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    material: SceneMaterial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ParserTrainingConfig(
        steps=4, num_scenes=1, snapshot_steps=2, warmup_steps=1, views=ViewConfig(early_size_px=64)
    )
    whole = train_parser(material, tmp_path / "a", config, network_options=TINY)
    save = AveragedState.save

    def save_and_stop(state: AveragedState[PartNet], path: Path) -> None:
        save(state, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AveragedState, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train_parser(material, tmp_path / "b", config, network_options=TINY)
    resumed = train_parser(material, tmp_path / "b", config, network_options=TINY)

    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value)
    lines = [json.loads(line) for line in (tmp_path / "b" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]


def test_a_bisenet_teaches_with_random_weights(material: SceneMaterial, tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = BiSeNetParser(BiSeNet(), working_size_px=64)
    config = ParserTrainingConfig(steps=1, num_scenes=1, views=ViewConfig(early_size_px=64, early_share=1.0))
    train_parser(material, tmp_path, config, teacher=teacher, network_options=TINY)
    assert json.loads((tmp_path / "log.jsonl").read_text())["teacher"] > 0.5


def test_exported_weights_load_as_the_built_in_parser_and_figures_are_shares(heads: Heads, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = PartNet().eval()
    export_weights(network, tmp_path / "parser.safetensors")
    parser = load_face_parser(tmp_path / "parser.safetensors")
    images = torch.rand(1, 3, 256, 256) * 2 - 1
    want = F.interpolate(network.half_size_logits(images).softmax(1), scale_factor=2, mode="bilinear")
    torch.testing.assert_close(parser(images), want, rtol=0.05, atol=2e-3)
    figures = evaluate_parser(parser, heads)
    assert figures["num_heads"] == 6
    assert all(0 <= value <= 100 for value in figures["clean"].values())
    assert 0 <= figures["occlusion"]["all"]["leak"] <= 100


def test_part_ious_leave_out_what_nobody_knows() -> None:
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[:, :20], labels[:, 30:] = FacePart.HAIR, IGNORED
    predicted = np.where(labels == IGNORED, FacePart.HAT, labels).astype(np.uint8)
    predicted[:, :10] = 0
    figures = part_ious(predicted, labels)
    assert figures == {"background": 50.0, "hair": 50.0, "mean": 50.0, "head": 50.0}


def test_a_mask_that_moves_with_the_picture_does_not_flicker() -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (80, 90, 3), np.uint8), (0, 0), 1.5)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    disc = cv2.GaussianBlur(cv2.circle(np.zeros((80, 90), np.float32), (40, 40), 18, 1.0, -1), (0, 0), 2)
    crops = [np.ascontiguousarray(texture[:, i : i + 80]) for i in (0, 2, 4)]
    moving = np.stack([disc[:, i : i + 80] for i in (0, 2, 4)])
    standing = np.stack([disc[:, :80]] * 3)
    assert flicker_percent(crops, moving) < 3
    assert flicker_percent(crops, standing) > 3 * flicker_percent(crops, moving)


def test_the_command_trains_exports_and_measures(data: Path, tmp_path: Path) -> None:
    options = [
        "--steps",
        "1",
        "--scenes",
        "1",
        "--drawings",
        "0",
        "--occluders",
        "5",
        "--hold-portraits",
        "1",
        "--hold-faces",
        "1",
    ]
    result = CliRunner().invoke(main, [str(data), "-o", str(tmp_path), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "figures.json").read_text())["num_heads"] == 2
    assert load_face_parser(tmp_path / "parser.safetensors").name == "built-in"


def test_the_command_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(main, [str(tmp_path / "empty"), "-o", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "is no folder of labelled faces" in result.output
