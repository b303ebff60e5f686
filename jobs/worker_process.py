"""The process of a worker: tied to the daemon's life, limited, with a lock that tells others that it lives."""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
import threading
from dataclasses import replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait

from .locks import OwnerLocks
from .process_tree import OWNER_VARIABLE, data_bytes, die_with_parent
from .worker import Worker, WorkerSettings


class Orders:
    """What the daemon says over a pipe while its worker runs: to stop. The pipe's end says so, too."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._is_draining = False

    def drain(self) -> None:
        """Take no more jobs."""
        self._is_draining = True

    def is_draining(self) -> bool:
        """Tell whether the worker shall stop."""
        self.pause(0.0)
        return self._is_draining

    def pause(self, secs: float) -> None:
        """Wait for so long, or until the daemon says something."""
        try:
            self._is_draining |= self._connection.poll(0.0 if self._is_draining else secs)
        except OSError:
            self._is_draining = True


def work(settings: WorkerSettings, connection: Connection) -> None:
    """Be a worker until told to stop: the entry of its process.

    Args:
        settings: what it needs to know.
        connection: anything that can be read from it means: stop.
    """
    orders = Orders(connection)
    signal.signal(signal.SIGTERM, lambda number, frame: orders.drain())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _tie_to_daemon()
    os.environ.update({**settings.environment, OWNER_VARIABLE: settings.owner})
    logging.basicConfig(level=settings.log_level, format=f"%(levelname)s worker {os.getpid()}: %(message)s")
    faulthandler.enable()
    if settings.make_handler is None:
        settings = replace(settings, device=_usable(settings.device))
        _limit_threads(settings.num_threads)
    _limit_memory(settings)
    from .store import open_store

    with OwnerLocks(settings.state_dir).hold(settings.owner), open_store(settings.store_path) as store:
        Worker(settings, store, orders.is_draining, orders.pause).run()


def _tie_to_daemon() -> None:
    """End when the daemon ends: the server that forked us ends with it, and we with the server; or we see it here."""
    os.setpgid(0, 0)
    die_with_parent()
    daemon = parent_process()
    if daemon is not None:
        threading.Thread(target=_end_with, args=(daemon.sentinel,), name="daemon-watch", daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os.killpg(0, signal.SIGKILL)


def _usable(device: str) -> str:
    """Leave the choice to pipeline where PyTorch was built without what the machine has."""
    import torch

    is_useless = device.startswith("cuda") and torch.version.cuda is None and torch.version.hip is None
    return "auto" if is_useless else device


def _limit_threads(count: int | None) -> None:
    """Keep every library to a share of the cores; pipeline's budget, which OpenVINO and encoders follow, reads it."""
    if count is None:
        return
    asked = os.environ.get("OMP_NUM_THREADS", "")
    share = min(count, int(asked)) if asked.isdigit() and int(asked) > 0 else count
    os.environ["OMP_NUM_THREADS"] = str(share)
    import cv2
    import torch

    torch.set_num_threads(share)
    cv2.setNumThreads(share)


def _limit_memory(settings: WorkerSettings) -> None:
    """Limit what this process can reserve, on top of what libraries reserved and never touch.

    What is held in truth is watched by the pool; beside CUDA, which reserves far more than it uses, only that is done.
    """
    if settings.memory_bytes is None or _may_use_cuda(settings):
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + settings.memory_bytes, most))


def _may_use_cuda(settings: WorkerSettings) -> bool:
    if settings.device != "auto" or settings.make_handler is not None:
        return settings.device.startswith("cuda")
    import torch

    return torch.cuda.is_available()
