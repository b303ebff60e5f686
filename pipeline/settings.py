"""What a user can choose for a conversion: one frozen dataclass, from which Click's options are made.

Defaults, bounds and help stand here and nowhere else. No other room is imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import click

from .choice import FACES_SYNTAX, STYLE_FOR_SYNTAX, parse_faces, parse_style_for

CODECS = ("auto", "libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1", "h264_nvenc", "hevc_nvenc", "av1_nvenc")
"""Names that `--codec` takes; the table of what each can hold is in encode.py."""

REHEARSAL = "rehearsal"
"""A style without networks, for trying out everything else: see rehearsal.py."""


def _choice(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    metavar: str | None = None,
    flag: str | None = None,
    is_repeatable: bool = False,
    shapes_frames: bool = True,
) -> Any:
    return field(
        default=default,
        metadata={
            "help": text,
            "choices": choices,
            "low": low,
            "high": high,
            "metavar": metavar,
            "flag": flag,
            "is_repeatable": is_repeatable,
            "shapes_frames": shapes_frames,
        },
    )


class FacesParam(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of Click only
    """A choice of faces, see choice.py."""

    name = FACES_SYNTAX

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the choice in its one spelling, so that two spellings are one job; fail with a sentence otherwise."""
        try:
            choice = parse_faces(str(value))
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error
        if choice.numbers:
            return "only:" + ",".join(str(number) for number in sorted(choice.numbers))
        return "all" if choice.at_once is None else str(choice.at_once)


