"""`python -m jobs.dashboard`: the same command as `run.py dashboard`, for the daemon to start as its child."""

from __future__ import annotations

from ..cli_dashboard import main

if __name__ == "__main__":
    main()
