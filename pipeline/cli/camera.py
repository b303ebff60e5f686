"""The command `camera`: parse, open source, window and recording, run, tell. What happens to a frame is camera.py's."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..settings import ConvertSettings, some_options

if TYPE_CHECKING:
    from ..camera.live import CameraReport

_SETTINGS = (
    "style", "device", "engine", "precision", "threads", "detector", "detector_weights", "landmarks", "faces", "scope",
    "mask", "parts", "blend", "parser_weights", "strength", "smoothing", "detect_every",
)  # fmt: skip
"""Options that mean the same as in `convert`."""


@click.command()
@click.option(
    "--source",
    default="0",
    show_default=True,
    metavar="0|FILE|URL",
    help="Number of a camera, a video played at its own rate, or a stream (rtsp://..., http://..., udp://...).",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="Write what is shown to this video (.mp4, .mov, .mkv), without sound, and a report beside it.",
)
@click.option(
    "--show", is_flag=True, help="Show it in a window. Keys: q ends, m mirrors, s switches the style off and on."
)
@click.option("--mirror", is_flag=True, help="Turn the picture left to right, as in a mirror.")
@click.option("--size", metavar="WxH", help="Picture size to ask the camera for, like 1280x720.")
@click.option("--fps", type=click.FloatRange(1, 240), help="Frames per second to ask the camera for.")
@click.option("--duration", type=click.FloatRange(0.1), metavar="SECS", help="End by itself after so many seconds.")
@click.option(
    "--reconnect",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECS",
    help="Try for so long to open a camera or stream again that was lost.",
)
@click.option("--overwrite", is_flag=True, help="Replace the recording if it is there already.")
@some_options(_SETTINGS)
@click.pass_context
def camera(
    context: click.Context,
    /,
    source: str,
    record: Path | None,
    show: bool,
    mirror: bool,
    size: str | None,
    fps: float | None,
    duration: float | None,
    reconnect: float,
    overwrite: bool,
    **choices: Any,
) -> int:
    """Restyle the faces before a camera, live.

    The newest frame is always the next: a slow machine shows fewer frames, not older ones. A key in the window, Ctrl-C,
    SIGTERM, the end of the file or --duration end it; the recording is complete then, and playable up to its last
    second even after a crash.

    \b
    Examples:
      camera --show --mirror                                  the first camera, as in a mirror
      camera --source 1 --size 1280x720 --show --record me.mp4
      camera --source rtsp://192.168.1.20/stream --record door.mkv
      camera --source talk.mp4 --record live.mp4              a file, at its own rate
    """  # noqa: D301
    from ..camera.live import Camera, CameraChoices
    from ..camera.record import check_suffix
    from ..camera.source import choose_source
    from ..publish import check_absent, make_output_folder
    from ..studio import build_studio

    _check(record, show, choices)
    if record is not None:
        check_suffix(record)
        check_absent(record, overwrite=overwrite)
        make_output_folder(record.absolute().parent)
    opened = choose_source(source, size_wh=_parse_size(size), fps=fps)
    studio = build_studio(ConvertSettings(**choices), is_sequential=True)
    studio.load()
    report_path = None if record is None else record.with_suffix(".report.json")
    wanted = CameraChoices(record, report_path, mirror, duration, reconnect)
    is_json = context.find_root().obj.json
    with _stopped_by_signals() as stop, _window(show) as window:
        session = Camera(opened, studio, wanted, window=window, stop=stop, on_status=_teller(is_json))
        report = session.run()
    _tell(report, is_json=is_json)
    return 0


def _check(record: Path | None, show: bool, choices: dict[str, Any]) -> None:
    if record is None and not show:
        raise click.UsageError("say where the pictures go: --show, --record OUT, or both.")
    if choices["faces"].startswith("only:"):
        raise click.BadParameter(
            "faces have no numbers before a camera; use all, largest, or how many.", param_hint="--faces"
        )
    if choices["scope"] == "frame":
        raise click.BadParameter("whole frames are restyled by `convert` only; use head or face.", param_hint="--scope")


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    if found is None or not all(int(side) for side in found.groups()):
        raise click.BadParameter(f'"{text}" is no size; write it like 1280x720.', param_hint="--size")
    return int(found[1]), int(found[2])


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the second Ctrl-C ends at once."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _window(is_shown: bool) -> Iterator[Any]:
    if not is_shown:
        yield None
        return
    from ..camera.window import ScreenWindow

    window = ScreenWindow()
    try:
        yield window
    finally:
        window.close()


def _teller(is_json: bool) -> Any:
    """Prints the state on one line of the terminal, where a person is looking."""
    if is_json or not sys.stderr.isatty():
        return lambda line: None
    return lambda line: click.echo(f"\r{line:60}", nl=False, err=True)


def _tell(report: CameraReport, *, is_json: bool) -> None:
    if is_json:
        click.echo(json.dumps({"ok": True} | asdict(report)))
        return
    if sys.stderr.isatty():
        click.echo(err=True)
    late = report.latency_ms
    click.echo(
        f"{report.shown} of {report.captured} frames in {report.secs:.1f} s: {report.fps:.1f} fps, "
        f"{late.get('p50', 0):.0f} ms behind (95 %: {late.get('p95', 0):.0f} ms); ended by {report.stopped_by}."
    )
    if report.record:
        missed = f", {report.record_missed} left out by the encoder" if report.record_missed else ""
        click.echo(f"{report.record}  {report.recorded} frames{missed}")
