"""Read the numbers that media.py drew into frames. A script of its own: `python read_frames.py FILE...`.

Prints one line of JSON per file. It shares no code with the program under test, nor with media.py.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import av
import numpy as np

NUM_BLOCKS = 20
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def numbers_of(grey: Any) -> tuple[int, int, bool, float]:
    """Return the clip's number, the frame's, whether it is the last one, and how bright the middle is (0..255)."""
    height, width = grey.shape
    centres = ((np.arange(NUM_BLOCKS) + 0.5) * width / NUM_BLOCKS).astype(int)
    rows = (height // 16, height - 1 - height // 16)
    upper, lower = ([bool(grey[row - 1 : row + 2, x - 1 : x + 2].mean() > 127) for x in centres] for row in rows)
    middle = grey[height * 7 // 16 : height * 9 // 16, width * 7 // 16 : width * 9 // 16]
    return _number(upper[:-1]), _number(lower[:-1]), lower[-1], float(middle.mean())


def _number(bits: list[bool]) -> int:
    number = 0
    for bit in bits:  # Gray code: each bit says whether it differs from the one above
        number = number << 1 | ((number & 1) ^ bit)
    return number


def read(path: str) -> dict[str, Any]:
    """Decode a whole file.

    Returns:
        `clip`, `frames` (numbers in order), `is_whole` (numbers complete, in order, the last one marked), `is_restyled`
        (the middle of every frame is dark), `sound_secs`; or `error`.
    """
    found: dict[str, Any] = {"path": path, "is_whole": False, "is_restyled": False, "frames": [], "sound_secs": 0.0}
    try:
        is_picture = path.lower().endswith(PICTURES)
        seen, found["sound_secs"] = ([numbers_of(_grey_picture(path))], 0.0) if is_picture else _read_video(path)
    except (OSError, av.FFmpegError, ValueError, IndexError) as error:
        return found | {"error": f"{type(error).__name__}: {error}", "is_gone": not os.path.lexists(path)}
    if not seen:
        return found | {"error": "no frame"}
    found["clip"], found["frames"] = seen[0][0], [number for _, number, _, _ in seen]
    found["is_last"] = [is_last for _, _, is_last, _ in seen]
    found["is_whole"] = is_picture or _are_complete(seen)
    found["is_restyled"] = all(middle < 127 for *_, middle in seen)
    return found


def _are_complete(seen: list[tuple[int, int, bool, float]]) -> bool:
    clips, frames, lasts, _ = zip(*seen, strict=True)
    return (
        len(set(clips)) == 1
        and list(frames) == list(range(len(seen)))
        and lasts == (False,) * (len(seen) - 1) + (True,)
    )


def _grey_picture(path: str) -> Any:
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32)


def _read_video(path: str) -> tuple[list[tuple[int, int, bool, float]], float]:
    seen, secs = [], 0.0
    with av.open(path) as container:
        if not container.streams.video:
            return [], 0.0
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                seen.append(numbers_of(frame.to_ndarray(format="gray").astype(np.float32)))
            elif isinstance(frame, av.AudioFrame):
                secs += frame.samples / frame.sample_rate
    return seen, secs


def main() -> int:
    """Read every file that is named."""
    for path in sys.argv[1:]:
        sys.stdout.write(json.dumps(read(path)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
