"""What can be set for watching, apart from convert's own choices: one row per option, with its bounds and its help.

Click's options (cli_watch.py) and the keys of watch.toml and of sidecars (config_files.py) are both made from this
table. Defaults stand in the dataclasses that the options fill.
"""

from __future__ import annotations

from .option_kinds import Option, Place

SOURCES, COMPLETE, WORKERS, LIMITS, RUNNING = (
    "Sources and results",
    "When a file is complete",
    "Workers and retries",
    "Limits",
    "Running",
)
"""Headings of `watch --help`, in their order."""

HEADINGS = (SOURCES, COMPLETE, WORKERS, LIMITS, RUNNING)
"""All of them."""

OPTIONS: tuple[Option, ...] = (
    Option("path", Place.FOLDER, "path", "The folder that is watched.", ""),
    Option("output", Place.FOLDER, "path", "Folder for the results.", ""),
    Option(
        "after", Place.JOB, "choice", "What becomes of a source after success: it stays, moves to done/ in the watch "
        "folder, or is deleted.", SOURCES, choices=("keep", "move", "delete"), is_in_sidecars=True,
    ),
    Option(
        "after_failure", Place.JOB, "choice", "After a failure: it stays, or moves to failed/ with a text that says "
        "why.", SOURCES, choices=("keep", "move"), is_in_sidecars=True,
    ),
    Option(
        "on_conflict", Place.JOB, "choice", "Where another file has the result's name: clip-2.mp4, or a failure.",
        SOURCES, choices=("suffix", "fail"), is_in_sidecars=True,
    ),
    Option(
        "folders", Place.FOLDER, "choice", "A sub-folder of pictures is one job, or each picture is.", SOURCES,
        choices=("job", "each"),
    ),
    Option(
        "on_done", Place.JOB, "command", "Program to run after each success, without a shell; {input}, {output}, "
        "{report}, {id} and {state} in its arguments are filled in.", SOURCES, metavar="COMMAND",
    ),
    Option("on_failed", Place.JOB, "command", "The same after each failure.", SOURCES, metavar="COMMAND"),
    Option("is_recursive", Place.FOLDER, "flag", "Look into sub-folders too.", ""),
    Option(
        "priority", Place.FOLDER, "whole", "Jobs with a higher number go first.", "", low=-1_000_000, high=1_000_000,
        is_in_sidecars=True,
    ),
    Option(
        "settle_secs", Place.FOLDER, "number", "A file counts as complete when nothing about it changed for so long; "
        "30 on network mounts.", COMPLETE, low=0.05, high=86_400, metavar="SECONDS",
    ),
    Option(
        "incomplete_secs", Place.FOLDER, "number", "What cannot be read is taken for an unfinished copy for so long "
        "after its last change.", COMPLETE, low=0, high=604_800, metavar="SECONDS",
    ),
    Option(
        "rescan_secs", Place.FOLDER, "number", "The folder is looked through so often, whatever events say.",
        COMPLETE, low=0.05, high=86_400, metavar="SECONDS",
    ),
    Option(
        "poll", Place.DAEMON, "choice", "Look for changes instead of being told: where telling does not work, always, "
        "never.", COMPLETE, choices=("auto", "always", "never"),
    ),
    Option("network", Place.FOLDER, "flag", "The folder is a network mount; found out where not said.", ""),
    Option(
        "workers", Place.DAEMON, "whole", "Processes that convert; default: one per device.", WORKERS, low=1, high=1024,
        metavar="N",
    ),
    Option(
        "devices", Place.DAEMON, "words", "Devices that the workers take in turn, like cuda:0,cuda:1; default: all "
        "GPUs, or the CPU.", WORKERS, metavar="DEVICE,...",
    ),
    Option(
        "stall_secs", Place.DAEMON, "number", "A job without any progress for so long is ended and tried again.",
        WORKERS, low=1, high=604_800, metavar="SECONDS",
    ),
    Option(
        "grace_secs", Place.DAEMON, "number", "At SIGTERM workers may go on to the end of a chunk for so long.",
        WORKERS, low=0, high=86_400, metavar="SECONDS",
    ),
    Option(
        "backoff_secs", Place.DAEMON, "number", "First delay after an error that may pass; it doubles every time.",
        WORKERS, low=0, high=3_600, metavar="SECONDS",
    ),
    Option(
        "blocked_secs", Place.DAEMON, "number", "So often it is looked whether what blocks a job is over.", WORKERS,
        low=0.05, high=86_400, metavar="SECONDS",
    ),
    Option(
        "max_deaths", Place.JOB, "whole", "Workers that may die over a job before it fails.", WORKERS, low=1, high=1000,
        metavar="N",
    ),
    Option(
        "max_exceptions", Place.JOB, "whole", "Errors that may pass before a job fails.", WORKERS, low=1, high=1000,
        metavar="N",
    ),
    Option(
        "max_memory", Place.DAEMON, "size", "End a worker that needs more memory than this, like 8G.", LIMITS,
        field="memory_bytes", metavar="SIZE",
    ),
    Option(
        "min_free", Place.JOB, "size", "Begin no job while the disk of the results has less free space.", LIMITS,
        field="min_free_bytes", metavar="SIZE",
    ),
    Option(
        "max_minutes_at_1080p", Place.JOB, "number", "Refuse a video that is longer; in other sizes the same number "
        "of pixels, so a quarter of the minutes at 2160p.", LIMITS, field="max_pixel_secs", low=0.001, high=1e6,
        metavar="MINUTES", scale=1920 * 1080 * 60,
    ),
    Option(
        "schedule", Place.FOLDER, "schedule", 'Start jobs in these windows of local time only, like "22:00-06:00" or '
        '"mon-fri 20:00-07:00, sat,sun 00:00-24:00".', LIMITS, metavar="WINDOW,...",
    ),
    Option(
        "state_dir", Place.DAEMON, "path", "Folder of the job table and the logs, on a local disk; default: .ugatit in "
        "the first output folder.", RUNNING, metavar="FOLDER",
    ),
    Option(
        "dashboard", Place.DAEMON, "text", "Serve the status page there meanwhile; without HOST to this machine only.",
        RUNNING, metavar="[HOST]:PORT",
    ),
    Option(
        "dashboard_actions", Place.DAEMON, "flag", "Let that page retry, cancel, hold and pause jobs.", RUNNING,
    ),
)  # fmt: skip
"""Every option, in the order of `--help`."""

BY_NAME = {option.name: option for option in OPTIONS}
"""Options by name."""
