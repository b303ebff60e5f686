"""Convert everything that was named, one input after the other; a bad one does not harm the rest."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .inputs import Item, check_clashes, collect
from .progress import Progress
from .publish import check_absent, make_output_folder, out_of_space_told
from .publisher import FilePublisher, Publisher
from .report import Report
from .settings import ConvertSettings
from .studio import Studio, build_studio
from .work import remove_abandoned

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How one input fared."""

    input: str
    """As the user named it, or the path of a file in a folder that was named."""
    report: Report | None = None
    """What was done; None after a failure."""
    error: Exception | None = None
    """Why it failed."""


def convert_all(
    inputs: Sequence[str],
    output: Path,
    settings: ConvertSettings,
    progress: Progress,
    on_done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Convert files and folders.

    Args:
        inputs: as the user named them.
        output: output folder, or the output file of a single input.
        settings: the user's choices, the same for all.
        progress: is told about the advance.
        on_done: called after each input.

    Returns:
        One outcome per file, failures included.

    Raises:
        ModelError, AlignmentError, FaceSegError: what every input needs cannot be loaded.
    """
    found = collect(inputs, output)
    outcomes = [Outcome(name, error=error) for name, error in found.errors]
    for outcome in outcomes:
        on_done(outcome)
    clashes, is_sequential = check_clashes(found.items), all(item.is_picture for item in found.items)
    studio = build_studio(settings, is_sequential=is_sequential)
    for work in {item.work for item in found.items}:
        remove_abandoned(work)
    if found.items:
        studio.load()
    try:
        for item in found.items:
            outcome = (
                Outcome(str(item.source), error=clashes[item])
                if item in clashes
                else _convert_one(item, studio, progress)
            )
            outcomes.append(outcome)
            on_done(outcome)
    finally:
        studio.close()
    return outcomes


def _convert_one(item: Item, studio: Studio, progress: Progress) -> Outcome:
    try:
        check_absent(item.output, overwrite=studio.settings.overwrite)
        with out_of_space_told(item.output):
            make_output_folder(item.output.parent)
            publisher = FilePublisher(item.report, overwrite=studio.settings.overwrite)
            return Outcome(str(item.source), report=convert_item(item, studio, progress, publisher))
    except Exception as error:
        logger.debug("Conversion failed.", exc_info=error)
        return Outcome(str(item.source), error=error)
    finally:
        progress.finish()


def convert_item(item: Item, studio: Studio, progress: Progress, publisher: Publisher) -> Report:
    """Convert one video or picture and publish it.

    Raises:
        InputError: it cannot be read, or not without spoiling it.
        SourceChangedError: somebody wrote to it meanwhile.
        PipelineError: it could not be converted; finished chunks of a video are kept for the next run.
    """
    if item.is_picture:
        from .pictures import convert_picture

        return convert_picture(item, studio, progress, publisher)
    if studio.settings.aligned:
        raise InputError(f'"{item.source}" is no picture, and --aligned takes pictures of aligned faces only.')
    from .video import convert_video

    return convert_video(item, studio, progress, publisher)


def run_demo(folder: Path, settings: ConvertSettings, progress: Progress) -> tuple[Outcome, dict[str, Path]]:
    """Make the demo clip and restyle it.

    Returns:
        The outcome, and what was written under which heading.
    """
    from .demo import make_clip, write_before_after
    from .mux import stack_side_by_side

    folder = Path(os.path.abspath(folder))
    make_output_folder(folder)
    files = {
        "source": folder / "astronaut.mp4",
        "restyled": folder / "astronaut-restyled.mp4",
        "side by side": folder / "astronaut-side-by-side.mp4",
        "before/after": folder / "before-after.png",
    }
    make_clip(files["source"])
    [outcome] = convert_all([str(files["source"])], files["restyled"], settings, progress)
    if outcome.error is None:
        stack_side_by_side(files["source"], files["restyled"], files["side by side"])
        write_before_after(files["source"], files["restyled"], files["before/after"])
    return outcome, files
