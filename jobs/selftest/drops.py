"""Files that arrive as they do in life: moved, copied, linked, slowly, under a temporary name first."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .checker import sha256_of
from .media import write_clip, write_picture

Drop = dict[str, Any]


def _move(made: Path, final: Path) -> None:
    made.replace(final)


def _copy(made: Path, final: Path) -> None:
    shutil.copy(made, final)


def _part(made: Path, final: Path) -> None:
    part = final.with_name(final.name + ".part")
    shutil.copy(made, part)
    part.rename(final)


def _hidden(made: Path, final: Path) -> None:
    hidden = final.with_name(f".{final.name}.Xy12Zw")  # as rsync does
    shutil.copy(made, hidden)
    hidden.rename(final)


def _link(made: Path, final: Path) -> None:
    os.link(made, final)


def _slowly(made: Path, final: Path) -> None:
    content = made.read_bytes()
    with final.open("wb") as file:
        for start in range(0, len(content), len(content) // 5 + 1):
            file.write(content[start : start + len(content) // 5 + 1])
            file.flush()
            time.sleep(0.1)


ARRIVALS: Mapping[str, Callable[[Path, Path], None]] = {
    "mv": _move,
    "cp": _copy,
    "part": _part,
    "rsync": _hidden,
    "ln": _link,
    "slow": _slowly,
}


class Dropper:
    """Makes clips and drops them; remembers in a file what it dropped.

    Args:
        inbox: the watch folder.
        staging: a folder on the same file system, for what is being made.
        chance: decides how a file arrives.
    """

    def __init__(self, inbox: Path, staging: Path, chance: random.Random) -> None:
        self.inbox, self.staging, self.chance = inbox, staging, chance
        self.manifest = staging / "dropped.json"
        self.dropped: list[Drop] = []
        self._slow: list[threading.Thread] = []
        staging.mkdir(parents=True, exist_ok=True)
        self.save()

    def drop(self, *, num_frames: int = 40, name: str | None = None, arrival: str | None = None) -> Drop:
        """Make the next clip (a picture, if `name` ends as one) and drop it; return its line of the manifest."""
        clip = len(self.dropped) + 1
        final = self.inbox / (name or f"clip{clip:04}.mp4")
        made = self.staging / f"made{clip}{final.suffix}"
        if final.suffix in (".png", ".jpg"):
            write_picture(made, clip)
        else:
            write_clip(made, clip, num_frames)
        drop = {"path": str(final), "sha256": sha256_of(str(made)), "clip": clip, "expect": "done"}
        self.dropped.append(drop)
        self.save()
        self._arrive(arrival or self.chance.choice(list(ARRIVALS)), made, final)
        return drop

    def _arrive(self, arrival: str, made: Path, final: Path) -> None:
        def come() -> None:
            ARRIVALS[arrival](made, final)
            made.unlink(missing_ok=True)

        if arrival != "slow":
            return come()
        self._slow.append(threading.Thread(target=come))
        return self._slow[-1].start()

    def save(self) -> None:
        """Write the manifest."""
        self.manifest.write_text(json.dumps(self.dropped))

    def finish(self) -> None:
        """Wait for what arrives slowly."""
        for thread in self._slow:
            thread.join()
        with suppress(OSError):
            self.save()
