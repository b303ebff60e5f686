"""What --reuse-still keeps, what it changes, and what x264 loses on the same frames; without a clip, on a still one.

Usage: python docs/still_figures.py [CLIP...]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import av
import numpy as np
import numpy.typing as npt

from pipeline.convert import convert_item
from pipeline.decode import iter_frames
from pipeline.demo import draw_frame
from pipeline.inputs import collect
from pipeline.probe import probe
from pipeline.progress import SilentProgress
from pipeline.publisher import FilePublisher
from pipeline.report import Report
from pipeline.settings import ConvertSettings
from pipeline.studio import build_studio

Luma = npt.NDArray[np.int32]


def write_still(path: Path, num_frames: int = 50) -> Path:
    """One frame of the demo, with new noise of 2.5 levels every time."""
    picture, random = draw_frame(0), np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "12"})
        (video.height, video.width), video.pix_fmt = picture.shape[:2], "yuv420p"
        for _ in range(num_frames):
            noisy = np.clip(picture + random.normal(0, 2.5, picture.shape), 0, 255).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(video.encode(None))
    return path


def convert(clip: Path, output: Path, **choices: object) -> tuple[Report, float]:
    """Convert with these settings; the report and the CPU seconds of this process."""
    studio = build_studio(ConvertSettings(**choices))  # type: ignore[arg-type]
    studio.load()
    [item] = collect([str(clip)], output).items
    before = process_time()
    report = convert_item(item, studio, SilentProgress(), FilePublisher(item.report, overwrite=True))
    studio.close()
    return report, process_time() - before


def lumas(path: Path) -> Iterator[Luma]:
    """The first plane of every frame."""
    return (frame.planes[0].astype(np.int32) for frame in iter_frames(probe(path)))


def psnr_db(mean_squares: list[float]) -> str:
    """Mean and worst frame."""
    mean, worst = (10 * np.log10(255**2 / max(value, 1e-6)) for value in (np.mean(mean_squares), max(mean_squares)))
    return "same" if max(mean_squares) == 0 else f"{mean:.1f} / {worst:.1f}"


def row(clip: Path, folder: Path) -> str:
    """One line of the table; errors are taken over the box of what was pasted."""
    paths = {name: folder / f"{clip.stem}-{name}.mkv" for name in ("plain", "reuse", "x264")}
    _, plain_secs = convert(clip, paths["plain"], codec="ffv1")
    kept, reuse_secs = convert(clip, paths["reuse"], codec="ffv1", reuse_still=True)
    convert(clip, paths["x264"], codec="libx264")
    by_reuse, by_encoder = list[float](), list[float]()
    for source, plain, reuse, encoded in zip(lumas(clip), *(lumas(path) for path in paths.values()), strict=True):
        rows, columns = np.nonzero(source != plain)
        if rows.size:
            box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            by_reuse.append(float(((plain - reuse)[box] ** 2).mean()))
            by_encoder.append(float(((plain - encoded)[box] ** 2).mean()))
    share = 100 * kept.reused / max(kept.faces, 1)
    errors = f"{psnr_db(by_reuse)} | {psnr_db(by_encoder)}"
    return f"| {clip.stem} | {share:.0f} % | {errors} | {plain_secs:.1f} -> {reuse_secs:.1f} |"


def main(clips: list[str]) -> None:
    """Print the table."""
    print(
        "| clip | kept | against not reusing, dB mean / worst | what x264 loses | CPU seconds |\n|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for clip in map(Path, clips) if clips else [write_still(Path(folder) / "still.mp4")]:
            print(row(clip, Path(folder)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
