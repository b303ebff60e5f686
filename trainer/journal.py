"""What a run tells of itself: `log.jsonl`, TensorBoard and one log line, from the same numbers at every tick.

Measures nothing, and draws nothing (curves.py, previews.py). TensorBoard is imported when the first journal is opened.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from model.style import write_atomically

from .disk import full_disk_told

LOG_NAME = "log.jsonl"
"""The log's name in a run's folder."""

_STILL_WHOLE = "the snapshots made so far are whole: free some space and go on with --resume"

_log = logging.getLogger(__name__)


class Journal:
    """The open journal of a run; a context manager.

    Args:
        run_dir: the run's folder; TensorBoard's event files lie in it too.
        start_step: the step that the run goes on from, 0 for a new one. What the log says of later steps is dropped:
            they are done again.

    Raises:
        OutOfSpaceError: the disk is full; every method raises it.
    """

    def __init__(self, run_dir: Path, start_step: int = 0) -> None:
        self._path = run_dir / LOG_NAME
        with full_disk_told(self._path, _STILL_WHOLE):
            _drop_after(self._path, start_step)
            self._board = _open_board(run_dir, start_step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tick(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write down the numbers of a step.

        Args:
            step: optimizer steps done.
            numbers: by name; what is before a slash is the group: `loss/cycle_a2b`, `rate/learning_rate`,
                `averaged/a2b/kid_parser`. What is not finite is null in the log and missing on the board.
        """
        with full_disk_told(self._path, _STILL_WHOLE):
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_json_line(step, numbers))
            for name, value in numbers.items():
                if math.isfinite(value):
                    self._board.add_scalar(name, value, step)
            self._board.flush()
        _log.info("Step %d: %s.", step, ", ".join(f"{name} {value:.4g}" for name, value in numbers.items()))

    def picture(self, tag: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """Show a picture, HxWx3 uint8 RGB, on the board."""
        with full_disk_told(self._path, _STILL_WHOLE):
            self._board.add_image(tag, picture, step, dataformats="HWC")
            self._board.flush()

    def close(self) -> None:
        """Close the board."""
        self._board.close()


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Read a log line by line; a line that was cut off, as by a power failure, is left out.

    Args:
        path: a `log.jsonl`.

    Yields:
        `step` and the numbers by name; None stands for a number that was not finite.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                yield entry


def _json_line(step: int, numbers: Mapping[str, float]) -> str:
    finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return json.dumps({"step": step, **finite}, allow_nan=False) + "\n"


def _drop_after(path: Path, start_step: int) -> None:
    """Keep of a log what it says of the first `start_step` steps."""
    if not path.exists():
        return
    kept = [entry for entry in read_log(path) if entry["step"] <= start_step] if start_step else []
    write_atomically(path, "".join(json.dumps(entry) + "\n" for entry in kept).encode())


def _open_board(run_dir: Path, start_step: int) -> Any:
    """TensorBoard's writer; events of an interrupted run after `start_step` are purged from its display."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorBoard's own imports, some of which are deprecated in some releases
        from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run_dir), purge_step=start_step + 1 if start_step else None)  # type: ignore[no-untyped-call]
