"""One sheet with every style on the user's own picture, made by the same code that converts it: `styles preview`.

It chooses what is shown (of a video, the frame with the largest face) and lays the sheet out; it changes no file.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from alignment.errors import AlignmentError
from faceseg.errors import FaceSegError
from model.errors import ModelError

from .analysis import Analysis
from .canvas import PictureCanvas
from .casting import still_analysis
from .decode import frame_near
from .errors import InputError, OutputExistsError, PipelineError, UnreadableInputError
from .inputs import is_picture
from .pictures import restyle
from .probe import probe
from .progress import Progress
from .publish import check_absent, make_output_folder, out_of_space_told, publish
from .report import Report
from .settings import ConvertSettings
from .stills import read_picture
from .studio import Studio

RGB = npt.NDArray[np.uint8]

ORIGINAL = "original"
"""Caption of the first tile."""

_NUM_SAMPLES = 12
"""Key frames of a video that are looked at to find a good one ..."""
_ENOUGH_SAMPLES = 4
"""... and where they are fewer than this, some frames between them."""
_MAX_SIDE_PX = 1920
"""A larger picture is reduced before it is restyled: the sheet would not show the difference."""
TILE_PX = 400
"""Longer side of a picture on the sheet, unless another is asked for."""
_CAPTION_PX = 44
_MARGIN_PX = 12
_MIN_FACE_SHARE = 0.22
"""Where the largest face is smaller than this share of the picture's height, the sheet shows a part around it."""
_FAILURES = (ModelError, AlignmentError, FaceSegError, PipelineError)
"""What keeps one style off the sheet without harm to the others."""
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)


@dataclass(frozen=True)
class Tile:
    """One picture of the sheet."""

    caption: str
    """Name of the style, or `original`."""
    picture: RGB
    """HxWx3 uint8, the same size for all."""
    note: str = ""
    """What a user should know of it, short."""


@dataclass(frozen=True)
class PreviewReport:
    """What a sheet shows."""

    input: str
    """The user's picture or video."""
    output: str
    """The sheet."""
    styles: tuple[str, ...]
    """Styles that are shown, in order."""
    failed: dict[str, str]
    """Styles that could not be shown, with the reason."""
    faces: int
    """Faces of the picture."""
    scope: str
    """How much of the picture was restyled."""
    at_secs: float | None
    """Time of the frame in the video; None for a picture."""
    warnings: tuple[str, ...]
    """What a user should know, one sentence each."""


@dataclass(frozen=True)
class _Scene:
    """The picture that all styles are shown on."""

    rgb: RGB
    analysis: Analysis
    at_secs: float | None

    @property
    def num_faces(self) -> int:
        return len(self.analysis.tracks)


def preview(
    source: Path,
    styles: Sequence[str],
    output: Path,
    settings: ConvertSettings,
    progress: Progress,
    *,
    at_secs: float | None = None,
    tile_px: int = TILE_PX,
) -> PreviewReport:
    """Write a sheet of all styles on one picture.

    Where no face is found, whole pictures are restyled (`--scope frame`) and the report says so.

    Args:
        source: picture or video.
        styles: names or files; at least one.
        output: the sheet, .png or .jpg.
        settings: for all styles the same; `style` and `scope` may be replaced.
        progress: is told about every style.
        at_secs: which frame of a video; None looks for one with a large face.
        tile_px: longer side of each picture on the sheet.

    Raises:
        InputError: the source cannot be read.
        OutputExistsError: the sheet is there already.
        ModelError, AlignmentError, FaceSegError, PipelineError: no style at all can be shown, for this reason.
    """
    check_sheet(source, output, overwrite=settings.overwrite)
    studios, failed = _load(styles, settings)
    scene = _choose_scene(source, next(iter(studios.values())), progress, at_secs)
    warnings = []
    if scene.num_faces == 0 and settings.scope != "frame":
        settings = replace(settings, scope="frame")
        warnings.append("No face was found: the styles are shown on the whole picture, as --scope frame does.")
    tiles = [Tile(ORIGINAL, scene.rgb)]
    progress.start(source.name, "restyling", len(studios))
    for name, studio in studios.items():
        studio.settings = replace(studio.settings, scope=settings.scope)
        try:
            tiles.append(_tile(name, scene, studio))
        except _FAILURES as error:
            if len(styles) == 1:
                raise
            failed[name] = str(error)
        progress.advance(1, scene.num_faces)
    progress.finish()
    if len(tiles) == 1:
        raise _none_shown(failed)
    _write(output, draw_sheet(_cropped(tiles, scene.analysis), tile_px), overwrite=settings.overwrite)
    shown = tuple(tile.caption for tile in tiles[1:])
    return PreviewReport(
        str(source), str(output), shown, failed, scene.num_faces, settings.scope, scene.at_secs, tuple(warnings)
    )


