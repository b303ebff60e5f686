"""`--style rehearsal`: everything but the networks, to try out a machine, its disks and the watch folders.

A face is taken to be in the middle of every picture, and the generator turns its colours round; files are read, cut
into chunks, encoded, joined, checked and published as ever. It is fast, needs no weights, and is no style to look at:
lists of styles leave it out.

UGATIT_REHEARSAL makes it go wrong, for tests of what happens then; several of these, separated by commas:

    slow:0.01           sleep so many seconds over each face
    oom:3, oom:always   the third batch of more than one face finds no memory; every one, even of one, does
    leak:5              lose so many megabytes over each face
    exit:NAME           end the process at once over a file of that name
    hang:NAME           wait for ever over it
    raise:RuntimeError  raise that built-in error
"""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from alignment.faces import Face
from alignment.points import Points
from model import Engine, GeneratorConfig, GeneratorOutput, Style, StyleCard, TorchEngine
from model.devices import choose_device
from model.generator import Generator

from .finder import FaceFinder, FaceSource
from .masks import build_mask_maker
from .report import Report
from .search import FaceSearch
from .settings import REHEARSAL
from .studio import Studio
from .views import MaskMaker

_SIZE_PX = 64
_BATCH_SIZE = 8
_VARIABLE = "UGATIT_REHEARSAL"
_EXIT_CODE = 70
_FIVE_POINTS = np.array([[-15, -12], [15, -12], [0, 4], [-11, 18], [11, 18]], np.float32) / 30
"""Eyes, nose and corners of the mouth about the middle of a face; the eyes are 1 apart."""


class RehearsalStudio(Studio):
    """A studio whose parts are made up."""

    @cached_property
    def styles(self) -> dict[str, Style]:
        """The one style, whatever it is called."""
        network = cast(Generator, _Inverting(self._faults))
        card = StyleCard(description="Inverts colours.", crop_size_px=_SIZE_PX, licence="MIT")
        style = Style(REHEARSAL, card, GeneratorConfig(image_size_px=_SIZE_PX), network)
        return dict.fromkeys(self.style_names, style)

    @cached_property
    def engines(self) -> dict[str, Engine]:
        """The engine of all styles, on the CPU unless a device is asked for."""
        name = self.settings.device
        device = torch.device("cpu") if name == "auto" else choose_device(name)
        engine = TorchEngine(self.style.generator, device=device)
        engine.batch_size = _BATCH_SIZE
        return dict.fromkeys(self.style_names, engine)

    @cached_property
    def finder(self) -> FaceFinder:
        """It finds a face in the middle of everything."""
        return _FixedFinder()

    @cached_property
    def search(self) -> FaceSearch | None:
        """Everybody looks like everybody."""
        return None

    def new_report(self, source: Path, source_sha256: str) -> Report:
        """See Studio."""
        self.attend(source)
        return super().new_report(source, source_sha256)

    def attend(self, source: Path) -> None:
        """See Studio; faults that are tied to a name look at this one."""
        self._faults.source = source.name

    @cached_property
    def _faults(self) -> _Faults:
        return _Faults(os.environ.get(_VARIABLE, ""))

    @cached_property
    def _hashes(self) -> dict[str, Any]:
        return {}

    def _masks(self, group: str) -> MaskMaker:
        if group not in self._masks_of:
            self._masks_of[group] = build_mask_maker("box")
        return self._masks_of[group]


class _FixedFinder(FaceFinder):
    """Sees one face in the middle of every picture, always the same."""

    class _Nobody:
        name = REHEARSAL
        batch_size = 1
        num_landmarks = len(_FIVE_POINTS)

    def __init__(self) -> None:
        self.detector = self.landmarker = cast(Any, self._Nobody())

    def detect(self, sources: Sequence[FaceSource], *, is_series: bool = False) -> list[list[Face]]:
        """See FaceFinder."""
        return [[_middle_face(source)] for source in sources]

    def find(
        self, source: FaceSource, known: Sequence[Face] = (), detections: Sequence[Face] | None = None
    ) -> list[Face]:
        """See FaceFinder."""
        return [] if known else [_middle_face(source)]

    def follow(self, source: FaceSource, faces: Sequence[Face]) -> list[Face | None]:
        """See FaceFinder."""
        return list(faces)


def _middle_face(source: FaceSource) -> Face:
    """A face of a third of the picture's short side."""
    width, height = source.size_wh
    middle, side = np.array([width / 2, height / 2], np.float32), min(width, height) / 3
    box = np.concatenate([middle - side / 2, middle + side / 2]).astype(np.float32)
    points: Points = (middle + _FIVE_POINTS * side / 2).astype(np.float32)
    return Face(box, points, 1.0)


class _Inverting(nn.Module):
    """Turns colours round: N3HW in [-1, 1] -> its negative."""

    def __init__(self, faults: _Faults) -> None:
        super().__init__()
        self._faults = faults

    def forward(self, crops: Tensor) -> GeneratorOutput:
        """Invert a batch, or fail as the environment asks."""
        self._faults.strike(len(crops))
        return GeneratorOutput(-crops, crops, crops, crops)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Inverting:
        return _Inverting(self._faults)  # engines copy their network; the faults are counted together


class _Faults:
    """What UGATIT_REHEARSAL asks for."""

    def __init__(self, text: str) -> None:
        pairs = (part.partition(":") for part in text.split(",") if part)
        self._asked = {name: value for name, _, value in pairs}
        self._leaked: list[bytes] = []
        self._num_batches = 0
        self.source = ""
        """Name of the file that is being converted."""

    def strike(self, num_faces: int) -> None:
        """Do what is due over a batch of so many faces."""
        asked = self._asked
        if not (asked and self.source):  # engines are also run before there is a file
            return
        time.sleep(float(asked.get("slow", 0)) * num_faces)
        self._leaked += [b"x" * (int(asked.get("leak", 0)) << 20) for _ in range(num_faces)]
        if asked.get("exit") == self.source:
            os._exit(_EXIT_CODE)
        while asked.get("hang") == self.source:
            time.sleep(3600)
        if "raise" in asked:
            raise getattr(builtins, asked["raise"])(f"{_VARIABLE} asked for it.")
        self._run_out_of_memory(num_faces)

    def _run_out_of_memory(self, num_faces: int) -> None:
        self._num_batches += num_faces > 1
        when = self._asked.get("oom", "")
        if when == "always" or (num_faces > 1 and when == str(self._num_batches)):
            raise torch.OutOfMemoryError(f"{_VARIABLE} asked for it.")
