"""Where the faces are: detection, landmarks, aligned crops, tracks.

The public names; each module is imported when one of its names is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cuts import CutDetector
    from .detectors import DETECTOR_NAMES, FaceDetector, build_detector
    from .errors import (
        AlignmentError,
        DetectorUnavailableError,
        EmbedderUnavailableError,
        LandmarkerUnavailableError,
        LandmarkSetError,
        WeightsError,
    )
    from .faces import Face, iou, suppress_duplicates
    from .identity import FaceEmbedder, SFaceEmbedder, likeness
    from .landmarks import (
        Landmarker,
        LandmarkPredictor,
        LandmarkResult,
        build_landmark_predictor,
        load_landmark_predictor,
        roi_from_box,
        roi_from_landmarks,
    )
    from .points import MESH, NUM_LANDMARKS, eye_distance, five_points, outline
    from .smoothing import jitter_percent, smooth_track
    from .templates import HEAD, TEMPLATES, TIGHT, CropTemplate, source_to_crop
    from .tracking import Track, TrackingConfig, link_faces
    from .warp import SimilarityParams, compose, from_params, invert, params, transform_points, warp_crop

_MODULES = {
    "cuts": ("CutDetector",),
    "detectors": ("DETECTOR_NAMES", "FaceDetector", "build_detector"),
    "errors": (
        "AlignmentError",
        "DetectorUnavailableError",
        "EmbedderUnavailableError",
        "LandmarkSetError",
        "LandmarkerUnavailableError",
        "WeightsError",
    ),
    "faces": ("Face", "iou", "suppress_duplicates"),
    "identity": ("FaceEmbedder", "SFaceEmbedder", "likeness"),
    "landmarks": (
        "LandmarkPredictor",
        "LandmarkResult",
        "Landmarker",
        "build_landmark_predictor",
        "load_landmark_predictor",
        "roi_from_box",
        "roi_from_landmarks",
    ),
    "points": ("MESH", "NUM_LANDMARKS", "eye_distance", "five_points", "outline"),
    "smoothing": ("jitter_percent", "smooth_track"),
    "templates": ("HEAD", "TEMPLATES", "TIGHT", "CropTemplate", "source_to_crop"),
    "tracking": ("Track", "TrackingConfig", "link_faces"),
    "warp": (
        "SimilarityParams",
        "compose",
        "from_params",
        "invert",
        "params",
        "transform_points",
        "warp_crop",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "DETECTOR_NAMES",
    "HEAD",
    "MESH",
    "NUM_LANDMARKS",
    "TEMPLATES",
    "TIGHT",
    "AlignmentError",
    "CropTemplate",
    "CutDetector",
    "DetectorUnavailableError",
    "EmbedderUnavailableError",
    "Face",
    "FaceDetector",
    "FaceEmbedder",
    "LandmarkPredictor",
    "LandmarkResult",
    "LandmarkSetError",
    "Landmarker",
    "LandmarkerUnavailableError",
    "SFaceEmbedder",
    "SimilarityParams",
    "Track",
    "TrackingConfig",
    "WeightsError",
    "build_detector",
    "build_landmark_predictor",
    "compose",
    "eye_distance",
    "five_points",
    "from_params",
    "invert",
    "iou",
    "jitter_percent",
    "likeness",
    "link_faces",
    "load_landmark_predictor",
    "outline",
    "params",
    "roi_from_box",
    "roi_from_landmarks",
    "smooth_track",
    "source_to_crop",
    "suppress_duplicates",
    "transform_points",
    "warp_crop",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'alignment' has no attribute '{name}'")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
