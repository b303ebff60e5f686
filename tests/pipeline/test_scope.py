"""`--scope`: only the face, the head, or the whole frame, with everything that a conversion promises besides."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from skimage.data import astronaut, coffee

import run
from model import GeneratorConfig, Style, StyleCard, build_generator
from pipeline.colour import ColourTags
from pipeline.decode import iter_frames
from pipeline.frames import Frame, planar_layouts
from pipeline.probe import probe
from pipeline.render import ChunkRenderer
from pipeline.temporal import RADIUS_FRAMES
from pipeline.whole_frame import WholeFrame

from .clips import frame_hashes, stamps_secs, write_clip
from .media import ffmpeg

SIZE_WH = (192, 160)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures for the generator: nothing here depends on their size."""
    monkeypatch.setattr("pipeline.whole_frame._MIN_SIDE_PX", 160)


def convert(source: Path, out: Path, style: Path, *options: str) -> dict[str, Any]:
    assert run.main(["convert", str(source), "-o", str(out), "--style", str(style), *options]) == 0
    return dict(json.loads((out / f"{source.stem}.report.json").read_text()))


def changed(before: Path, after: Path, levels: int = 6) -> npt.NDArray[np.bool_]:
    """Where the first frame's brightness changed."""
    a, b = (next(iter_frames(probe(path))).planes[0].astype(int) for path in (before, after))
    return np.asarray(np.abs(a - b) > levels)


class InvertingEngine:
    """Turns colours round; broken in some calls."""

    name, device, precision, max_error, psnr_db, batch_size = "invert", "cpu", "fp32", 0.0, 99.0, 1
    num_callers = 1

    def __init__(self, broken_calls: tuple[int, ...] = ()) -> None:
        self.calls, self.broken_calls = 0, broken_calls

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.full_like(crops, float("nan")) if self.calls - 1 in self.broken_calls else -crops * 0.8


class NoFaces:
    """A stylist with nothing to do."""

    batch_size = 1

    def stylise(self, pictures: Any) -> list[list[Any]]:
        return [[] for _ in pictures]


def frames(count: int, first: int = 0, cut_at: int = 10**6) -> list[Frame]:
    """A drifting texture with sensor noise; another, darker one from `cut_at` on."""
    rng = np.random.default_rng(0)
    textures = [cv2.GaussianBlur(rng.normal(m, 300, (160, 320)).astype(np.float32), (0, 0), 3) for m in (150, 60)]
    made = []
    for i in range(first, first + count):
        moved = cv2.warpAffine(textures[i >= cut_at], np.float32([[1, 0, 0.7 * i - 60], [0, 1, 0]]), SIZE_WH)
        luma = np.clip(moved + np.random.default_rng(i).normal(0, 3, moved.shape), 16, 235).astype(np.uint8)
        planes = (luma, *(np.full((80, 96), value, np.uint8) for value in (110, 150)))
        made.append(Frame(planes, planar_layouts()["yuv420p"], ColourTags("tv", "bt709", "bt709", "bt709"), pts=i))
    return made


def render(
    start: int,
    stop: int,
    total: int,
    engine: InvertingEngine | None = None,
    smoothing: float = 1.0,
    cut_at: int = 10**6,
) -> tuple[list[Frame], ChunkRenderer]:
    whole = WholeFrame(engine or InvertingEngine(), keeps_colours=False)
    cuts = frozenset({cut_at}) if cut_at < total else frozenset[int]()
    renderer = ChunkRenderer(NoFaces(), lambda index: [], cuts, smoothing=smoothing, whole=whole)  # type: ignore[arg-type]
    first, last = max(start - RADIUS_FRAMES, 0), min(stop + RADIUS_FRAMES, total)
    made = [f for f, _, _ in renderer.render(iter(frames(last - first, first, cut_at)), first, start, stop)]
    return made, renderer


def test_whole_frames_do_not_depend_on_where_a_chunk_begins() -> None:
    whole = [f.md5() for f in render(0, 12, 12)[0]]
    assert whole == [f.md5() for f in render(0, 5, 12)[0]] + [f.md5() for f in render(5, 12, 12)[0]]


def test_whole_frames_are_steadied_but_not_across_a_cut() -> None:
    steady, still = render(0, 8, 8)[0], render(0, 8, 8, smoothing=0.0)[0]
    unrest = [
        np.mean([np.abs(np.diff([f.planes[0][:, 60:-60].astype(float) for f in made], 2, axis=0)).mean()])
        for made in (steady, still)
    ]
    assert unrest[0] < 0.8 * unrest[1]
    before_cut = render(0, 4, 8, cut_at=4)[0][3]
    np.testing.assert_array_equal(before_cut.planes[0], render(0, 4, 4)[0][3].planes[0])


def test_a_broken_whole_frame_is_replaced_by_its_neighbour_or_stays_as_filmed() -> None:
    good, _ = render(0, 8, 8)
    made, renderer = render(0, 8, 8, InvertingEngine((4,)))
    assert (renderer.stats.num_guarded, renderer.stats.num_whole) == (1, 8)
    assert np.abs(made[4].planes[0].astype(int) - good[4].planes[0]).mean() < 8
    made, renderer = render(0, 8, 8, InvertingEngine(tuple(range(8))))
    assert (renderer.stats.num_guarded, renderer.stats.num_whole) == (8, 0)
    assert [f.md5() for f in made] == [f.md5() for f in frames(8)]


