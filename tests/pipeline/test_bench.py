"""The quality benchmark: known truth is measured as such, sections fail alone, tables come out as text and files."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from skimage.data import astronaut

import run as command_line
from alignment.points import MESH_INDICES
from alignment.tracking import Track
from faceseg.parts import FacePart
from pipeline.bench.clips import VARIANTS, draw, face_oval, make_clip, true_transform
from pipeline.bench.data import held_out_names, iter_held_out
from pipeline.bench.quality import run as bench_module
from pipeline.bench.quality.masks import Overlap
from pipeline.bench.quality.occluders import OCCLUDERS, covered, occluder_shares
from pipeline.bench.quality.run import Bench, BenchSettings, run_bench
from pipeline.bench.quality.scope import _compare
from pipeline.bench.quality.seam import scene_picture
from pipeline.bench.quality.steadiness import residual_percent
from pipeline.bench.sections import Section, Table, to_markdown
from pipeline.cli.bench import bench
from pipeline.demo import draw_frame
from pipeline.errors import BatchError, InputError, UnreadableInputError
from pipeline.probe import probe
from pipeline.progress import SilentProgress
from trainer.recipes import landmark_data


@dataclass
class Globals:
    json: bool = False


def run(*arguments: object, as_json: bool = False) -> Result:
    return CliRunner().invoke(bench, [str(a) for a in arguments], obj=Globals(as_json))


def two_rows(_: Bench) -> list[Table]:
    return [Table("Numbers", ("name", "value"), (("a", 1.234), ("b", None), ("c", True)), "A note.")]


def broken(_: Bench) -> list[Table]:
    raise ValueError("no such thing")


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section that works, one that fails and one that needs data."""
    for function in (two_rows, broken):
        monkeypatch.setattr(bench_module, function.__name__, function, raising=False)
    fakes = (
        Section("good", "Good", "Works.", source="quality.run:two_rows"),
        Section("bad", "Bad", "Fails.", source="quality.run:broken"),
        Section("needy", "Needy", "Wants data.", needs="data", source="quality.run:two_rows"),
    )
    monkeypatch.setattr(bench_module, "SECTIONS", fakes)


def test_every_section_can_be_loaded() -> None:
    for section in bench_module.SECTIONS:
        assert callable(section.load())


def test_a_section_that_fails_does_not_stop_the_others(sections: None) -> None:
    result = run_bench(BenchSettings(), SilentProgress())
    assert [section.name for section in result.sections] == ["good", "bad"]
    assert result.sections[0].tables[0].text() == [["a", "1.23"], ["b", "-"], ["c", "yes"]]
    assert result.sections[1].error == "ValueError: no such thing"
    assert result.machine["cores"] != "0"


def test_a_failure_is_told_and_gives_an_exit_code(sections: None) -> None:
    result = run("--quality")
    assert isinstance(result.exception, BatchError)
    assert command_line.exit_code(result.exception) == 13
    assert "FAILED bad: ValueError: no such thing" in result.stderr
    assert "A note." in result.stdout


def test_only_runs_what_is_named_and_names_what_is_missing(sections: None, tmp_path: Path) -> None:
    told = json.loads(run("--quality", "--only", "good", as_json=True).stdout)
    assert [section["name"] for section in told["sections"]] == ["good"]
    assert told["sections"][0]["tables"][0]["rows"][0] == ["a", 1.234]
    unknown = run("--quality", "--only", "good,best")
    assert unknown.exit_code == 2
    assert 'no section "best"; choose some of good, bad, needy' in unknown.output
    assert '"needy" needs --data' in run("--quality", "--only", "needy").output
    assert run("--quality", "--only", "needy", "--data", tmp_path).exit_code == 0


