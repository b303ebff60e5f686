"""A fence before the folder of a video's chunks: who renders elsewhere gets in while the run that asked for it goes on.

A machine that was cut off may finish a chunk long after it was given to another one. Results therefore come in through
a folder that belongs to one run; when the run is over it is gone, and what comes late finds no way.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..chunks import Chunk
from ..publish import out_of_space_told, sync

_OPEN, _CLOSED, _TOKEN = "fence-", "closed-", "token"


@dataclass(frozen=True)
class Fence:
    """The way into a folder of chunks for one run."""

    folder: Path
    """That of the chunks."""
    name: str
    """Of the run; no other has it."""

    @property
    def path(self) -> Path:
        """Where results wait for their final names; on the file system of the chunks."""
        return self.folder / (_OPEN + self.name)

    @property
    def token(self) -> Path:
        """A file by whose content another machine knows that it looks at the same folder."""
        return self.path / _TOKEN

    def close(self) -> None:
        """Let nobody in any more: a single rename decides who was in time."""
        closed = self.folder / (_CLOSED + self.name)
        with suppress(OSError):
            self.path.rename(closed)
        shutil.rmtree(closed, ignore_errors=True)


def open_fence(folder: Path) -> Fence:
    """Open a way into `folder`, and close those of runs that were killed: the folder is ours alone now."""
    for left in [*folder.glob(_OPEN + "*"), *folder.glob(_CLOSED + "*")]:
        Fence(folder, left.name.partition("-")[2]).close()
    fence = Fence(folder, uuid.uuid4().hex)
    fence.path.mkdir()
    fence.token.write_text(uuid.uuid4().hex, encoding="ascii")
    return fence


def hand_in(fence: Fence, rendered: Chunk, chunk: Chunk, attempt: str) -> bool:
    """Bring a chunk that was rendered on a local disk to its place; its mark last, so that it is whole or not there.

    Args:
        fence: of the run that asked for it.
        rendered: where its files lie now.
        chunk: where they shall be.
        attempt: of this rendering, unlike those of all others.

    Returns:
        False where nobody needs it any more: somebody else was faster, or the run is over.

    Raises:
        OutOfSpaceError: the shared disk is full.
        OSError: it cannot be written to.
    """
    if chunk.is_finished or not fence.path.is_dir():
        return False
    try:
        with out_of_space_told(chunk.path):
            for source, final in ((rendered.path, chunk.path), (rendered.stats, chunk.stats)):
                _move(source, fence.path / f"{attempt}{final.suffix}", final)
            sync(chunk.path.parent)
    except OSError:
        if fence.path.is_dir():
            raise
        return False
    return True


def _move(source: Path, way: Path, final: Path) -> None:
    try:
        shutil.copyfile(source, way)
        sync(way)
        os.replace(way, final)
    finally:
        with suppress(OSError):
            way.unlink(missing_ok=True)