def _load(styles: Sequence[str], settings: ConvertSettings) -> tuple[dict[str, Studio], dict[str, str]]:
    """A studio for each style that can be loaded, and why the others cannot."""
    studios, failed = dict[str, Studio](), dict[str, str]()
    for name in dict.fromkeys(styles):
        studio = Studio(replace(settings, style=name, style_for=(), faces="all", compare="none"))
        try:
            studio.engine  # noqa: B018
        except _FAILURES as error:
            if len(styles) == 1:
                raise
            failed[name] = str(error)
        else:
            studios[name] = studio
    if not studios:
        raise _none_shown(failed)
    return studios, failed


def _none_shown(failed: dict[str, str]) -> PipelineError:
    return PipelineError("no style could be shown. " + " ".join(f'"{name}": {why}' for name, why in failed.items()))


def check_sheet(source: Path, output: Path, *, overwrite: bool) -> None:
    """Refuse a name that the sheet cannot have, before any work.

    Raises:
        InputError: it is no PNG or JPEG.
        OutputExistsError: it is there already, or it is the source.
    """
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(
            f'a sheet is a picture, and "{output.name}" ends in none of .png, .jpg; choose another --output.'
        )
    if output.exists() and source.exists() and output.samefile(source):
        raise OutputExistsError(f'"{output}" is the input itself; choose another --output.')
    check_absent(output, overwrite=overwrite)


def _choose_scene(source: Path, studio: Studio, progress: Progress, at_secs: float | None) -> _Scene:
    """The picture, or the best of some frames of the video: the one with the largest face."""
    if not source.exists():
        raise UnreadableInputError(f'"{source}" does not exist, or cannot be reached.')
    progress.start(source.name, "looking at", 1 if is_picture(source) else None)
    if is_picture(source):
        canvas = PictureCanvas(read_picture(source).rgb)
        scenes: Iterator[_Scene] = iter((_scene(canvas.to_rgb(0, 0, *canvas.size_wh), studio, None),))
    else:
        scenes = _video_scenes(source, studio, at_secs)
    best: _Scene | None = None
    for scene in scenes:
        progress.advance(1, scene.num_faces)
        if best is None or _largest_face(scene.analysis) > _largest_face(best.analysis):
            best = scene
    progress.finish()
    if best is None:
        raise UnreadableInputError(f'"{source}" holds no frame that can be decoded.')
    return best


def _video_scenes(source: Path, studio: Studio, at_secs: float | None) -> Iterator[_Scene]:
    info = probe(source)
    duration = float(info.duration_secs or 0)
    if at_secs is not None and duration and at_secs > duration:
        raise InputError(f'"{source}" is {duration:.1f} s long: there is no frame at --at {at_secs:g}.')
    times = [((i + 0.5) * duration / _NUM_SAMPLES, False) for i in range(_NUM_SAMPLES)]
    times += [(share * duration, True) for share in (0.25, 0.5, 0.75)]
    seen = set[int]()
    for time, is_exact in times if at_secs is None else [(at_secs, True)]:
        if is_exact and len(seen) >= _ENOUGH_SAMPLES:  # else key frames are far apart
            break
        frame = frame_near(info, time, is_exact=is_exact)
        if frame is None or frame.pts in seen:
            continue
        seen.add(frame.pts)
        shown_secs = float(frame.pts * info.video.time_base - (info.start_secs or 0))
        yield _scene(frame.to_rgb(0, 0, *frame.size_wh), studio, round(max(shown_secs, 0.0), 3))


