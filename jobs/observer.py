"""Listen to what happens in watch folders, so that they are looked through at once and not only now and then.

What it says is a hint, never the truth: events get lost, and watches die. Where there are none to be had (network
mounts, no inotify watches left) it says so, and the folder is only looked through from time to time.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .config import FolderConfig
from .names import is_hidden, shown

logger = logging.getLogger(__name__)

_CHECK_SECS = 1.0
_END_SECS = 2.0
_AGAIN_SECS = 300.0
"""After so long it is tried again to listen where that could not be done."""

_LIMITS = {
    errno.ENOSPC: "the limit of inotify watches is reached; raise it: `sysctl fs.inotify.max_user_watches=1048576`",
    errno.EMFILE: "the limit of inotify instances is reached; raise it: `sysctl fs.inotify.max_user_instances=1024`",
}


class Observer:
    """Listens to watch folders, and keeps listening. Not for several threads.

    Args:
        poll: auto: listen where there are events; always: never listen; never: listen to network mounts, too.
    """

    def __init__(self, poll: str = "auto") -> None:
        self._poll = poll
        self._hints = set[str]()
        self._lock = threading.Lock()
        self._ears: dict[str, _Ear] = {}
        self._next_check_secs = 0.0

    def watch(self, folders: Mapping[str, tuple[FolderConfig, bool]]) -> None:
        """Listen to these folders and no others; look after what stopped. Cheap: most calls do nothing.

        Args:
            folders: name -> settings, and whether the folder is a network mount. Only such that are there.
        """
        if folders.keys() != self._ears.keys():
            self._next_check_secs = 0.0
        if time.monotonic() < self._next_check_secs:
            return
        self._next_check_secs = time.monotonic() + _CHECK_SECS
        for name in self._ears.keys() - folders.keys():
            self._ears.pop(name).stop()
        for name, (folder, is_network) in folders.items():
            self._look_after(name, folder, is_network)

    def take(self) -> frozenset[str]:
        """Return the names of folders in which something happened since the last call."""
        with self._lock:
            hints, self._hints = frozenset(self._hints), set()
        return hints

    def detail(self, name: str) -> str:
        """Say how a folder is listened to, for people."""
        ear = self._ears.get(name)
        if ear is None:
            return "not watched yet"
        return ear.why_not or "events"

    def stop(self) -> None:
        """Listen to nothing any more."""
        for ear in self._ears.values():
            ear.stop()
        self._ears.clear()

    def _look_after(self, name: str, folder: FolderConfig, is_network: bool) -> None:
        ear = self._ears.get(name)
        if ear is None or ear.is_recursive != folder.is_recursive:
            if ear is not None:
                ear.stop()
            ear = self._ears[name] = _Ear(folder.path, folder.is_recursive, lambda: self._hint(name))
            ear.why_not = self._reason_not_to(is_network)
            self._hint(name)
        if self._reason_not_to(is_network):
            return
        if ear.keep_listening():
            self._hint(name)

    def _reason_not_to(self, is_network: bool) -> str:
        if self._poll == "always":
            return "looked through now and then"
        return "network mount, looked through now and then" if is_network and self._poll == "auto" else ""

    def _hint(self, name: str) -> None:
        with self._lock:
            self._hints.add(name)


class _Ear:
    """Listens to one folder by one watchdog observer of its own, so that none can stop another."""

    def __init__(self, path: Path, is_recursive: bool, heard: Callable[[], None]) -> None:
        self.path = path
        self.is_recursive = is_recursive
        self.why_not = ""
        self._heard = heard
        self._observer: Any = None
        self._identity: tuple[int, int] | None = None
        self._again_secs = 0.0
        self._was_listening = False

    def keep_listening(self) -> bool:
        """Begin, or begin anew where it has stopped; return whether something may have been missed."""
        if self._observer is not None and self._is_sound():
            return False
        if time.monotonic() < self._again_secs:
            return False
        if self._observer is not None:
            logger.warning('listening to "%s" has stopped; beginning anew.', shown(self.path))
        self.stop()
        return self._begin()

    def stop(self) -> None:
        """Listen no more."""
        observer, self._observer = self._observer, None
        if observer is not None:
            _end(observer)

    def _is_sound(self) -> bool:
        """The threads live, and the folder that they listen to is still the one under that name."""
        threads = [self._observer, *self._observer.emitters, *_inner_threads(self._observer)]
        return all(thread.is_alive() for thread in threads) and _identity(self.path) == self._identity

    def _begin(self) -> bool:
        self._identity = _identity(self.path)
        if self._identity is None:
            return False
        observer = None
        try:
            observer = _build_observer()
            handler, wanted = _handler(self.path, self._heard), _wanted_events()
            observer.schedule(handler, str(self.path), recursive=self.is_recursive, event_filter=wanted)
            observer.start()
        except OSError as error:
            if observer is not None:
                _end(observer)
            self._cannot(error)
            return False
        if self.why_not:
            logger.info('listening to "%s" again.', shown(self.path))
        self._observer, self.why_not = observer, ""
        return True

    def _cannot(self, error: OSError) -> None:
        self._again_secs = time.monotonic() + _AGAIN_SECS
        reason = _LIMITS.get(error.errno or 0, error.strerror or str(error))
        if reason != self.why_not:
            message = '"%s" cannot be listened to, but is looked through now and then: %s.'
            logger.warning(message, shown(self.path), reason)
        self.why_not = reason


def _build_observer() -> Any:
    from watchdog.observers import Observer as SystemObserver

    # A folder that is moved within a watched one; true, harmless, and no business of who reads our stderr.
    warnings.filterwarnings("ignore", "Callback with id .* already exists", RuntimeWarning)

    logging.getLogger("watchdog.observers.inotify").addFilter(_is_news)
    return SystemObserver()


def _is_news(record: logging.LogRecord) -> bool:
    """Drop what watchdog calls an error when it is ended between two of its steps."""
    return "when the thread is inactive" not in record.getMessage()


def _wanted_events() -> list[Any]:
    """What can concern a source. Of what is modified the closing is heard; that files are read is of no interest."""
    from watchdog import events

    names = ("Created", "Moved", "Deleted")
    found = [getattr(events, f"{what}{name}Event") for what in ("File", "Dir") for name in names]
    return [*found, events.FileClosedEvent]


def _handler(root: Path, heard: Callable[[], None]) -> Any:
    """Return a handler that passes on that something happened, unless it is hidden."""
    from watchdog.events import FileSystemEventHandler

    start = len(str(root)) + 1

    class Handler(FileSystemEventHandler):
        def on_any_event(self, event: Any) -> None:
            paths = [os.fsdecode(path)[start:] for path in (event.src_path, event.dest_path) if path]
            if any(not any(map(is_hidden, path.split("/"))) for path in paths):
                heard()

    return Handler()


def _end(observer: Any) -> None:
    """Stop an observer, whether it ever began or not; watchdog loses count of folders that come and go quickly."""
    threads = [observer, *observer.emitters, *_inner_threads(observer)]
    for thread in threads:
        with suppress(OSError, RuntimeError, KeyError):
            thread.stop()
    observer.event_queue.put(observer.stop_event)  # what it waits for, if the above did not get there
    for thread in threads:
        with suppress(RuntimeError):
            thread.join(_END_SECS)


def _inner_threads(observer: Any) -> list[threading.Thread]:
    """Threads that read inotify's events, as far as this version of watchdog has them."""
    found = [getattr(observer, "_inotify_fd", None)]
    found += [getattr(emitter, "_inotify", None) for emitter in observer.emitters]
    return [thread for thread in found if isinstance(thread, threading.Thread)]


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
