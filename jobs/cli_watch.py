"""The command `watch`: parses, makes a WatchConfig, and starts the daemon or tells what it would do.

Imports no torch, cv2 or av; the daemon itself is in daemon.py.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .config import WatchConfig
from .config_files import config_from_options, load_config
from .config_values import UNUSED_CHOICES
from .errors import WatchFolderError
from .find_table import TABLE_NAME
from .handlers import convert_options, default_choices
from .options import RUNNING, SOURCES
from .status_page import status_page
from .watch_options import WatchCommand, given_values, headed_option, watch_options

_WORDS = {
    "convert": "to convert",
    "fail": "that would fail",
    "known": "known already",
    "ignore": "ignored",
    "away": "folders away",
}


@click.command(cls=WatchCommand)
@click.argument("inbox", required=False, type=click.Path(path_type=Path), metavar="[INBOX]")
@headed_option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), heading=SOURCES, help="Folder for the results."
)
@headed_option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    heading=SOURCES,
    help="A watch.toml with one or more folders, instead of INBOX and -o; options given here go before it.",
)
@watch_options
@headed_option("--once", is_flag=True, heading=RUNNING, help="Work off what lies there, then end: for cron.")
@headed_option(
    "--dry-run", is_flag=True, heading=RUNNING, help="Only show what would become of everything that lies there."
)
@headed_option(
    "--rebuild",
    is_flag=True,
    heading=RUNNING,
    help="Where the job table is damaged, go on with a new one; results that are there are recognised.",
)
@convert_options
@click.pass_context
def watch(
    context: click.Context,
    /,
    inbox: Path | None,
    output: Path | None,
    config_file: Path | None,
    once: bool,
    dry_run: bool,
    rebuild: bool,
    **_: Any,
) -> int:
    """Restyle whatever is dropped into a folder: once, whole, or with a reason why not.

    Runs until it is stopped; Ctrl-C or SIGTERM ends it at the end of a chunk, and the next start goes on from there.
    INBOX/STYLE/ takes a style by its name, and clip.mp4.toml beside clip.mp4 any other choice.

    \b
    Examples:
      watch inbox -o outbox
      watch inbox -o outbox --style toon --after move --workers 2
      watch inbox -o outbox --schedule "mon-fri 20:00-07:00, sat,sun 00:00-24:00"
      watch inbox -o outbox --on-done 'notify-send "{input} is ready" {output}'
      watch --config watch.toml --dashboard :8080     several folders
      watch inbox -o outbox --once                    for cron
      watch inbox -o outbox --dry-run                 what would be done?

    \b
    A watch.toml:
      style = "toon"                 # for all folders
      [[folder]]
      path = "inbox"
      output = "outbox"
      [[folder]]
      path = "nightly"
      output = "outbox"
      crf = 20
      schedule = "22:00-06:00"
      on_done = ["notify-send", "{output}"]
    """  # noqa: D301
    given = given_values(context, frozenset(default_choices()) - UNUSED_CHOICES)
    config = replace(_config(inbox, output, config_file, given), is_once=once)
    for folder in config.folders:
        if config_file is None and not os.path.isdir(folder.path):
            raise WatchFolderError(f'"{folder.path}" is no folder; make it, or watch another one.')
    as_json = bool(context.find_root().obj.json)
    if dry_run:
        return _show(config, as_json=as_json)
    page = status_page(config.state_dir, config.dashboard, allow_actions=config.dashboard_actions)
    with _told_on_terminal(context), page:
        code = _run(config, rebuild=rebuild)
    if as_json:
        click.echo(json.dumps({"exit_code": code, "counts": _counts(config)}))
    return code


def _config(inbox: Path | None, output: Path | None, config_file: Path | None, given: dict[str, Any]) -> WatchConfig:
    if config_file is not None:
        if inbox is not None or output is not None:
            raise click.UsageError("Give either INBOX and -o, or --config, whose folders stand in the file.")
        return load_config(config_file, given)
    if inbox is None:
        raise click.UsageError("Name the folder to watch, like `watch inbox -o outbox`, or give --config FILE.")
    if output is None:
        raise click.UsageError(f"Say where the results go: `watch {inbox} -o FOLDER`.")
    return config_from_options(inbox, output, given)


def _show(config: WatchConfig, *, as_json: bool) -> int:
    """Tell what would be done; write nothing."""
    from .dry_run import as_record, forecast, forecast_table
    from .job_tables import console

    found = forecast(config)
    counts = {what: sum(one.what == what for one in found) for what in ("convert", "fail", "known", "ignore", "away")}
    if as_json:
        click.echo(json.dumps({"counts": counts, "items": [as_record(one) for one in found]}))
        return 0
    if found:
        console().print(forecast_table(found))
    click.echo(", ".join(f"{number} {_WORDS[what]}" for what, number in counts.items() if number) or "Nothing there.")
    return 0


def _run(config: WatchConfig, *, rebuild: bool) -> int:
    """Watch until the end; return the exit code."""
    from .daemon import Daemon

    return Daemon(config, rebuild=rebuild).run()


@contextmanager
def _told_on_terminal(context: click.Context) -> Iterator[None]:
    """Show what happens to jobs on stderr too, unless the user chose a level of logging."""
    logger, root = logging.getLogger("jobs"), context.find_root()
    before = logger.level
    if root.get_parameter_source("log_level") is ParameterSource.DEFAULT:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)


def _counts(config: WatchConfig) -> dict[str, int]:
    from .store import open_store

    with open_store(config.state_dir / TABLE_NAME, read_only=True) as store:
        return {state.value: number for state, number in store.counts().items()}


# What convert can choose but a watch folder decides for itself.
watch.params = [param for param in watch.params if param.name not in UNUSED_CHOICES]