def test_figures_are_written_as_markdown_or_json(sections: None, tmp_path: Path) -> None:
    markdown, plain = tmp_path / "f.md", tmp_path / "f.json"
    assert run("--quality", "--only", "good", "-o", markdown).exit_code == 0
    assert run("--quality", "--only", "good", "-o", plain).exit_code == 0
    text = markdown.read_text()
    assert "    python run.py bench --quality --only good\n" in text
    assert "| name | value |\n|---|---|\n| a | 1.23 |" in text
    assert json.loads(plain.read_text())["sections"][0]["title"] == "Good"
    assert isinstance(run("--quality", "-o", plain).exception, Exception)
    assert "ends neither in .json nor in .md" in run("--quality", "-o", tmp_path / "f.txt").output


def test_settings_name_no_path_of_this_machine(sections: None, tmp_path: Path) -> None:
    settings = BenchSettings(data=tmp_path, clips=(tmp_path / "a.mp4",))
    result = run_bench(settings, SilentProgress())
    assert str(tmp_path) not in json.dumps(result.to_json(), default=str) + to_markdown(result)


def test_a_named_section_without_its_option_is_an_error() -> None:
    with pytest.raises(InputError, match="needs --clips"):
        BenchSettings(only=("clips",)).sections()
    assert "clips" not in [section.name for section in BenchSettings().sections()]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_true_motion_of_a_clip_is_that_of_its_pixels(variant: str) -> None:
    picture, move = draw(variant, 7), true_transform(variant, 7)
    size_wh = picture.shape[1], picture.shape[0]
    expected = cv2.warpAffine(astronaut(), move, size_wh, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    shift, _ = cv2.phaseCorrelate(
        cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64),
        cv2.cvtColor(np.asarray(expected, np.uint8), cv2.COLOR_RGB2GRAY).astype(np.float64),
    )
    assert np.hypot(*shift) < 0.1
    if variant == "plain":
        np.testing.assert_array_equal(picture, draw_frame(7 / 25))


def test_landmarks_that_move_with_the_portrait_have_no_residual_and_noise_is_measured_as_such() -> None:
    on_portrait = np.random.default_rng(0).uniform(150, 300, (5, 2))
    truth = [true_transform("shaky", i) for i in range(40)]
    seen = np.stack([on_portrait @ move[:, :2].T + move[:, 2] for move in truth]).astype(np.float32)
    track = Track(0, np.arange(40), seen, np.zeros((40, 4), np.float32), np.ones(40, np.float32), np.zeros(40, bool))
    assert np.abs(residual_percent(track, truth)).max() < 0.01
    eyes = float(np.linalg.norm(on_portrait[1] - on_portrait[0]))
    zoom = float(np.hypot(*truth[0][:, 0]))
    shaken = seen + np.float32([[[zoom * eyes / 100, 0]]]) * np.float32([1, -1] * 20)[:, None, None]
    off = residual_percent(Track(0, np.arange(40), shaken, track.boxes, track.scores, track.is_bridged), truth)
    assert np.sqrt((off**2).sum(-1).mean()) == pytest.approx(1.0, rel=0.15)


