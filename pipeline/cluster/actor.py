"""What runs on a node of a cluster: holds a studio, renders chunks on the local disk, hands them in on the shared one.

Ray makes an actor of it. `render` and `advance` are called in two threads.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from ..budget import apply_budget, decide_budget
from ..chunk_render import VideoWork, render_chunk
from ..chunks import Chunk
from ..errors import OutOfSpaceError
from ..render_process import portable
from ..settings import ConvertSettings
from ..studio import Studio, build_studio
from .chunk_fence import Fence, hand_in
from .node_check import identity_of

logger = logging.getLogger(__name__)

SCRATCH_VARIABLE = "UGATIT_SCRATCH"
"""Environment variable of a node: the folder on its local disk for chunks that are being rendered."""

_PREFIX = "ugatit-scratch-"
_LOW_BYTES = 64 << 20

T = TypeVar("T")


@dataclass(frozen=True)
class Rendered:
    """A chunk is where it belongs."""

    faces: int
    """Faces in it."""
    first_frame_at: float | None
    """When its node handed its first restyled frame to an encoder, seconds since the epoch."""
    render_secs: float
    """How long the rendering took."""
    hand_in_secs: float
    """How long it took to bring the files to the shared disk."""


@dataclass(frozen=True)
class Failed:
    """Something went wrong; the actor is well."""

    error: BaseException
    """What."""
    is_memory: bool = False
    """The device's memory is too small for what runs on it."""


class ChunkActor:
    """Renders chunks for one driver.

    Args:
        settings: the user's choices, for this node's device.
        threads: CPU threads.
    """

    def __init__(self, settings: ConvertSettings, threads: int) -> None:
        on_gpu = int(settings.device.startswith("cuda"))
        budget = decide_budget(threads=threads, parallel=1, num_gpus=on_gpu, cores=threads)
        self._studio = build_studio(settings, budget)
        self._scratch = _Scratch(Path(os.environ.get(SCRATCH_VARIABLE) or tempfile.gettempdir()))
        self._attempt, self._frames, self._faces = "", 0, 0

    def load(self) -> dict[str, Any] | Failed:
        """Load the networks; return what decides the bits of a frame (see `identity_of`)."""
        try:
            return self._loaded()
        except Exception as error:
            return Failed(portable(error))

    def _loaded(self) -> dict[str, Any]:
        apply_budget(self._studio.budget)
        self._studio.cast, self._studio.whole  # noqa: B018
        return identity_of(self._studio)

    def render(self, work: VideoWork, chunk: Chunk, fence: Fence, attempt: str) -> Rendered | Failed:
        """Render a chunk and bring it to its place.

        Args:
            work: its video.
            chunk: with the place where its files shall be.
            fence: of the run.
            attempt: unlike those of all others.
        """
        self._attempt, self._frames, self._faces = attempt, 0, 0
        started = perf_counter()
        try:
            apply_budget(self._studio.budget)  # in this thread: it may be another one every time
            with self._scratch.folder() as scratch, _told_of_scratch(scratch):
                local = replace(chunk, path=scratch / chunk.path.name)
                self._studio.attend(work.info.path)
                _with_less_memory(self._studio, lambda: render_chunk(work, local, self._studio, self._count))
                rendered = perf_counter()
                hand_in(fence, local, chunk, attempt)
        except Exception as error:
            return Failed(portable(error), is_memory=_is_out_of_memory(error))
        return Rendered(self._faces, self._studio.first_frame_at, rendered - started, perf_counter() - rendered)

    def advance(self) -> tuple[str, int, int]:
        """Tell the running attempt, and the frames and faces of it that are through."""
        return self._attempt, self._frames, self._faces

    def _count(self, frames: int, faces: int) -> None:
        self._frames += frames
        self._faces += faces


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def _with_less_memory(studio: Studio, work: Callable[[], T]) -> T:
    """Do something again with half the batch if the device's memory does not suffice for it."""
    import torch

    try:
        return work()
    except torch.OutOfMemoryError as error:
        logger.info("The memory of the device is full (%s); again with half the batch.", error)
    # Outside of the block above, which holds what fills the memory.
    for engine in studio.engines.values():
        setattr(engine, "batch_size", max(engine.batch_size // 2, 1))  # noqa: B010 (a property of the Protocol)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return work()


@contextmanager
def _told_of_scratch(scratch: Path) -> Iterator[None]:
    """Say which disk is full if it is the local one: the user looks at the shared one first."""
    try:
        yield
    except OutOfSpaceError as error:
        if shutil.disk_usage(scratch).free > _LOW_BYTES:
            raise
        raise OutOfSpaceError(
            f'on node "{platform.node()}" the disk of "{scratch.parent}" is full; free some space there, or set '
            f"{SCRATCH_VARIABLE} to a folder on a larger disk before Ray is started."
        ) from error


class _Scratch:
    """Folders on the local disk, one per chunk; what killed renderers left of theirs is removed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for left in root.glob(_PREFIX + "*"):
            _remove_if_left(left)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Have a folder as long as the block lasts."""
        folder, lock = self._locked()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def _locked(self) -> tuple[Path, int]:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._root))
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.is_dir():  # until it is locked it looks like one that was left
                return folder, lock
            os.close(lock)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