def _scene(rgb: RGB, studio: Studio, at_secs: float | None) -> _Scene:
    scale = _MAX_SIDE_PX / max(rgb.shape)
    if scale < 1:
        size_wh = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
        rgb = np.asarray(cv2.resize(rgb, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    faces = studio.finder.find(PictureCanvas(rgb))
    return _Scene(rgb, still_analysis(faces, studio.finder.detector.name), at_secs)


def _largest_face(analysis: Analysis) -> float:
    """Area of the largest face, pixels."""
    boxes = [track.boxes[0] for track in analysis.tracks]
    return max((float(np.prod(box[2:] - box[:2])) for box in boxes), default=0.0)


def _tile(name: str, scene: _Scene, studio: Studio) -> Tile:
    """The picture in one style."""
    canvas, report = PictureCanvas(scene.rgb.copy()), Report(name)
    restyle(canvas, scene.analysis, studio, report)
    note = "broken output was not shown" if report.guarded else ""
    caption = name.removesuffix(".safetensors").rpartition("/")[2]  # what a user types, or the file
    return Tile(caption, np.asarray(canvas.pixels, np.uint8), note)


def _cropped(tiles: Sequence[Tile], analysis: Analysis) -> list[Tile]:
    """Whole pictures, or where the faces are small the same part of all around the largest one."""
    height, width = tiles[0].picture.shape[:2]
    boxes = sorted((track.boxes[0] for track in analysis.tracks), key=lambda box: float(np.prod(box[2:] - box[:2])))
    if not boxes or boxes[-1][3] - boxes[-1][1] >= _MIN_FACE_SHARE * height:
        return list(tiles)
    box = boxes[-1]
    view_height = float(box[3] - box[1]) / _MIN_FACE_SHARE
    view_width = min(view_height * max(width / height, 1.0), width)
    x0 = round(min(max(float(box[0] + box[2]) / 2 - view_width / 2, 0), width - view_width))
    y0 = round(min(max(float(box[1] + box[3]) / 2 - view_height * 0.45, 0), height - view_height))
    window = np.s_[y0 : y0 + round(view_height), x0 : x0 + round(view_width)]
    return [replace(tile, picture=tile.picture[window]) for tile in tiles]


def draw_sheet(tiles: Sequence[Tile], tile_px: int = TILE_PX) -> RGB:
    """Lay pictures of one size out in a grid, captions below: HxWx3 uint8."""
    height, width = tiles[0].picture.shape[:2]
    scale = min(tile_px / max(height, width), 2.0)
    tile_wh = max(round(width * scale), 1), max(round(height * scale), 1)
    columns = _num_columns(len(tiles), tile_wh)
    step_x, step_y = tile_wh[0] + _MARGIN_PX, tile_wh[1] + _CAPTION_PX
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * step_x + _MARGIN_PX, rows * step_y + _MARGIN_PX), _PAPER)
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(20), ImageFont.load_default(12)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    for number, tile in enumerate(tiles):
        x, y = _MARGIN_PX + number % columns * step_x, _MARGIN_PX + number // columns * step_y
        sheet.paste(Image.fromarray(cv2.resize(tile.picture, tile_wh, interpolation=interpolation)), (x, y))
        pen.text((x, y + tile_wh[1] + 2), _fitted(tile.caption, font, tile_wh[0]), _INK, font)
        if tile.note:
            pen.text((x, y + tile_wh[1] + 25), _fitted(tile.note, small, tile_wh[0]), _FAINT, small)
    return np.asarray(sheet, np.uint8)


def _num_columns(count: int, tile_wh: tuple[int, int]) -> int:
    """So many columns that the sheet is about as wide as high, wider rather than higher, and no row is nearly empty."""
    most: int = max(1, min(count, round((1.6 * count * tile_wh[1] / tile_wh[0]) ** 0.5)))
    num_rows = -(-count // most)
    return -(-count // num_rows)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    """The text, shortened where it is too long."""
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(text + "...") > width_px:
        text = text[:-1]
    return text + "..."


def _write(output: Path, sheet: RGB, *, overwrite: bool) -> None:
    """Write the sheet; it appears whole or not at all."""
    encoded = io.BytesIO()
    is_png = output.suffix.lower() == ".png"
    Image.fromarray(sheet).save(
        encoded, "PNG" if is_png else "JPEG", optimize=True, **({} if is_png else {"quality": 92})
    )
    part = output.with_name(f".{uuid.uuid4().hex}.part")
    with out_of_space_told(output):
        make_output_folder(output.parent)
        try:
            part.write_bytes(encoded.getvalue())
            publish(part, output, overwrite=overwrite)
        finally:
            part.unlink(missing_ok=True)
