"""One conversion as the command line does it, for figures: the result may be replaced by the next."""

from __future__ import annotations

from pathlib import Path

from ..inputs import collect
from ..progress import Progress, SilentProgress
from ..publisher import FilePublisher
from ..report import Report
from ..studio import Studio
from ..video import convert_video


def converted(clip: Path, studio: Studio, out: Path, progress: Progress | None = None) -> Report:
    """Convert a video.

    Args:
        clip: the video.
        studio: what converts; its settings allow to overwrite.
        out: folder of the result, made where it is missing.
        progress: is told about the advance.

    Raises:
        PipelineError: it cannot be read or converted.
    """
    out.mkdir(exist_ok=True)
    found = collect([str(clip)], out)
    if found.errors:
        raise found.errors[0][1]
    [item] = found.items
    return convert_video(item, studio, progress or SilentProgress(), FilePublisher(item.report, overwrite=True))
