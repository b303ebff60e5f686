"""How much masks flicker on a clip: what changes in a mask beyond what moved in the picture.

Flicker = mean |mask t - mask t-1 warped by the crops' optical flow|, in percent of the head's area. It compares the
parser's mask with the one drawn from landmarks alone. Clips are for figures only.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from alignment.detectors import build_detector
from alignment.landmarks import load_landmark_predictor
from alignment.points import Points, eye_distance, five_points, outline
from alignment.smoothing import smooth_track
from alignment.templates import HEAD, source_to_crop
from alignment.tracking import Track
from alignment.warp import transform_points, warp_crop
from faceseg.head_mask import landmark_head_mask
from faceseg.masks import feather, part_mask
from faceseg.parser import FaceParser
from faceseg.parts import part_group
from trainer.errors import TrainingDataError

from .landmark_clips import follow
from .landmark_data import Picture
from .parser_data import CROP_PX

_MAX_FRAMES = 80
_FEATHER = 0.175
"""Standard deviation of the feather that a parsed mask gets for pasting, in eye distances."""

Masks = npt.NDArray[np.float32]


def evaluate_flicker(parser: FaceParser, clip: Path) -> dict[str, float]:
    """Flicker of three masks over the first frames of a clip, in percent of the head's area.

    Returns:
        `sharp`: the parser's head mask as it is; `feathered`: as it is used for pasting; `landmarks`: the soft mask
        drawn from the landmarks.
    """
    crops, landmarks = head_crops(clip)
    masks: dict[str, list[Masks]] = {"sharp": [], "feathered": [], "landmarks": []}
    for crop, points in zip(crops, landmarks, strict=True):
        head = part_mask(parser.parse(crop[None]), part_group("head"))
        masks["sharp"].append(_array(head))
        masks["feathered"].append(_array(feather(head, _FEATHER * eye_distance(points))))
        masks["landmarks"].append(landmark_head_mask(outline(points), five_points(points), CROP_PX))
    return {name: flicker_percent(crops, np.stack(rows)) for name, rows in masks.items()}


def _array(mask: torch.Tensor) -> Masks:
    return np.asarray(mask[0, 0].cpu().numpy(), np.float32)


def head_crops(clip: Path) -> tuple[list[Picture], list[Points]]:
    """The first face of a clip, cut frame by frame after smoothing, and its landmarks in the crops.

    Raises:
        TrainingDataError: the clip cannot be read or shows no face.
    """
    frames, rate = _read_frames(clip)
    detector = build_detector("hog")
    first = next((i for i, frame in enumerate(frames) if detector.detect(frame)), None)
    if first is None:
        raise TrainingDataError(f"'{clip}' cannot be read as a video or shows no face.")
    frames = frames[first:]
    face = max(detector.detect(frames[0]), key=lambda f: float(f.box_xyxy[2] - f.box_xyxy[0]))
    points, presences = follow(load_landmark_predictor(), frames, face)
    count = len(frames)
    boxes = np.concatenate([points.min(1), points.max(1)], axis=1)
    track = Track(0, np.arange(count), points, boxes, presences, np.zeros(count, np.bool_))
    smooth = smooth_track(track, np.arange(count) / rate).landmarks
    transforms = [source_to_crop(row, HEAD, CROP_PX) for row in smooth]
    crops = [np.asarray(warp_crop(f, t, CROP_PX), np.uint8) for f, t in zip(frames, transforms, strict=True)]
    return crops, [transform_points(t, row) for t, row in zip(transforms, smooth, strict=True)]


def _read_frames(clip: Path) -> tuple[list[Picture], float]:
    video = cv2.VideoCapture(str(clip))
    frames: list[Picture] = []
    while len(frames) < _MAX_FRAMES:
        is_read, bgr = video.read()
        if not is_read:
            break
        frames.append(np.ascontiguousarray(bgr[..., ::-1], np.uint8))
    return frames, float(video.get(cv2.CAP_PROP_FPS)) or 25.0


def flicker_percent(crops: list[Picture], masks: Masks) -> float:
    """Mean |mask t - warped mask t-1| over a crop and all pairs, in percent of the mean mask's area.

    Args:
        crops: T crops SxSx3 uint8 RGB.
        masks: TxSxS float32 in [0, 1].
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    y, x = np.mgrid[: masks.shape[1], : masks.shape[2]].astype(np.float32)
    greys = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]
    changes = []
    for t in range(1, len(crops)):
        flow = method.calc(greys[t], greys[t - 1], None)  # type: ignore[call-overload]
        before = cv2.remap(
            masks[t - 1], x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        changes.append(float(np.abs(masks[t] - before).sum()))
    return round(100 * float(np.mean(changes)) / max(float(masks.sum(axis=(1, 2)).mean()), 1.0), 3)