def _check_styles(context: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values of `--style-for` by number of the face; fail with a sentence where one is misspelt."""
    try:
        return tuple(f"{number}={style}" for number, style in sorted(parse_style_for(texts).items()))
    except ValueError as error:
        raise click.BadParameter(str(error), context, param) from error


@dataclass(frozen=True)
class ConvertSettings:
    """Every choice of one conversion. Fields marked `shapes_frames` decide the pixels and so the identity of a job."""

    style: str = _choice("toon", "Built-in style, or a style file (.safetensors).", metavar="NAME|FILE")
    style_for: tuple[str, ...] = _choice(
        (),
        "Another style for one face, like 1=toon, or 2=none to leave it alone; `faces INPUT` shows the numbers.",
        metavar=STYLE_FOR_SYNTAX,
        is_repeatable=True,
    )
    face_like: tuple[str, ...] = _choice(
        (),
        "Restyle only faces like the one in this picture, before and after every cut; give it again for more people.",
        metavar="PICTURE",
        is_repeatable=True,
    )
    face_like_weights: str | None = _choice(
        None, "SFace weights (face_recognition_sface_2021dec.onnx) for --face-like.", metavar="FILE"
    )
    face_like_score: float = _choice(
        0.363, "How like the picture a face must be, as a cosine; lower it if faces are missed.", low=-1.0, high=1.0
    )
    device: str = _choice(
        "auto", "Where the networks run: auto, cpu, cuda, cuda:1, mps.", metavar="DEVICE", shapes_frames=False
    )
    engine: str = _choice(
        "auto",
        "What runs the generator: PyTorch, PyTorch compiled, or OpenVINO; auto is OpenVINO on a CPU, the fastest that "
        "is accurate enough on a GPU.",
        choices=("auto", "torch", "compiled", "openvino"),
    )
    precision: str = _choice(
        "auto",
        "Arithmetic of the generator; auto takes the fastest that is accurate enough. int8 needs `styles quantise`.",
        choices=("auto", "fp32", "bf16", "fp16", "int8"),
    )
    threads: int | None = _choice(
        None, "CPU threads for the networks; default: one per core.", low=1, high=1024, shapes_frames=False
    )
    parallel: int | None = _choice(
        None,
        "Chunks that are rendered at once, each by a process (on GPUs: one per GPU); default: what is faster here.",
        low=1,
        high=1024,
        shapes_frames=False,
    )
    cluster: str | None = _choice(
        None,
        "Render on a Ray cluster: its address (ray://HOST:10001, HOST:6379), or auto for the one of this machine.",
        metavar="ADDRESS",
        shapes_frames=False,
    )
    reuse_still: bool = _choice(
        False,
        "Keep a restyled face while nothing but noise changes in its crop: faster where people sit still.",
        flag="--reuse-still/--no-reuse-still",
    )
    detector: str = _choice(
        "auto",
        "Face detector; auto is yunet where its weights are here, else the built-in network.",
        choices=("auto", "builtin", "hog", "yunet", "sfd", "blazeface"),
    )
    detector_weights: str | None = _choice(None, "Weights file of the detector.", metavar="FILE")
    landmarks: str = _choice(
        "auto", "Landmarks: the built-in network (mesh) or FAN through face-alignment.", choices=("auto", "mesh", "fan")
    )
    faces: str = _choice(
        "all",
        "Which faces: all, the largest, the N largest at once, or only those with these numbers (only:2 or 1,3), which "
        "`faces INPUT` shows.",
        metavar=FACES_SYNTAX,
    )
    scope: str = _choice(
        "head",
        "How much is restyled: the inside of the face, the head, or the whole frame with the faces in it.",
        choices=("face", "head", "frame"),
    )
    mask: str = _choice(
        "auto",
        "Which pixels of a crop are restyled: by face parser, by landmarks, or a soft box.",
        choices=("auto", "parser", "landmarks", "box"),
    )
    parts: str = _choice(
        "",
        "Parts to take into the mask or to leave out, like no-hat,no-neck: hair, ears, hat, glasses, neck, brows, "
        "eyes, mouth, cloth. By default a head shows all of them but cloth.",
        metavar="PART,no-PART",
    )
    blend: str = _choice(
        "auto",
        "How a face is fitted into its picture: octave by octave (multiband), by shifting slow tones at its edge "
        "(feather), or by carrying that shift on into the head (poisson). Auto is multiband for styles that keep the "
        "colours of things, feather for the others.",
        choices=("auto", "multiband", "feather", "poisson"),
    )
    parser_weights: str | None = _choice(None, "BiSeNet weights (79999_iter.pth) for --mask parser.", metavar="FILE")
    strength: float = _choice(1.0, "How much of the style is blended in.", low=0.0, high=1.0)
    smoothing: float = _choice(1.0, "Steadiness over time; 0 switches it off.", low=0.0, high=1.0)
    min_track_secs: float = _choice(0.2, "A face seen for a shorter time is taken for a false one.", low=0.0, high=60.0)
    max_gap_secs: float = _choice(0.5, "A face lost for no longer than this is bridged.", low=0.0, high=10.0)
    detect_every: int = _choice(
        5, "Look for new faces every N frames; known ones are followed in between.", low=1, high=1000
    )
    codec: str = _choice("auto", "Video encoder; auto suits the container and bit depth.", choices=CODECS)
    crf: int | None = _choice(
        None, "Quality of the encoder, lower is better; default: visually lossless for the codec.", low=0, high=63
    )
    preset: str | None = _choice(None, "Speed preset of the encoder, in its own words.", metavar="PRESET")
    compare: str = _choice("none", "Also show the source: side by side in one picture.", choices=("none", "side"))
    chunk_secs: float = _choice(5.0, "Length of the pieces that a resumed run can keep.", low=0.5, high=600.0)
    strict: bool = _choice(
        True, "Refuse damaged or truncated input; --lenient converts what can be decoded.", flag="--strict/--lenient"
    )
    aligned: bool = _choice(False, "Inputs are pictures of aligned faces: run the generator only.", flag="--aligned")
    overwrite: bool = _choice(False, "Replace outputs that are there already.", flag="--overwrite", shapes_frames=False)
    resume: bool = _choice(
        True, "Go on from the finished chunks of an interrupted run.", flag="--resume/--no-resume", shapes_frames=False
    )

    def fingerprint(self, **more: object) -> str:
        """Return a hex digest over all fields that shape the frames, and over `more` (hashes of input and style)."""
        shaping = {f.name for f in fields(self) if f.metadata["shapes_frames"]}
        chosen = {k: v for k, v in asdict(self).items() if k in shaping} | more
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:20]


def convert_options(command: Any) -> Any:
    """Decorate a Click command with one option per field of ConvertSettings."""
    for f in reversed(fields(ConvertSettings)):
        command = _option(f.name, f.default, dict(f.metadata))(command)
    return command


def some_options(names: Sequence[str]) -> Callable[[Any], Any]:
    """Decorate a Click command with the options of some fields of ConvertSettings, in their order."""

    def decorate(command: Any) -> Any:
        for f in reversed(fields(ConvertSettings)):
            if f.name in names:
                command = _option(f.name, f.default, dict(f.metadata))(command)
        return command

    return decorate


def _option(name: str, default: Any, meta: dict[str, Any]) -> Any:
    flag = meta["flag"]
    if flag is not None:
        return click.option(flag, name, default=default, show_default=True, help=meta["help"], is_flag=True)
    kind: Any = str
    if name == "faces":
        kind = FacesParam()
    elif meta["choices"] is not None:
        kind = click.Choice(meta["choices"])
    elif meta["low"] is not None:
        whole = isinstance(default, int) or name in ("crf", "threads", "parallel")
        kind = (click.IntRange if whole else click.FloatRange)(meta["low"], meta["high"])
    return click.option(
        "--" + name.replace("_", "-"),
        name,
        type=kind,
        default=default,
        multiple=meta["is_repeatable"],
        callback=_check_styles if name == "style_for" else None,
        show_default=default not in (None, ()),
        metavar=meta["metavar"],
        help=meta["help"],
    )
