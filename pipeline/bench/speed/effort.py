"""How much the benchmark of speed measures: which clips, how long, how often. `--quick`, the default, `--full`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """A kind of clip that is made."""

    size: str
    """Name of its size."""
    size_wh: tuple[int, int]
    """Width and height in pixels."""
    num_faces: int = 1
    """Faces in every frame: 1 or 4."""

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.size}, {self.num_faces} face{'s' if self.num_faces > 1 else ''}"

    @property
    def key(self) -> str:
        """For names of figures."""
        return f"{self.size}/{self.num_faces}"


SIZES: dict[str, tuple[int, int]] = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
"""Sizes of pictures by name."""


def scene(size: str, num_faces: int = 1) -> Scene:
    """A scene of one of SIZES."""
    return Scene(size, SIZES[size], num_faces)


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    name: str
    """`quick`, `default`, `full`."""
    rounds: int = 3
    """Of whole conversions."""
    crop_rounds: int = 7
    """Of single crops through the generators, and of the machine's limits."""
    stage_rounds: int = 3
    """Of stages."""
    stage_frames: int = 50
    """Length of the clips that stages are measured on."""
    stages: tuple[Scene, ...] = (scene("720p"), scene("720p", 4))
    """What stages are measured on."""
    whole: tuple[Scene, ...] = (scene("720p"),)
    """What is converted with the style and with the same style twice as wide."""
    whole_narrow: tuple[Scene, ...] = (scene("720p", 4), scene("1080p"))
    """What is converted with the style alone."""
    run_secs: float = 6.0
    """A conversion or a run of the public loop lasts about so long; its number of frames follows."""
    most_frames: int = 150
    """No clip is longer; without the generator all frames are taken."""
    memory: Scene = Scene("1080p", (1920, 1080))
    """What peak memory is measured on."""
    memory_frames: tuple[int, int] = (40, 120)
    """A short and a long clip."""
    starts: int = 3
    """Warm starts of a process."""
    has_compiled: bool = False
    """Compiled engines as well on a CPU: half a minute for each to compile."""
    has_int8: bool = True
    """The style is quantised where the user has not done it: a minute or two, with NNCF."""
    has_training: bool = False
    """Training steps as well."""
    has_jobs: bool = False
    """What watching folders costs as well."""


QUICK = Effort(
    "quick",
    rounds=2,
    crop_rounds=3,
    stage_rounds=2,
    stage_frames=25,
    stages=(scene("720p"),),
    whole=(scene("720p"),),
    whole_narrow=(),
    run_secs=4.0,
    memory=scene("720p"),
    memory_frames=(15, 45),
    starts=1,
    has_int8=False,
)
"""About a minute and a half."""
DEFAULT = Effort("default")
"""A few minutes."""
FULL = Effort(
    "full",
    rounds=3,
    crop_rounds=11,
    stages=tuple(scene(size, faces) for size in SIZES for faces in (1, 4)),
    whole=tuple(scene(size, faces) for size in SIZES for faces in (1, 4)),
    whole_narrow=(),
    run_secs=8.0,
    most_frames=250,
    memory_frames=(50, 250),
    starts=5,
    has_compiled=True,
    has_training=True,
    has_jobs=True,
)
"""All sizes; half an hour."""
EFFORTS = {effort.name: effort for effort in (QUICK, DEFAULT, FULL)}
"""By name."""
