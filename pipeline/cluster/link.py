"""The process that speaks with a Ray cluster, for one that must not depend on it.

Ray ends the process of a driver when it does not reach the cluster for a minute, takes its signals and starts threads
in it. So a process of its own is the driver: it takes orders over its stdin, which is a socket, and tells how they go.
It ends when the other end of that is closed, and with it all that it started in the cluster.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ClusterError
from ..render_process import Advance, Failed, portable
from ..settings import ConvertSettings

if TYPE_CHECKING:
    from ..chunk_render import VideoWork
    from ..chunks import Chunk
    from .chunk_fence import Fence

logger = logging.getLogger(__name__)

ENTRY = "import sys; sys.path[0] = sys.argv[1]; from pipeline.cluster.link import main; main()"
"""What the interpreter is started with; the argument is the folder of this program."""
NAMESPACE = "ugatit-pipeline"
"""Of our actors in the cluster."""
KEEP_SECS = 20.0
"""Without an order for so long it ends, so that others can have its place in the cluster."""
CLIENT_PREFIX = "ray://"
"""Of addresses that are spoken with over a proxy, from a machine that is no node."""

_PULSE_SECS, _GONE_SECS = 2.0, 20.0
_END_SECS = 5.0
_CONNECT_SECS = 10.0
_JOIN_TRIES = 3


@dataclass(frozen=True)
class Start:
    """First message: which cluster, and what for."""

    settings: ConvertSettings
    """The user's choices, for the devices of the nodes."""
    identity: Mapping[str, Any]
    """What nodes must agree with, see `node_check.identity_of`."""
    log_level: int
    """Lowest level that is logged to stderr."""


@dataclass(frozen=True)
class Order:
    """Chunks of a video to render."""

    work: VideoWork
    """The video."""
    chunks: tuple[Chunk, ...]
    """Which of it."""
    fence: Fence
    """The way for their files."""


@dataclass(frozen=True)
class Accepted:
    """Answer: the order has come; one that gets no answer may be given again."""


@dataclass(frozen=True)
class ChunkDone:
    """Answer: a chunk's files are there."""

    chunk: Chunk
    first_frame_at: float | None
    """When the first frame of its node reached an encoder, seconds since the epoch."""


@dataclass(frozen=True)
class AllDone:
    """Answer: all chunks are."""


def check_address(address: str) -> None:
    """Look whether somebody listens where the cluster should be; `auto` is known to Ray only.

    Raises:
        ClusterError: nobody does, or it is no address.
    """
    if address == "auto":
        return
    host, colon, port = address.removeprefix(CLIENT_PREFIX).rpartition(":")
    if not (colon and host and port.isdigit()):
        raise ClusterError(f'"{address}" is no address of a cluster; give ray://HOST:10001, HOST:6379 or auto.')
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f'no Ray cluster answers at "{address}" ({error}); start it with `ray start --head`, or correct --cluster.'
        ) from error


def gone(address: str) -> ClusterError:
    """Say that a cluster was lost."""
    return ClusterError(
        f'the Ray cluster at "{address}" is gone; start it again and give the same command again: it goes on from the '
        "finished chunks."
    )


def main() -> None:
    """Be such a process: its entry."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other side gets it, too, and closes the connection
    orders = Connection(os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    threading.Thread(target=_end_with, args=(os.dup(orders.fileno()),), name="parent-watch", daemon=True).start()
    with suppress(EOFError, OSError):  # nobody is there any more who could be told
        _serve(orders)
    _leave()


def _end_with(descriptor: int) -> None:
    """Leave the cluster when the other side is gone, even in the middle of a video."""
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLHUP | select.POLLRDHUP)
    poll.poll()
    _leave()


def _leave() -> None:
    """End this process and all that it has in the cluster; at once if the cluster does not answer."""
    threading.Timer(_END_SECS, os._exit, (1,)).start()
    import ray

    ray.shutdown()
    os._exit(0)


def _serve(orders: Connection) -> None:
    start: Start = orders.recv()
    logging.basicConfig(level=start.log_level, format=f"%(levelname)s cluster {os.getpid()}: %(message)s")
    tell = _Teller(orders)
    try:
        with _signs_of_life(tell):  # joining takes its time
            fleet = _connected(start, tell)
    except Exception as error:
        tell(Failed(portable(error)))
        return
    from .run import Run

    while orders.poll(KEEP_SECS):
        order: Order = orders.recv()
        tell(Accepted())
        try:
            Run(fleet, order, tell).go()
            tell(AllDone())
        except Exception as error:
            logger.debug("The run failed.", exc_info=error)
            fleet.stop_work()
            tell(Failed(portable(_explained(error, start))))


@contextmanager
def _signs_of_life(tell: Callable[[Any], None]) -> Iterator[None]:
    """Say every second, as long as the block lasts, that nothing hangs."""
    is_over = threading.Event()

    def say() -> None:
        while not is_over.wait(1.0):
            tell(Advance(0, 0))

    thread = threading.Thread(target=say, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _explained(error: Exception, start: Start) -> Exception:
    """What Ray says of a cluster that went away is for nobody's eyes."""
    if type(error).__module__.partition(".")[0] == "ray" or isinstance(error, ConnectionError):
        lost = gone(str(start.settings.cluster))
        lost.__cause__ = error
        return lost
    return error


def _connected(start: Start, tell: Callable[[Any], None]) -> Any:
    """Join the cluster; return a fleet without ships."""
    address = str(start.settings.cluster)
    check_address(address)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about a change to come
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        _join(ray, address)
    from .fleet import Fleet

    place = address.removeprefix(CLIENT_PREFIX)
    if not address.startswith(CLIENT_PREFIX):
        place = ray.get_runtime_context().gcs_address
    threading.Thread(target=_feel_pulse, args=(place, address, tell), name="pulse", daemon=True).start()
    return Fleet(start.settings, start.identity)


def _join(ray: Any, address: str) -> None:
    """Become a driver; over a proxy that is busy at the second or third try."""
    for tries_left in reversed(range(_JOIN_TRIES if address.startswith(CLIENT_PREFIX) else 1)):
        try:
            ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # whatever its many parts raise
            logger.info("The cluster does not let us in: %s", error)
            if not tries_left:
                raise ClusterError(_no_entry(address, error)) from error
            ray.shutdown()
        else:
            return


def _no_entry(address: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    why = " ".join(dict.fromkeys((lines[0], lines[-1])))
    if address.startswith(CLIENT_PREFIX):
        return f'the Ray cluster at "{address}" does not let us in: {why}'
    return (
        f'no Ray cluster can be joined at "{address}": {why} This machine must be a node of it (`ray start '
        f"--address=HOST:6379`), else give {CLIENT_PREFIX}HOST:10001."
    )


def _feel_pulse(place: str, address: str, tell: Callable[[Any], None]) -> None:
    """Say it when nobody has listened there for a while; Ray itself would end this process without a word."""
    host, _, port = place.rpartition(":")
    heard = time.monotonic()
    while time.monotonic() - heard < _GONE_SECS:
        try:
            socket.create_connection((host.strip("[]"), int(port)), _PULSE_SECS).close()
            heard = time.monotonic()
        except OSError as error:
            logger.debug("The cluster's head does not answer: %s", error)
        time.sleep(_PULSE_SECS)
    tell(Failed(gone(address)))
    os._exit(1)


class _Teller:
    """Sends answers, from whatever thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, answer: Accepted | Advance | ChunkDone | AllDone | Failed) -> None:
        with self._lock:
            self._connection.send(answer)


def program_root() -> Path:
    """The folder of this program."""
    return Path(__file__).resolve().parents[2]
