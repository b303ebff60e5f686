"""Look at this machine: what is here, what is missing, and what each missing thing costs."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python",
    "av",
    "ffmpeg-python",
    "imageio-ffmpeg",
    "dlib-bin",
    "face-alignment",
    "scikit-image",
    "scipy",
    "safetensors",
    "click",
    "rich",
    "watchdog",
)
"""Distributions whose versions are shown."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    """What it is."""
    is_found: bool
    """It is there and works."""
    detail: str
    """Version or place; for a missing thing what it costs and how to get it."""
    is_needed: bool = False
    """The demo does not work without it."""


def examine() -> list[Check]:
    """Run all checks; none raises, none downloads."""
    checks = [Check("python", True, platform.python_version(), is_needed=True)]
    checks += [_package(name) for name in PACKAGES]
    checks += [
        _try("device", _devices, is_needed=True),
        _try("ffmpeg", _ffmpeg, is_needed=True),
        _try("style toon", _style, is_needed=True),
        _try("landmark network", _landmarks, is_needed=True),
        _try("detector builtin", lambda: _detector("builtin"), is_needed=True),
        _try("detector yunet", lambda: _detector("yunet"), "finds profiles and upright small faces more surely: "),
        _try("face embedder", _embedder, "--face-like finds one person: "),
        _try("face parser", _parser, "masks follow hair and ears closely instead of a drawn head shape: "),
        _try("ray", _ray, "--cluster renders on many machines: "),
    ]
    if _has_nvidia():
        checks.append(_try("nvidia video", _nvidia_video, "--codec h264_nvenc encodes without the CPU: "))
    return checks


def is_ready(checks: list[Check]) -> bool:
    """Tell whether the demo would work."""
    return all(check.is_found for check in checks if check.is_needed)


def _package(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name), is_needed=True)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"not installed; run: pip install {name}", is_needed=True)


def _try(name: str, look: Callable[[], str], benefit: str = "", *, is_needed: bool = False) -> Check:
    try:
        return Check(name, True, look(), is_needed)
    except Exception as error:  # a doctor survives any disease
        return Check(name, False, f"{benefit}{error}", is_needed)


def _devices() -> str:
    import torch

    names = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    if torch.backends.mps.is_available():
        names.append("mps")
    return ", ".join([*names, f"cpu ({torch.get_num_threads()} threads)"])


def _ffmpeg() -> str:
    from .errors import FfmpegError
    from .ffmpeg import available_encoders, ffmpeg_program, ffmpeg_version
    from .settings import CODECS

    usable = [c for c in CODECS if c in available_encoders() and "nvenc" not in c]  # listed is not yet working
    if "libx264" not in usable:
        raise FfmpegError(
            f"{ffmpeg_program()} cannot encode H.264 (no libx264); install another ffmpeg or set UGATIT_FFMPEG."
        )
    return f"{'.'.join(str(part) for part in ffmpeg_version())} at {ffmpeg_program()}, encoders: {', '.join(usable)}"


def _has_nvidia() -> bool:
    import torch

    return torch.cuda.is_available()


def _nvidia_video() -> str:
    from av.codec.hwaccel import hwdevices_available

    from .encode import starts
    from .errors import FfmpegError
    from .ffmpeg import available_encoders, ffmpeg_program

    encoders = [name for name in ("h264_nvenc", "hevc_nvenc", "av1_nvenc") if name in available_encoders()]
    usable = [name for name in encoders if starts(name, "yuv420p", 256, 256)]
    if not usable:
        raise FfmpegError(
            f"none of its encoders starts with {ffmpeg_program()}; set UGATIT_FFMPEG to one that has them."
        )
    decodes = "decodes too" if "cuda" in hwdevices_available() else "this PyAV does not decode with it"
    return f"{', '.join(usable)} for --codec (auto stays with x264: smaller files at one quality); {decodes}"


def _style() -> str:
    from model import load_style

    return f"{load_style('toon').sha256[:12]}"


def _landmarks() -> str:
    from alignment.landmarks import build_landmark_predictor

    return f"{build_landmark_predictor('mesh').num_landmarks} points"


def _detector(name: str) -> str:
    from alignment.detectors import build_detector

    return build_detector(name, allow_download=False).name


def _embedder() -> str:
    from alignment.identity import SFaceEmbedder

    return SFaceEmbedder(allow_download=False).name


def _parser() -> str:
    from faceseg.parser import find_weights, load_face_parser

    return f"{load_face_parser().name} at {find_weights()}"


def _ray() -> str:
    from .errors import ClusterError

    try:
        return importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise ClusterError("not installed; run: pip install 'ugatit-pipeline[cluster]'") from None
