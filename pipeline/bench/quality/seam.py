"""How visible the border of a restyled head is: every way of fitting it in, with the plain paste for comparison."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...blending import BLENDS
from ...canvas import PictureCanvas
from ...paste import paste_face
from ...pictures import find_faces, restyle
from ...report import Report
from ...seam import seam_excess
from ...studio import Studio
from ...stylist import StyledFace
from ..clips import draw, face_oval
from ..sections import Cell, Table
from .run import Bench

RGB = npt.NDArray[np.uint8]

SCENES = ("plain", "dark", "coloured", "bright side", "small")
"""The demo as it is; in low light; before a coloured wall; lit from one side; at 256x192."""

_NUM_PICTURES = 6


def measure(bench: Bench) -> list[Table]:
    """The table of the section `seam`."""
    bench.progress.start("seam", "measuring", len(SCENES))
    rows: list[tuple[Cell, ...]] = []
    for scene in SCENES:
        rows.append((scene, *_row(bench, scene)))
        bench.progress.advance(1)
    means = [float(np.mean([float(row[i] or 0) for row in rows])) for i in range(1, len(BLENDS) + 2)]
    return [
        Table(
            "Seam excess",
            ("scene", "plain paste", *BLENDS),
            (*rows, ("mean", *means)),
            "Slope of brightness across the mask's border in the result less that in the source, grey levels per "
            f"pixel, mean over {_NUM_PICTURES} pictures each; 0 is as much as was there before, less is softer. Plain "
            "paste: the generator's crop under the same mask without any fitting.",
        )
    ]


def _row(bench: Bench, scene: str) -> list[float]:
    excess: dict[str, list[float]] = {name: [] for name in ("plain paste", *BLENDS)}
    for index in range(_NUM_PICTURES):
        source = scene_picture(scene, 4 * index)
        [faces] = _styled(bench.studio(), source)
        if not faces or faces[0].mask is None:
            continue
        excess["plain paste"].append(_excess(source, _pasted_plainly(source, faces[0]), faces[0]))
        for blend in BLENDS:
            result = PictureCanvas(source.copy())
            studio = bench.studio(blend=blend)
            restyle(result, find_faces(result, studio), studio, Report(scene))
            excess[blend].append(_excess(source, np.asarray(result.pixels, np.uint8), faces[0]))
    return [float(np.mean(values)) if values else float("nan") for values in excess.values()]


def scene_picture(scene: str, index: int) -> RGB:
    """One picture of a scene: HxWx3 uint8."""
    if scene in ("plain", "dark", "small"):
        return draw(scene, index)
    picture = draw("plain", index).astype(np.float32)
    if scene == "coloured":  # the demo's wall is the light grey above the shoulders
        spread = np.ptp(picture, axis=2, keepdims=True)
        is_wall = 1 - face_oval("plain", index, 1.2)[..., None]
        is_wall *= np.clip((picture.min(axis=2, keepdims=True) - 110) / 40, 0, 1) * np.clip((30 - spread) / 15, 0, 1)
        picture += is_wall * (picture * np.array([0.35, 0.75, 0.6], np.float32) - picture)
    else:
        picture *= np.linspace(0.35, 1.35, picture.shape[1], dtype=np.float32)[None, :, None]
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


def _styled(studio: Studio, source: RGB) -> list[list[StyledFace]]:
    from ...casting import plan_faces

    canvas = PictureCanvas(source.copy())
    placements = plan_faces(find_faces(canvas, studio), studio, Report("seam")).faces_in(0)
    return studio.cast.stylise([(canvas, placements[-1:])])


def _pasted_plainly(source: RGB, face: StyledFace) -> RGB:
    canvas = PictureCanvas(source.copy())
    if face.styled is not None and face.mask is not None:
        paste_face(canvas, face.styled.astype(np.float32), face.mask, face.placement.source_to_crop)
    return np.asarray(canvas.pixels, np.uint8)


def _excess(source: RGB, result: RGB, face: StyledFace) -> float:
    """Seam excess where the face was pasted."""
    probe = PictureCanvas(source.copy())
    mask = np.zeros(source.shape[:2], np.float32)
    if face.mask is not None:
        crop = np.zeros((*face.mask.shape, 3), np.float32)
        region = paste_face(probe, crop, face.mask, face.placement.source_to_crop)
        if region is not None:
            rows, columns = region.mask.shape
            window = np.s_[region.y0 : region.y0 + rows, region.x0 : region.x0 + columns]
            return seam_excess(source[window], result[window], region.mask)
    return seam_excess(source, result, mask)
