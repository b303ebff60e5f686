"""Snapshots: everything a run needs to go on to the bit, written whole or not at all, and checked when read.

A snapshot is `step-NNNNNNNN.pt` and, beside it, `.json` with its size, SHA-256, architecture and score. What is in the
first is for loop.py to say; nothing in it can run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import torch

from model.style import write_atomically

from .disk import full_disk_told
from .errors import SnapshotError

_logger = logging.getLogger(__name__)

State = dict[str, Any]
"""What a snapshot holds, by name: tensors, numbers, texts, and lists and dicts of them."""


@dataclass(frozen=True)
class SnapshotInfo:
    """What stands beside a snapshot."""

    step: int
    """Steps done."""
    size_bytes: int
    """Of the `.pt` file."""
    sha256: str
    """Of the `.pt` file."""
    architecture: dict[str, Any]
    """The settings that fix the shapes of its networks, by flag."""
    score: float | None = None
    """The metric by which the best is chosen, lower is better; None where none was measured at this step."""


class Snapshots:
    """The snapshots of one run."""

    def __init__(self, folder: Path, keep: int) -> None:
        """Look after the snapshots in a folder.

        Args:
            folder: it is made at the first `save`.
            keep: how many of the newest are kept, beside the best one.
        """
        self.folder = folder
        self.keep = keep

    def save(self, state: State, step: int, architecture: Mapping[str, Any], score: float | None = None) -> Path:
        """Write a snapshot, then remove those that are not kept any more.

        Args:
            state: what it holds.
            step: steps done.
            architecture: settings that fix the shapes of the networks, by flag.
            score: see `SnapshotInfo`.

        Raises:
            OutOfSpaceError: the disk is full; the snapshots before are as they were.
        """
        path = self._path(step)
        with full_disk_told(path, self._what_is_left()):
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            try:
                size, digest = _write(state, partial)
                info = SnapshotInfo(step, size, digest, dict(architecture), score)
                write_atomically(path.with_suffix(".json"), json.dumps(asdict(info), indent=1).encode())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            _sync_folder(self.folder)
        self._remove_old(step)
        return path

    def load_newest(self, architecture: Mapping[str, Any]) -> tuple[State, SnapshotInfo]:
        """Read the newest snapshot that is whole; damaged ones are told of.

        Args:
            architecture: of the networks that will take it, by flag.

        Raises:
            SnapshotError: there is none, none is whole, or the newest whole one is of another architecture.
        """
        for step in sorted(self.steps(), reverse=True):
            path = self._path(step)
            try:
                info = self._whole(path)
            except _DamagedError as error:
                _logger.warning("Snapshot '%s' is damaged (%s); trying the one before.", path, error)
                continue
            check_architecture(info.architecture, architecture, f"the snapshot '{path}'")
            return torch.load(path, map_location="cpu", weights_only=True), info
        raise SnapshotError(f"there is no whole snapshot in '{self.folder}'; the run must begin anew.")

    def steps(self) -> list[int]:
        """Steps of which there is a snapshot, whole or not."""
        return [int(path.stem.partition("-")[2]) for path in self.folder.glob("step-*.pt")]

    def best(self) -> SnapshotInfo | None:
        """What stands beside the snapshot of the best score."""
        infos = [info for step in self.steps() if (info := self._info(step)) is not None and _is_scored(info)]
        return min(infos, key=lambda info: (info.score, -info.step), default=None)

    def _whole(self, path: Path) -> SnapshotInfo:
        info = self._info(int(path.stem.partition("-")[2]))
        if info is None:
            raise _DamagedError("nothing beside it tells its size")
        size = path.stat().st_size
        if size != info.size_bytes:
            raise _DamagedError(f"{size} bytes, it had {info.size_bytes}")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != info.sha256:
                raise _DamagedError("its bytes have changed")
        return info

    def _info(self, step: int) -> SnapshotInfo | None:
        try:
            return SnapshotInfo(**json.loads(self._path(step).with_suffix(".json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _remove_old(self, newest: int) -> None:
        """Keep the last ones and the best; what is of a later step was damaged and not gone on from."""
        best = self.best()
        past = sorted(step for step in self.steps() if step <= newest)
        kept = {*past[-self.keep :], *([best.step] if best is not None else [])}
        for step in set(self.steps()) - kept:
            self._path(step).unlink()  # first: what stands beside a snapshot is nothing alone
            self._path(step).with_suffix(".json").unlink(missing_ok=True)

    def _what_is_left(self) -> str:
        steps = self.steps()
        if not steps:
            return "the run has no snapshot yet; free some and begin it again"
        return (
            f"the snapshot of step {max(steps)} is whole: free some space, then go on with "
            f"`train --resume {self.folder.parent}`"
        )

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.pt"


def check_architecture(theirs: Mapping[str, Any], ours: Mapping[str, Any], what: str) -> None:
    """Compare two architectures.

    Args:
        theirs: settings of what is read, by flag.
        ours: settings of the networks that shall take it, by flag.
        what: is read; for the message.

    Raises:
        SnapshotError: they differ; the message names every setting that does.
    """
    different = [
        f"{flag} is {theirs.get(flag, 'not set')} there and {ours.get(flag, 'not set')} here"
        for flag in sorted(theirs.keys() | ours.keys())
        if theirs.get(flag) != ours.get(flag)
    ]
    if different:
        raise SnapshotError(f"{what} is of another architecture: {'; '.join(different)}.")


class _DamagedError(Exception):
    """A snapshot's file is not what was written."""


class _HashingStream:
    """Passes on what is written, and knows its size and SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size_bytes = 0
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size_bytes += len(memoryview(data).cast("B"))
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _write(state: State, path: Path) -> tuple[int, str]:
    """Write a state to the disk itself; return size and SHA-256."""
    with path.open("wb") as file:
        stream = _HashingStream(file)
        torch.save(state, stream, pickle_module=pickle)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    return stream.size_bytes, stream.sha256.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Bring renames to the disk, so that a snapshot outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_scored(info: SnapshotInfo) -> bool:
    return info.score is not None and math.isfinite(info.score)
