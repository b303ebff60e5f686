"""Runs the status page until it is told to stop. Says on which address, and which token, once it listens."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from ..errors import DashboardError
from .app import build_app
from .settings import DashboardSettings, address

logger = logging.getLogger(__name__)

_PARENT_SECS = 1.0


class Server(uvicorn.Server):
    """Uvicorn's, which ends as it should after a signal instead of dying of it once more."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals as long as the block lasts."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def serve(
    settings: DashboardSettings,
    on_start: Callable[[str], None] = lambda address: None,
    parent: int | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: as `secured` returned them.
        on_start: is given the address when connections are taken.
        parent: end when this process is not the parent any more.

    Raises:
        DashboardError: the address or the port cannot be had.
    """
    listener = _listener(settings)
    with contextlib.closing(listener):
        server = Server(_config(build_app(settings, lambda: server.should_exit)))
        if parent is not None:
            threading.Thread(target=_end_with, args=(parent, server), name="parent", daemon=True).start()
        on_start(address(settings, listener.getsockname()[1]))
        asyncio.run(server.serve(sockets=[listener]))


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,  # nobody's word about where a request comes from is taken
        server_header=False,
        limit_concurrency=256,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=32768,
    )


def _listener(settings: DashboardSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise DashboardError(_why_not(settings, error)) from error
    listener.set_inheritable(False)
    return listener


def _why_not(settings: DashboardSettings, error: OSError) -> str:
    where = f'"{settings.host}:{settings.port}"'
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {where}: something else does already; choose another port with --bind."
    if error.errno == errno.EACCES:
        return f"cannot listen on {where}: ports below 1024 are for the administrator; choose another with --bind."
    return f"cannot listen on {where}: {error.strerror or error}; choose an address of this machine with --bind."


def _end_with(parent: int, server: uvicorn.Server) -> None:
    while os.getppid() == parent and not server.should_exit:
        threading.Event().wait(_PARENT_SECS)
    server.should_exit = True