def test_a_clip_differs_from_itself_in_nothing(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", "small", 8)
    assert _compare(clip, clip) == (0.0, 0.0)
    assert probe(clip).video.display_wh == (256, 192)


def test_conversions_share_engines_but_not_choices(style_file: Path, tmp_path: Path) -> None:
    tools = Bench(BenchSettings(style=str(style_file)), tmp_path)
    one, two = tools.studio(smoothing=0.0), tools.studio(smoothing=1.0)
    assert one is not two
    assert one is tools.studio(smoothing=0.0)
    assert one.engine is two.engine


def test_steadiness_and_scopes_are_measured_end_to_end(style_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.bench.quality.steadiness.VARIANTS", {"small": None})
    settings = BenchSettings(style=str(style_file), frames=10, only=("steadiness", "scope"))
    steadiness, scope = run_bench(settings, SilentProgress()).sections
    assert steadiness.error is None
    [row] = steadiness.tables[0].rows
    assert row[:2] == ("small", "100 %")
    assert all(isinstance(value, float) and value > 0 for value in row[2:])
    assert scope.error is None
    by_name = {row[0]: dict(zip(scope.tables[0].columns, row, strict=True)) for row in scope.tables[0].rows}
    assert by_name["frame"]["whole frames"] == 10
    assert by_name["head"]["whole frames"] == 0
    share = {name: int(str(row["changed"]).split()[0]) for name, row in by_name.items()}
    assert share["frame"] > 60 > share["head"] > 0


def test_a_clip_of_ones_own_gets_a_row(style_file: Path, clip: Path) -> None:
    settings = BenchSettings(style=str(style_file), clips=(clip,), only=("clips",))
    [section] = run_bench(settings, SilentProgress()).sections
    [row] = section.tables[0].rows
    assert row[0] == "astronaut"
    assert row[1:3] == (30, "100.0 %")
    assert row[-1] is True


def test_the_held_out_names_are_those_of_the_recipes() -> None:
    names = [f"portraits/p{i}" for i in range(50)] + [f"faces/t{i}" for i in range(300)]
    assert set(held_out_names(names)) == landmark_data.held_out_names(names)


def test_labelled_faces_are_read_and_masks_are_measured_on_them(tmp_path: Path) -> None:
    write_labelled(tmp_path)
    face = next(iter_held_out(tmp_path))
    assert face.name == "portraits/one"
    assert face.landmarks.shape == (len(MESH_INDICES), 2)
    assert face.boxes_xyxy.shape == (1, 4)
    [section] = run_bench(BenchSettings(data=tmp_path, only=("masks",)), SilentProgress()).sections
    assert section.error is None
    table = section.tables[0]
    rows = {str(row[0]): row for row in table.rows}
    landmarks = rows["whole head"][table.columns.index("landmarks")]
    assert isinstance(landmarks, float)
    assert 60 < landmarks < 100
    assert "2 held-out pictures" in table.note


def test_a_folder_that_is_laid_out_otherwise_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInputError, match="portraits"):
        next(iter_held_out(tmp_path))


def test_overlap_counts_known_pixels_only() -> None:
    overlap = Overlap()
    assert overlap.percent is None
    answer, truth = np.array([1, 1, 0, 1], bool), np.array([1, 0, 0, 0], bool)
    overlap.add(answer, truth, np.array([1, 1, 1, 0], bool))
    assert overlap.percent == 50


def write_labelled(root: Path) -> None:
    """Two pictures: the astronaut, her head an oval of labels, and mesh points on an oval around her face."""
    middle, axes = np.array([225.0, 118.0]), np.array([42.0, 58.0])
    angles = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    mesh = middle + axes * np.stack([np.sin(angles), -np.cos(angles)], axis=1) * 0.5
    for index, point in zip(MESH_INDICES, ring_with_eyes(middle, axes), strict=True):
        mesh[index] = point
    labels = np.zeros((512, 512), np.uint8)
    cv2.ellipse(labels, (225, 100), (62, 82), 0, 0, 360, int(FacePart.HAIR), -1)
    cv2.ellipse(labels, (225, 118), (42, 58), 0, 0, 360, int(FacePart.SKIN), -1)
    note = {"box_xywh": [0.36, 0.12, 0.16, 0.22], "points": [[0.4, 0.2]] * 5, "score": 0.95}
    for group in ("portraits", "faces"):
        for part in ("images", "parsing", "person"):
            (root / group / part).mkdir(parents=True)
        cv2.imwrite(str(root / group / "images" / "one.jpg"), astronaut()[..., ::-1])
        cv2.imwrite(str(root / group / "parsing" / "one.png"), labels)
        cv2.imwrite(str(root / group / "person" / "one.png"), np.full((256, 256), 255, np.uint8))
        (root / group / "faces.json").write_text(json.dumps({"one": [note]}))
        np.savez(root / group / "landmarks478.npz", **{"one/landmarks": (mesh / 512).astype(np.float32)})


def ring_with_eyes(middle: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """152 points: every group of the mesh in its place, roughly."""
    from alignment.points import MESH

    points = np.tile(middle, (len(MESH_INDICES), 1))
    places = {
        "right_eye": (-0.45, -0.2),
        "left_eye": (0.45, -0.2),
        "right_iris": (-0.45, -0.2),
        "left_iris": (0.45, -0.2),
    }
    places |= {"lips_outer": (0, 0.5), "lips_inner": (0, 0.5), "right_brow": (-0.45, -0.4), "left_brow": (0.45, -0.4)}
    ids = np.arange(len(MESH_INDICES))
    for name, group in MESH.items():
        own = ids[group]
        turn = 2 * np.pi * np.arange(len(own)) / len(own)
        circle = np.stack([np.sin(turn), -np.cos(turn)], axis=1)
        points[own] = middle + axes * (
            circle if name == "outline" else np.array(places.get(name, (0, 0.1))) + 0.15 * circle
        )
    return points


def test_what_stands_before_the_face_counts_only_where_it_does() -> None:
    face, alpha = np.zeros((100, 100), np.float32), np.zeros((100, 100), np.float32)
    face[20:80, 20:80] = 1
    alpha[50:, :] = 1
    redrawn = np.zeros((100, 100), np.float32)
    redrawn[:50] = 40  # all of the face in sight, nothing of the thing
    hidden, leak, levels, shown = occluder_shares(redrawn, alpha, face)
    assert (hidden, leak, levels, shown) == (0.5, 0.0, 0.0, 1.0)
    redrawn[50:, :50] = 30  # half of the thing
    hidden, leak, levels, shown = occluder_shares(redrawn, alpha, face)
    assert (leak, levels) == (pytest.approx(0.5, abs=0.02), pytest.approx(15, abs=0.6))
    assert np.isnan(occluder_shares(redrawn, np.zeros_like(alpha), face)[1])


@pytest.mark.parametrize("name", OCCLUDERS)
def test_a_thing_passes_over_the_face_and_shows_its_own_colours(name: str) -> None:
    hidden = []
    for index in (0, 10, 19):
        picture, alpha, face = covered(name, index, 20)
        plain = draw("plain", index)
        np.testing.assert_array_equal(picture[alpha == 0], plain[alpha == 0])
        assert (picture != plain)[alpha > 0.99].mean() > 0.5
        hidden.append(float(alpha[face > 0].mean()))
    assert hidden[1] > max(hidden[0], hidden[2])
    assert 0.15 < hidden[1] < 0.7


def test_the_face_of_a_clip_lies_in_its_oval() -> None:
    for variant in ("plain", "small"):
        oval, picture = face_oval(variant, 5), draw(variant, 5)
        inside = picture[oval > 0].mean(axis=0)
        assert inside[0] > inside[2] + 20  # skin is redder than blue
        assert 0.02 < oval.mean() < 0.2


def test_every_way_of_fitting_in_is_measured_under_the_same_mask(
    style_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.bench.quality.seam.SCENES", ("dark",))
    monkeypatch.setattr("pipeline.bench.quality.seam._NUM_PICTURES", 1)
    [section] = run_bench(BenchSettings(style=str(style_file), only=("seam",)), SilentProgress()).sections
    assert section.error is None
    table = section.tables[0]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert set(row) == {"scene", "plain paste", "feather", "poisson", "multiband"}
    values = [float(str(value)) for name, value in row.items() if name != "scene"]
    assert np.isfinite(values).all()
    assert len(set(values)) == 4
    assert table.rows[-1][1:] == pytest.approx(values)  # the mean of one scene


def test_the_coloured_scene_leaves_the_face_as_it_was() -> None:
    plain, coloured = draw("plain", 4), scene_picture("coloured", 4)
    oval = face_oval("plain", 4)
    np.testing.assert_array_equal(plain[oval > 0], coloured[oval > 0])
    assert (np.abs(plain.astype(int) - coloured).max(axis=2) > 30).mean() > 0.2