def test_each_scope_changes_more_than_the_one_before(clip: Path, style_file: Path, tmp_path: Path) -> None:
    short = ffmpeg(tmp_path / "short.mp4", "-i", str(clip), "-frames:v", "8", "-preset", "ultrafast")
    shares = {}
    for scope in ("face", "head", "frame"):
        report = convert(short, tmp_path / scope, style_file, "--scope", scope, "--mask", "landmarks")
        shares[scope] = changed(short, tmp_path / scope / "short.mp4").mean()
        assert (report["faces"], report["whole_frames"]) == (8, 8 if scope == "frame" else 0)
        assert report["verified"] is True
    assert 0.01 < shares["face"] < 0.8 * shares["head"] < shares["frame"]
    assert shares["frame"] > 0.6


def test_a_video_without_faces_is_restyled_as_a_whole_with_its_sound_and_stamps(
    style_file: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "suit.mp4", 12, has_face=False)
    report = convert(clip, tmp_path / "out", style_file, "--scope", "frame")
    result = tmp_path / "out" / "suit.mp4"
    assert (report["faces"], report["whole_frames"], report["frames_with_faces"]) == (0, 12, 0)
    assert report["codec"] is not None
    assert not any("copied" in warning for warning in report["warnings"])
    assert changed(clip, result).mean() > 0.6
    assert stamps_secs(result) == pytest.approx(stamps_secs(clip), abs=1e-4)
    assert report["warp_error_out"] < 3 * report["warp_error_in"] + 2


def test_chunks_of_whole_frames_join_without_a_trace(style_file: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mp4", 20)
    options = ("--scope", "frame", "--codec", "ffv1", "--no-resume")
    for name, secs in (("one", "5"), ("many", "0.5")):
        out = ["-o", str(tmp_path / f"{name}.mkv"), "--style", str(style_file), "--chunk-secs", secs]
        assert run.main(["convert", str(clip), *out, *options]) == 0
    assert frame_hashes(tmp_path / "one.mkv") == frame_hashes(tmp_path / "many.mkv")


@pytest.mark.parametrize(
    ("name", "filters", "more"),
    [
        ("odd.mkv", "scale=161:91", ["-c:v", "libx264", "-pix_fmt", "yuv444p"]),
        (
            "deep.mkv",
            "scale=160:120",
            ["-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error"],
        ),
        ("tall.mp4", "scale=64:240", []),
    ],
)
def test_whole_frames_of_every_kind_come_out_as_they_went_in(
    name: str, filters: str, more: list[str], clip: Path, style_file: Path, tmp_path: Path
) -> None:
    source = ffmpeg(tmp_path / name, "-i", str(clip), "-vf", filters, "-frames:v", "8", *more)
    report = convert(source, tmp_path / "out", style_file, "--scope", "frame")
    before, after = probe(source).video, probe(tmp_path / "out" / name).video
    assert (before.display_wh, before.bit_depth) == (after.display_wh, after.bit_depth)
    assert (report["verified"], report["whole_frames"]) == (True, 8)
    assert changed(source, tmp_path / "out" / name).mean() > 0.5


def test_a_rotated_clip_is_restyled_upright(clip: Path, style_file: Path, tmp_path: Path) -> None:
    turned = ffmpeg(tmp_path / "turned.mp4", "-i", str(clip), "-vf", "transpose=cclock", "-frames:v", "8")
    rotated = ffmpeg(tmp_path / "rotated.mp4", "-display_rotation", "-90", "-i", str(turned), "-c", "copy")
    report = convert(rotated, tmp_path / "out", style_file, "--scope", "frame")
    result = probe(tmp_path / "out" / "rotated.mp4").video
    assert (result.rotation_degrees, result.display_wh) == (90, probe(clip).video.display_wh)
    assert (report["faces"], report["whole_frames"]) == (8, 8)


def test_a_picture_is_restyled_as_a_whole_and_its_face_on_top(style_file: Path, tmp_path: Path) -> None:
    for name, picture, faces in (("me", astronaut(), 1), ("cup", coffee(), 0)):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), picture[..., ::-1])
        report = convert(path, tmp_path / "out", style_file, "--scope", "frame")
        assert (report["faces"], report["whole_frames"]) == (faces, 1)
        result = cv2.imread(str(tmp_path / "out" / f"{name}.png"))
        assert result is not None
        assert result.shape == picture.shape
        assert (np.abs(result[..., ::-1].astype(int) - picture).max(axis=2) > 6).mean() > 0.7


def test_strength_zero_leaves_a_whole_frame_as_it_was(clip: Path, style_file: Path, tmp_path: Path) -> None:
    short = ffmpeg(tmp_path / "short.mkv", "-i", str(clip), "-frames:v", "8", "-c:v", "ffv1")
    convert(short, tmp_path / "out", style_file, "--scope", "frame", "--codec", "ffv1", "--strength", "0")
    assert frame_hashes(tmp_path / "out" / "short.mkv") == frame_hashes(short)


def test_a_style_of_one_size_cannot_restyle_whole_frames_and_says_what_to_do(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(base_channels=8, num_blocks=1, image_size_px=64, head_size=None)
    style = tmp_path / "full.safetensors"
    Style("full", StyleCard(crop_size_px=64), config, build_generator(config).eval()).save(style)
    code = run.main(["convert", str(clip), "-o", str(tmp_path / "out"), "--style", str(style), "--scope", "frame"])
    assert code == 9
    told = capsys.readouterr().err
    assert '"full" has a full head' in told
    assert "choose another --style, or --scope head" in told
    assert not (tmp_path / "out" / clip.name).exists()
