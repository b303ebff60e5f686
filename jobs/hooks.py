"""Commands that a user wants to have run after a job: started without a shell, never waited for, ended when too slow.

A command runs at least once per job: again, if the daemon died before it could note the end.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from .clocks import boot_secs
from .process_tree import OWNER_VARIABLE

logger = logging.getLogger(__name__)

LIMIT_SECS = 60.0
"""A command that runs longer is ended."""

_TAIL_BYTES = 2000
_PLACEHOLDER = re.compile(r"\{(input|output|report|id|state)\}")


def fill_in(command: Sequence[str], facts: Mapping[str, str]) -> list[str]:
    """Return the arguments with their placeholders replaced; what is put in is not looked at again.

    Args:
        command: program and arguments, with {input}, {output}, {report}, {id}, {state}.
        facts: what these stand for.
    """
    return [_PLACEHOLDER.sub(lambda match: facts.get(match[1], ""), argument) for argument in command]


class Hook:
    """One command that runs."""

    def __init__(
        self, command: Sequence[str], facts: Mapping[str, str], owner: str = "", limit_secs: float = LIMIT_SECS
    ) -> None:
        """Start it.

        Args:
            command: program and arguments with placeholders (see `fill_in`).
            facts: also handed over as UGATIT_JOB_INPUT, UGATIT_JOB_ID and so on.
            owner: of the daemon: by this mark the next one finds what was left running by one that was killed.
            limit_secs: it is ended after so long.
        """
        self._what = f'the command "{command[0]}" of job {facts.get("id", "?")}'
        self._deadline = boot_secs() + limit_secs
        self._limit_secs = limit_secs
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by poll)
        self._process = self._start(fill_in(command, facts), facts, owner)

    def poll(self) -> bool:
        """Tell whether it has ended; says in the log, once, how it failed if it did."""
        if self._process is None:
            return True
        code = self._process.poll()
        if code is None and boot_secs() < self._deadline:
            return False
        if code is None:
            self.kill()
            logger.warning("%s ran longer than %g s and was ended.%s", self._what, self._limit_secs, self._tail())
        elif code != 0:
            logger.warning("%s ended with code %d.%s", self._what, code, self._tail())
        self._close()
        return True

    def kill(self) -> None:
        """End it and all that it has started."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it and forget it."""
        self.kill()
        self._close()

    def _start(self, arguments: list[str], facts: Mapping[str, str], owner: str) -> subprocess.Popen[bytes] | None:
        environment = os.environ | {f"UGATIT_JOB_{name.upper()}": text for name, text in facts.items()}
        environment[OWNER_VARIABLE] = owner
        try:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            logger.warning("%s cannot be started: %s.", self._what, error)
            self._output.close()
            return None

    def _tail(self) -> str:
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _TAIL_BYTES))
        text = self._output.read().decode(errors="replace").strip()
        return f" Its last words:\n{text}" if text else ""

    def _close(self) -> None:
        self._output.close()
        self._process = None
