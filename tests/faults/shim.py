#!/usr/bin/env python3
"""Stands in for the ffmpeg program: does what the file named by UGATIT_SHIM_MODE says, once per line left in it.

Modes: `pass`; `exit N`; `signal N`; `short N` (only N frames get through, exit code 0); `stderr N` (N bytes of noise
first); `hang`. Queries (`-version` and the like) always pass.
"""

import fcntl
import os
import signal
import sys
import time


def next_mode(path: str) -> list[str]:
    """Take the first line of the mode file away; `pass` where there is none."""
    with open(path, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        first, *rest = file.read().splitlines() or ["pass"]
        file.truncate(0)
        file.write("".join(line + "\n" for line in rest))
    return first.split()


def main() -> None:
    real, arguments = os.environ["UGATIT_SHIM_REAL"], sys.argv[1:]
    is_work = "-i" in arguments
    mode, *values = next_mode(os.environ["UGATIT_SHIM_MODE"]) if is_work else ["pass"]
    if mode == "exit":
        sys.exit(int(values[0]))
    if mode == "signal":
        signal.signal(int(values[0]), signal.SIG_DFL) if int(values[0]) != signal.SIGKILL else None
        os.kill(os.getpid(), int(values[0]))
    if mode == "hang":
        signal.pause()
    if mode == "stderr":
        for _ in range(int(values[0]) // 100):
            os.write(2, b"x" * 99 + b"\n")
    if mode == "short":
        arguments[-1:-1] = ["-frames:v", values[0]]
    if mode == "slow":
        time.sleep(float(values[0]))
    os.execv(real, [real, *arguments])


if __name__ == "__main__":
    main()
