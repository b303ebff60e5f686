"""What a user can choose for a data set of faces, with the defaults. Nothing heavy is imported: `--help` needs it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..settings import ConvertSettings


@dataclass(frozen=True)
class QualityLimits:
    """What a face must be like to be kept."""

    min_face: int = 80
    """Smallest `size_px`."""
    max_blur: float = 0.55
    """Greatest `blur`."""
    max_yaw: float = 55.0
    """Greatest turn to either side, degrees."""
    max_pitch: float = 35.0
    """Greatest nod up or down, degrees."""
    max_outside: float = 0.3
    """Greatest `outside`."""
    min_score: float = 0.9
    """Lowest `score`."""


@dataclass(frozen=True)
class FaceSetSettings:
    """Every choice of one call of `crop`."""

    size_px: int = 256
    """Side of the crops."""
    template: str = "head"
    """Name of the template that they are cut by."""
    limits: QualityLimits = field(default_factory=QualityLimits)
    """What a face must be like."""
    dedupe: float = 0.95
    """Correlation from which two crops are the same; 0 keeps both."""
    every_secs: float = 1.0
    """Of every face in a video one picture is taken in so many seconds."""
    split: float | None = None
    """Share that goes to the test folder; None makes one folder of crops."""
    domain: str = "A"
    """`A` or `B`: whose folders with `split`."""
    limit: int | None = None
    """At most so many new crops, evenly spread."""
    overwrite: bool = False
    """Cut anew what the folder has crops of, and replace files."""
    search: ConvertSettings = field(default_factory=ConvertSettings)
    """How faces are found: detector, landmarks, device, strictness."""
