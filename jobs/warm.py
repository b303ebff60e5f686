"""Loaded once into the server that worker processes are forked from: what it does there holds for all of them.

Only a pool preloads this module; nothing else imports it. Workers must not end in the middle of a chunk because a
service manager sends SIGTERM to every process of the service: the server ignores it, and ends with the daemon.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
