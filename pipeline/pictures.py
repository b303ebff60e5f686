"""Convert one picture: its faces restyled in place, or, for aligned faces, the whole picture through the generator."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import numpy.typing as npt

from model.images import to_pictures, to_tensor

from .analysis import Analysis
from .blending import fit_in
from .canvas import PictureCanvas
from .casting import plan_faces, still_analysis, with_samples
from .crops import cut
from .errors import PipelineError
from .finder import RGB
from .inputs import Item
from .paste import paste_face
from .progress import Progress
from .publisher import Publisher
from .report import Report
from .source import Source, watched
from .stills import Picture, read_picture, write_picture
from .studio import Studio
from .stylist import StyledFace, Stylist
from .tones import measure_tones
from .whole_frame import WholeFrame, paint
from .work import work_folder


def convert_picture(item: Item, studio: Studio, progress: Progress, publisher: Publisher) -> Report:
    """Convert one picture, publish it and its report.

    Raises:
        InputError: the picture cannot be read, or not without spoiling it.
        SourceChangedError: somebody wrote to it meanwhile.
        OutputExistsError: something has the output's name already.
    """
    publisher.check(item.output)
    with watched(item.source, item.sha256) as source:
        return _convert(item, source, studio, progress, publisher)


def _convert(item: Item, source: Source, studio: Studio, progress: Progress, publisher: Publisher) -> Report:
    started = perf_counter()
    report = studio.new_report(item.source, source.read_hash(progress))
    progress.start(item.source.name, "picture", 1)
    picture = read_picture(item.source)
    report.frames, report.warnings = 1, list(picture.warnings)
    if studio.settings.aligned:
        pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] = _generate(picture, studio.stylist)
        report.faces = 1
    else:
        pixels = _restyle(picture, studio, report)
    studio.describe(report)
    job = studio.job_of(report.input_sha256, item.output)
    with work_folder(item.work, job, resume=False) as folder:
        finished = folder / ("finished" + item.output.suffix)
        report.warnings += write_picture(finished, picture, pixels)
        _verify(finished, pixels)
        report.verified = True
        source.check()
        if publisher.rehash:
            source.check_content(report.input_sha256, progress)
        report.stop_clock(started)
        progress.advance(1, report.faces)
        publisher.publish(finished, item.output, report)
    return report


def _restyle(picture: Picture, studio: Studio, report: Report) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The picture with its faces restyled, or both side by side; fills the report's counts."""
    canvas = PictureCanvas(picture.rgb.copy())
    restyle(canvas, find_faces(canvas, studio), studio, report)
    if studio.settings.compare == "side":
        return np.concatenate([picture.rgb, canvas.pixels], axis=1)
    return canvas.pixels


def find_faces(canvas: PictureCanvas, studio: Studio) -> Analysis:
    """Find the faces of a picture, numbered from left to right."""
    analysis = still_analysis(studio.finder.find(canvas), studio.finder.detector.name)
    return with_samples(analysis, canvas) if studio.settings.face_like else analysis


def restyle(canvas: PictureCanvas, analysis: Analysis, studio: Studio, report: Report) -> None:
    """Restyle the chosen faces of a picture, and with `--scope frame` the whole of it, in place.

    Args:
        canvas: the picture, changed in place.
        analysis: its faces.
        studio: styles and choices.
        report: its counts are filled.
    """
    placements = plan_faces(analysis, studio, report).faces_in(0)
    [faces_styled] = studio.cast.stylise([(canvas, placements)])
    if studio.whole is not None:
        _paint(canvas, studio.whole, studio.settings.strength, report)
    for styled in faces_styled:
        report.guarded += styled.layers is None
        report.faces += _paste(canvas, styled, studio)


def _paste(canvas: PictureCanvas, face: StyledFace, studio: Studio) -> bool:
    """Set one face in; False where there is nothing to show of it."""
    styled, mask, tones = face.styled, face.mask, face.tones
    if styled is None or mask is None or tones is None:
        return False
    place, surroundings = face.placement.source_to_crop, face.source
    if studio.whole is not None:
        surroundings = cut(canvas, place, surroundings.shape[0])
        tones = measure_tones(styled, surroundings, mask, face.view.ground, follows_light=False)
    crop = fit_in(styled.astype(np.float32), surroundings, mask, tones, face.blend)
    return paste_face(canvas, crop, mask * np.float32(face.placement.opacity), place) is not None


def _paint(canvas: PictureCanvas, whole: WholeFrame, opacity: float, report: Report) -> None:
    """Restyle the whole picture in place; where the generator's answer is broken it stays as it is."""
    [answer] = whole.stylise([canvas])
    if answer.styled is None:
        report.guarded += 1
        return
    paint(canvas, whole.finish(answer.styled.astype(np.float32), answer.source), answer.source, opacity)
    report.whole_frames = 1


def _generate(picture: Picture, stylist: Stylist) -> RGB:
    """The whole picture, taken for an aligned face, through the generator: SxSx3 uint8."""
    canvas = PictureCanvas(picture.rgb)
    whole = canvas.to_rgb(0, 0, *canvas.size_wh)
    shrinks = min(canvas.size_wh) > stylist.size_px
    size = (stylist.size_px, stylist.size_px)
    crop = cv2.resize(whole, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    output = stylist.engine(to_tensor(np.asarray(crop, np.uint8)[None], stylist.engine.device))
    if not bool(output.isfinite().all()):
        raise PipelineError("the generator gave numbers that are no picture; try --precision fp32.")
    return np.asarray(to_pictures(output)[0], np.uint8)


def _verify(path: Path, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Read the finished picture back before anyone else can."""
    shape = read_picture(path).rgb.shape
    if shape != pixels.shape:
        raise PipelineError(
            f"the finished picture came back as {shape} instead of {pixels.shape}; nothing was published."
        )
