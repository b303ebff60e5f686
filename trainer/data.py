"""Training pictures as batches: find them, check them, and read them ahead in other processes.

The layout is trainA/ and trainB/; testA/ and testB/ are `HeldOut`. Computes no loss and keeps no position: a step's
number decides its batches (sample_order.py).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from .batch import Batch
from .batch_reader import CACHE_BYTES, BatchReader, PictureCache, ReadBatch
from .config import TrainConfig
from .errors import TrainingDataError
from .face_masks import build_store, compute_missing
from .held_out import HeldOut
from .picture_files import CheckedPicture, Progress, check_pictures, counted, reasons
from .picture_sets import Unreadable, find_domains, find_pairs
from .sample_order import SampleOrder

__all__ = ["HeldOut", "TrainingData"]

INDEX_NAME = "pictures.json"
"""Name of the file in the cache that knows which pictures can be read."""

_log = logging.getLogger(__name__)


class TrainingData:
    """The pictures of a training run.

    Args:
        root: folder with trainA/ and trainB/.
        config: the run.
        rank: number of this process, of `world_size`; every process shows its own share of each step.
        world_size: processes that train together, each with batches of `batch_size`.
        cache_dir: keeps masks and what is known of files between runs.
        progress: told while pictures are read for the first time.

    Raises:
        TrainingDataError: pictures are missing; the message says what was looked for where.
    """

    def __init__(
        self,
        root: Path,
        config: TrainConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
        cache_dir: Path,
        progress: Progress | None = None,
    ) -> None:
        self.config = config
        self.unreadable: Unreadable = {}
        """Why pictures were left out, by path."""
        index = cache_dir / INDEX_NAME

        def check(paths: list[Path]) -> list[CheckedPicture]:
            good, bad = check_pictures(paths, index=index, progress=progress)
            self.unreadable |= bad
            return good

        a, b = find_domains(root, check)
        pairs = find_pairs(config, check)
        _warn_of(self.unreadable)
        _tell_of_small([*a, *b], config.networks.image_size_px)
        self._cache_dir, self._is_prepared = cache_dir, not config.needs_masks
        order = SampleOrder(config.run.seed, config.optimizer.batch_size, rank, world_size)
        self._reader = BatchReader(
            config=config,
            order=order,
            pictures_a=a,
            pictures_b=b,
            pairs=pairs,
            masks=build_store(config, cache_dir) if config.needs_masks else None,
            cache=PictureCache(2 * config.networks.image_size_px, CACHE_BYTES // max(1, config.data.workers)),
        )

    @property
    def num_a(self) -> int:
        """Pictures of domain A that are shown."""
        return len(self._reader.pictures_a)

    @property
    def num_b(self) -> int:
        """Pictures of domain B that are shown."""
        return len(self._reader.pictures_b)

    @property
    def num_pairs(self) -> int:
        """Pairs of the supervised warm start."""
        return len(self._reader.pairs)

    def prepare(self, *, device: str | torch.device = "cpu", progress: Progress | None = None) -> int:
        """Compute the face masks that are not cached, if the run needs any; `batches` does it if nobody did.

        Processes that train together begin at different pictures, and so share the work.

        Args:
            device: where the face parser runs.
            progress: told after each batch.

        Returns:
            How many pictures were parsed.
        """
        reader, self._is_prepared = self._reader, True
        if reader.masks is None:
            return 0
        pictures = [*reader.pictures_a, *reader.pictures_b, *(picture for pair in reader.pairs for picture in pair)]
        first = reader.order.rank * len(pictures) // reader.order.world_size
        return compute_missing(
            reader.masks, pictures[first:] + pictures[:first], self.config, device=device, progress=progress
        )

    def batches(self, start_step: int = 0) -> Generator[tuple[Batch, ...]]:
        """Yield the batches of each step, from one on to the last: as many as are accumulated.

        Close the iterator, or use it up, to end the reading processes. They import the program that started them, so a
        script of one's own needs the usual `if __name__ == "__main__":`.

        Raises:
            TrainingDataError: a picture cannot be read any more.
        """
        if not self._is_prepared:
            self.prepare()
        per_step, num_steps = self.config.optimizer.accumulate, self.config.run.steps
        ahead = iter(self._loader(range(start_step * per_step, num_steps * per_step)))
        try:
            for _ in range(start_step, num_steps):
                yield tuple(self._to_tensors(next(ahead)) for _ in range(per_step))
        finally:
            del ahead  # its reading processes end with it

    def _to_tensors(self, read: ReadBatch | TrainingDataError) -> Batch:
        if isinstance(read, TrainingDataError):
            raise read
        batch = read.to_tensors()
        is_pinned = self.config.run.device != "cpu" and torch.cuda.is_available()
        return batch.pin_memory() if is_pinned else batch

    def _loader(self, numbers: range) -> DataLoader[ReadBatch | TrainingDataError]:
        workers = min(self.config.data.workers, len(numbers), _num_cpus())
        options: dict[str, Any] = {}
        if workers:
            options = {"multiprocessing_context": _context(), "worker_init_fn": _start_worker, "prefetch_factor": 2}
        return DataLoader(
            self._reader,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # else it would take a number from the training's own generator
            **options,
        )


def _context() -> Any:
    """A clean parent for the reading processes: this one may have threads, which a fork would not survive."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # not everywhere

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainer.batch_reader"])
    with _deaf_to_interrupts():
        forkserver.ensure_running()
    return context


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that start now inherit deafness to Ctrl-C: the training process ends them when it has saved."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _num_cpus() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker(worker: int) -> None:
    """One thread for work, deaf to Ctrl-C where that was not inherited, and gone when the training process is."""
    del worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    warnings.simplefilter("ignore")


def _end_with_parent() -> None:
    """End this process after its parent; torch's own watch sees the fork server alone, which lives on with us."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _as_it_is(batch: Any) -> Any:
    return batch


def _warn_of(unreadable: Unreadable) -> None:
    if unreadable:
        _log.warning(
            "%s left out: %s",
            counted(len(unreadable), "picture is", "pictures are"),
            reasons(list(unreadable.values())),
        )


def _tell_of_small(pictures: list[CheckedPicture], size_px: int) -> None:
    num_small = sum(min(picture.width, picture.height) < size_px for picture in pictures)
    if num_small:
        _log.info("%d of %d pictures are smaller than %d px and are enlarged.", num_small, len(pictures), size_px)
