"""Named starting points for `train --preset`; a file or a flag still changes every value. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """One starting point."""

    summary: str
    """What it is for, in one line of the help."""
    values: dict[str, dict[str, Any]]
    """What differs from the defaults, by section and name."""


_LIGHT: dict[str, dict[str, Any]] = {"networks": {"base_channels": 32, "disc_channels": 32}}

PRESETS: dict[str, Preset] = {
    "tiny": Preset(
        "128 px and 16 channels: minutes on a CPU, to see whether data and options are right",
        {
            "networks": {
                "image_size_px": 128,
                "base_channels": 16,
                "disc_channels": 16,
                "num_blocks": 2,
                "global_depth": 6,
                "local_depth": 4,
            },
            # Few steps: at the published weight of 1000 the CAM term takes all of them (docs/training.md has a run).
            "losses": {"cam": 20.0},
            "optimizer": {"learning_rate": 3e-4, "ema_half_life_kimg": 0.1},
            "run": {
                "steps": 2000,
                "snapshot_every": 250,
                "preview_every": 250,
                "evaluate_every": 1000,
                "log_every": 25,
            },
        },
    ),
    "light": Preset("256 px, 32 channels, pooled head: 5 MB as float16, fast in `convert`", _LIGHT),
    "full": Preset(
        "the published U-GAT-IT: 64 channels, full head, a million steps; needs a GPU",
        {
            "networks": {"head": "full"},
            "run": {"steps": 1_000_000, "snapshot_every": 5000, "preview_every": 5000, "evaluate_every": 25_000},
        },
    ),
    "face-keep-background": Preset(
        "light, and only the face changes: background, glasses and the inside of the mouth stay",
        _LIGHT
        | {
            "losses": {"background": 50.0},
            "objective": {"mask_disc_loss": True, "detach_background": True, "keep_eyewear_mouth": True},
        },
    ),
}
"""By the name that `--preset` takes."""


def preset_values(name: str) -> dict[str, dict[str, Any]]:
    """Return what a preset changes, by section and name."""
    return PRESETS[name].values


def preset_lines() -> str:
    """Return the presets as an indented list for the help."""
    return "\n".join(f"  {name:22}{preset.summary}" for name, preset in PRESETS.items())
