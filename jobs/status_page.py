"""Keeps the status page up beside a watch: its process is started, started again when it dies, ended at the end.

What the page shows is dashboard/'s matter; the watch does not depend on it in any way.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .cli_dashboard import start_dashboard

logger = logging.getLogger(__name__)

_CANNOT_SERVE = 1
_END_SECS = 10.0
_RESTART_SECS = 10.0

Start = Callable[[], "subprocess.Popen[bytes]"]
"""Starts the page's process."""


@contextmanager
def status_page(state_dir: Path, address: str | None, *, allow_actions: bool = False) -> Iterator[None]:
    """Serve the status page as long as the block lasts; nothing is done where no address is given.

    Raises:
        DashboardError: the address is none.
    """
    if address is None:
        yield
        return
    with kept_up(lambda: start_dashboard(state_dir, address, allow_actions=allow_actions)):
        yield


@contextmanager
def kept_up(start: Start, restart_secs: float = _RESTART_SECS) -> Iterator[None]:
    """Keep a process up as long as the block lasts.

    Args:
        start: starts it; what it raises at the first time comes through.
        restart_secs: it is started again so long after it died.
    """
    is_over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(start(), start, is_over, restart_secs), name="status page")
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()


def _keep(page: subprocess.Popen[bytes], start: Start, is_over: threading.Event, restart_secs: float) -> None:
    while not is_over.wait(min(1.0, restart_secs)):
        code = page.poll()
        if code is None:
            continue
        if code == _CANNOT_SERVE:  # it has said why: a port that is taken, say
            logger.warning("the status page is not served; the watch goes on without it.")
            return
        logger.warning("the status page ended with code %d and is started again.", code)
        if is_over.wait(restart_secs):
            return
        try:
            page = start()
        except OSError as error:  # no process to be had now
            logger.warning("the status page cannot be started: %s.", error)
    _end(page)


def _end(page: subprocess.Popen[bytes]) -> None:
    page.terminate()
    try:
        page.wait(_END_SECS)
    except subprocess.TimeoutExpired:
        page.kill()
        page.wait()
