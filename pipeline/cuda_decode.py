"""Decode the frames of a chunk on an NVIDIA GPU (NVDEC), which leaves the CPU to the encoder.

Only where it gives the very same samples: codecs whose standards leave nothing open, sound files, and a look at the
first frames of every video. Whatever goes wrong, software decodes the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .decode import iter_chunk
from .errors import InputError
from .frames import Frame
from .mediainfo import MediaInfo
from .probe import show

logger = logging.getLogger(__name__)

_EXACT_CODECS = ("h264", "hevc", "vp8", "vp9")
"""Codecs whose decoders must agree bit for bit, and whose FFmpeg decoders can hand the work to a GPU."""
_NUM_COMPARED = 8

_is_exact: dict[tuple[Path, int, str], bool] = {}
"""What the comparison of a file (with its size) on a device gave."""


def iter_chunk_on(
    device: str, info: MediaInfo, pts: Sequence[int], start: int, stop: int, *, is_sound: bool, is_repaired: bool
) -> Iterator[Frame]:
    """Decode the frames [start, stop) of a video, on the GPU where that is possible (see `decode.iter_chunk`).

    Args:
        device: where the networks run; on a CUDA device, decoding may.
        info: what `probe` found.
        pts: stamps of all frames of the video.
        start: index of the first frame.
        stop: index after the last one.
        is_sound: nothing was wrong with the file when it was first read: decoders differ in how they mend damage.
        is_repaired: stamps were repaired, see `decode.iter_chunk`.

    Raises:
        UnreadableInputError: the file does not give the same frames as before.
    """
    accelerator = None
    if device.startswith("cuda") and is_sound and not is_repaired and _suits(info):
        accelerator = _accelerator(device)
    num_done = 0
    if accelerator is not None and _gives_the_same(device, accelerator, info, pts, start, stop):
        try:
            for frame in iter_chunk(info, pts, start, stop, accelerator=accelerator):
                yield frame
                num_done += 1
            return
        except InputError as error:
            logger.debug("The GPU cannot decode %s from frame %d on: %s", show(info.path), start + num_done, error)
    yield from iter_chunk(info, pts, start + num_done, stop, is_repaired=is_repaired)


def _suits(info: MediaInfo) -> bool:
    """Is it a kind of video that every decoder decodes alike?"""
    video = info.video
    return video.codec in _EXACT_CODECS and video.decoder in _EXACT_CODECS and not video.is_interlaced


def _accelerator(device: str) -> Any | None:
    """PyAV's settings for decoding on a CUDA device, in this thread; None where that is not possible."""
    import torch
    from av.codec.hwaccel import HWAccel, hwdevices_available

    if "cuda" not in hwdevices_available() or not torch.cuda.is_available():
        return None
    index = torch.device(device).index or 0
    # FFmpeg takes the context that is current in its thread: PyTorch's, once this thread has used the device. One of
    # its own would cost memory and a pause per chunk; PyTorch's as the "primary" one is refused for its flags.
    torch.cuda.set_device(index)
    torch.cuda.synchronize()
    return HWAccel("cuda", device=str(index), allow_software_fallback=True, options={"current_ctx": "1"})


def _gives_the_same(device: str, accelerator: Any, info: MediaInfo, pts: Sequence[int], start: int, stop: int) -> bool:
    """Compare the first frames of a video's first chunk with those that software decodes."""
    key = info.path, info.size_bytes, device
    if key not in _is_exact:
        last = min(start + _NUM_COMPARED, stop)
        try:
            told = [_hashes(iter_chunk(info, pts, start, last, accelerator=a)) for a in (accelerator, None)]
            _is_exact[key] = told[0] == told[1]
            reason = "it gives other samples"
        except InputError as error:
            _is_exact[key], reason = False, str(error)
        if _is_exact[key]:
            logger.debug("%s decodes %s.", device, show(info.path))
        else:
            logger.debug("%s does not decode %s: %s", device, show(info.path), reason)
    return _is_exact[key]


def _hashes(frames: Iterator[Frame]) -> list[str]:
    return [frame.md5() for frame in islice(frames, _NUM_COMPARED)]
