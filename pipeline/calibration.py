"""Faces of the user's own videos and pictures for quantising a style: cut as `convert` cuts them, spread over time.

What is done with them is model/quantise.py's business.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alignment.templates import source_to_crop
from model import load_style, to_tensor
from model.quantise import MIN_CROPS, Quantised, quantise, require_nncf

from .canvas import PictureCanvas
from .crops import cut
from .decode import DecodeReport, frame_near, iter_frames
from .errors import InputError, PipelineError
from .face_set.sheet import evenly
from .finder import RGB, FaceFinder, FaceSource
from .inputs import Item, collect
from .plan import CropSpec
from .probe import probe
from .progress import Progress
from .settings import ConvertSettings
from .stills import read_picture
from .studio import Studio

HELD_OUT_EVERY = 5
"""Of so many crops one measures the error."""

_SEEK_FROM = 20  # seeking decodes from the key frame on: where fewer frames lie between samples, reading on is cheaper
_NOWHERE = Path(os.devnull) / "unused"  # inputs are collected together with outputs; here are none


@dataclass(frozen=True)
class QuantiseReport:
    """What `styles quantise` found out."""

    name: str
    """The style as the user named it."""
    style: str
    """Its own name."""
    num_calibrated: int
    """Crops that it was calibrated with."""
    num_held_out: int
    """Crops that measured its error."""
    psnr_db: float
    """Similarity to fp32 over the crops held out, dB of the full range."""
    worst_psnr_db: float
    """That of the worst crop."""
    mean_error: float
    """Mean absolute difference, 1/255 grey levels."""
    max_error: float
    """Largest difference, 1/255 grey levels."""
    ms: float
    """Time of one crop here."""
    times_fp32: float
    """Times as fast as the fp32 engine here."""
    times_bf16: float | None
    """Times as fast as the bf16 engine; None where the CPU has no bf16."""
    notes: tuple[str, ...]
    """What a user should know, one sentence each."""


def quantise_on(
    name: str, inputs: Sequence[str], num_crops: int, search: ConvertSettings, progress: Progress
) -> QuantiseReport:
    """Quantise a style with the faces of files and folders.

    Args:
        name: the style, a name or a file.
        inputs: videos, pictures and folders of them as the user named them.
        num_crops: about so many faces are taken, spread over all inputs and their time.
        search: how faces are found; the other settings are not looked at.
        progress: is told about the advance.

    Raises:
        InputError: there are too few faces.
        ModelError: the style cannot be loaded or quantised, or came out too far from fp32.
        AlignmentError: detector or landmarks cannot be loaded.
    """
    require_nncf()
    style = load_style(name)
    studio = Studio(replace(search, style=name, device="cpu"))
    spec = replace(studio.crop_spec(name), size_px=style.config.image_size_px)
    crops, notes = gather_crops(inputs, num_crops, studio.finder, spec, progress)
    if len(crops) < MIN_CROPS * HELD_OUT_EVERY // (HELD_OUT_EVERY - 1):
        raise InputError(
            f"{len(crops)} faces were found in what was named; at least 10 are needed, better 100 or more: name more "
            "videos or pictures." + "".join(f" {note}" for note in notes)
        )
    tensor = to_tensor(np.stack(crops))
    is_held = np.arange(len(crops)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    progress.start(style.name, "quantising (a minute or a few)", None)
    made = quantise(style, tensor[~is_held], tensor[is_held])
    progress.finish()
    return _report(name, style.name, made, int((~is_held).sum()), int(is_held.sum()), notes)


def _report(
    name: str, style: str, made: Quantised, num_calibrated: int, num_held_out: int, notes: Sequence[str]
) -> QuantiseReport:
    all_notes = list(notes)
    slower = [precision for precision, times in made.times.items() if times < 1]
    if slower:
        all_notes.append(f"On this CPU int8 is slower than {' and '.join(slower)}: --precision auto serves better.")
    return QuantiseReport(
        name,
        style,
        num_calibrated,
        num_held_out,
        round(made.error.psnr_db, 2),
        round(made.worst_psnr_db, 2),
        round(made.error.mean_error, 3),
        round(made.error.max_error, 1),
        round(1000 * made.secs, 2),
        round(made.times["fp32"], 3),
        round(made.times["bf16"], 3) if "bf16" in made.times else None,
        tuple(all_notes),
    )


def gather_crops(
    inputs: Sequence[str], num_crops: int, finder: FaceFinder, spec: CropSpec, progress: Progress
) -> tuple[list[RGB], list[str]]:
    """Cut about `num_crops` faces, an even share of each input's.

    Returns:
        SxSx3 uint8 crops in the order of the inputs, and what was wrong with inputs, as sentences.
    """
    found = collect(inputs, _NOWHERE)
    notes, crops = [str(error) for _, error in found.errors], list[RGB]()
    items = [found.items[i] for i in sorted(evenly(len(found.items), num_crops))]
    progress.start(items[0].source.name if len(items) == 1 else "inputs", "cutting faces", num_crops)
    for index, item in enumerate(items):
        share = -(-(num_crops - len(crops)) // (len(items) - index))
        try:
            for crop in _crops_of(item, share, finder, spec):
                crops.append(crop)
                progress.advance(1, 1)
        except PipelineError as error:
            notes.append(str(error))
    progress.finish()
    return crops[:num_crops], notes


def _crops_of(item: Item, share: int, finder: FaceFinder, spec: CropSpec) -> Iterator[RGB]:
    """At most `share` crops of a file: of every sampled frame all faces."""
    if share <= 0:
        return
    num_cut = 0
    for source in _sources(item, share):
        for face in finder.find(source):
            if face.landmarks is None or num_cut == share:
                continue
            num_cut += 1
            yield cut(source, source_to_crop(face.landmarks, spec.template, spec.size_px), spec.size_px)
        if num_cut == share:
            return


def _sources(item: Item, count: int) -> Iterator[FaceSource]:
    """The picture, or `count` frames of the video, evenly spread."""
    if item.is_picture:
        yield PictureCanvas(read_picture(item.source).rgb)
        return
    info = probe(item.source)
    secs, rate = float(info.duration_secs or 0), float(info.video.avg_frame_rate or 0)
    step = max(round(secs * rate) // count, 1)
    if step < _SEEK_FROM:
        for index, frame in enumerate(iter_frames(info, report=DecodeReport())):
            if index % step == step // 2:
                yield frame
        return
    for i in range(count):
        sought = frame_near(info, (i + 0.5) * secs / count)
        if sought is not None:
            yield sought
