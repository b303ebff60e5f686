"""How a finished result gets its name, with its report: a protocol, and the way of the command line.

The watch folders have a way of their own, which keeps a record of every step (jobs/publishing.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from .publish import check_absent, publish, sync
from .report import Report


class Publisher(Protocol):
    """Makes one result visible."""

    @property
    def rehash(self) -> bool:
        """The source is hashed again at the end: a change that kept size and time is noticed, too."""
        ...

    def check(self, final: Path) -> None:
        """Refuse a name that the result cannot have, early, before any work.

        Raises:
            OutputExistsError: it is taken.
        """
        ...

    def publish(self, finished: Path, final: Path, report: Report) -> Path:
        """Make a finished file, or a folder, visible: whole, once, over nothing else, and with its report.

        Args:
            finished: complete and verified, in the work folder, on the file system of `final`.
            final: the name it should get.
            report: its `output` is set before it is written down.

        Returns:
            The name that it got.
        """
        ...


class FilePublisher:
    """Gives a file the name that was asked for, or fails; its report is there before it, so it never lacks one."""

    rehash = False

    def __init__(self, report: Path, *, overwrite: bool) -> None:
        """Take the choices.

        Args:
            report: where the report goes; an older one is replaced.
            overwrite: replace a result that is there.
        """
        self._report = report
        self._overwrite = overwrite

    def check(self, final: Path) -> None:
        """See Publisher."""
        check_absent(final, overwrite=self._overwrite)

    def shown(self, final: Path) -> str:
        """Return the result's name as its report tells it."""
        return str(final)

    def publish(self, finished: Path, final: Path, report: Report) -> Path:
        """See Publisher.

        Raises:
            OutputExistsError: something is there and must not be replaced; also when it came to be in the meantime.
        """
        self.check(final)
        report.output = self.shown(final)
        staged = finished.with_name("report.json")
        staged.write_text(report.to_json(), encoding="utf-8", errors="backslashreplace")  # names need not be UTF-8
        sync(staged)
        with _in_place(staged, self._report):
            publish(finished, final, overwrite=self._overwrite)
        return final


@contextmanager
def _in_place(staged: Path, path: Path) -> Iterator[None]:
    """Put a file in place for good if the block ends well; otherwise what was there before comes back."""
    before = staged.with_suffix(".old")
    with suppress(OSError):  # none was there, or no hard links here
        os.link(path, before)
    os.replace(staged, path)
    try:
        yield
    except BaseException:
        if before.exists():
            os.replace(before, path)
        else:
            path.unlink(missing_ok=True)
        raise
    before.unlink(missing_ok=True)
