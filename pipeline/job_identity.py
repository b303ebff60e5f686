"""The identity of a conversion: a digest over all that shapes its pixels, by which a resumed run finds its chunks."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignment.landmarks import BUILT_IN_WEIGHTS
from alignment.spotter import BUILT_IN_WEIGHTS as DETECTOR_WEIGHTS

from .publish import sha256_of
from .settings import ConvertSettings

if TYPE_CHECKING:
    from .studio import Studio


def job_identity(studio: Studio, hashes: dict[str, Any], source_sha256: str, output: Path) -> str:
    """Return a hex digest that whatever changes a pixel changes.

    Args:
        studio: what converts.
        hashes: from `file_hashes`.
        source_sha256: hash of the input's content.
        output: where the result goes.
    """
    return studio.settings.fingerprint(
        program=_program_version(),
        source=source_sha256,
        styles=[studio.styles[name].sha256 for name in studio.style_names],
        engines=[
            [
                engine.name,
                hardware_of(str(engine.device)),
                engine.precision,
                getattr(engine, "calibration", ""),  # int8 calibrated anew draws other pictures
            ]
            for engine in studio.engines.values()
        ],
        detector=None if studio.settings.aligned else studio.finder.detector.name,
        mask=studio.mask_name,
        **hashes,
        output=os.fsencode(output).hex(),
    )


def file_hashes(settings: ConvertSettings, *, is_parsed: bool) -> dict[str, Any]:
    """Return hashes of the files besides the styles that decide what is found and shown.

    Args:
        settings: the user's choices.
        is_parsed: masks come from a face parser.
    """
    from faceseg.parser import find_weights

    parser = None if settings.parser_weights is None else Path(settings.parser_weights)
    people = [] if settings.aligned else settings.face_like
    return {
        "detector_weights": _sha256_or_none(DETECTOR_WEIGHTS),
        "landmarks": _sha256_or_none(BUILT_IN_WEIGHTS),
        "parser_weights": sha256_of(find_weights(parser)) if is_parsed else None,
        "people": [sha256_of(Path(path)) for path in people],
    }


def _sha256_or_none(path: Path) -> str | None:
    return sha256_of(path) if path.exists() else None


def _program_version() -> str:
    try:
        return importlib.metadata.version("ugatit-pipeline")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def hardware_of(device: str) -> str:
    """What computes: chunks of a job may come from several devices of one kind."""
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)
