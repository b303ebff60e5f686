"""The yardstick for whole conversions: the plain loop that a user would write around the public implementation.

OpenCV reads, every frame is searched, every face goes through the public generator (eager, float32, no gradients) and
is blended into the whole frame in floats; ffmpeg encodes with the settings that we encode with. Nothing overlaps,
nothing is steadied, no stamp and no sound is kept. It finds faces with our detector and landmarks, so that the
difference is not made there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from alignment.templates import CropTemplate, source_to_crop
from model.reference import PlainGenerator

from ...canvas import PictureCanvas
from ...errors import FfmpegError
from ...ffmpeg import ffmpeg_program, file_url
from ...finder import FaceFinder

Floats = npt.NDArray[np.float32]

STAGES = ("decode", "find faces", "warp", "generate", "paste", "encode")
"""What the loop does for a frame, in order."""


class PublicLoop:
    """Converts the first frames of a clip.

    Args:
        network: the public generator.
        finder: finds the faces.
        template: where a face lies in its crop.
        size_px: side of the crops.
        encoder: ffmpeg's output options, as a list.
        device: where the generator runs.
    """

    def __init__(
        self,
        network: PlainGenerator,
        finder: FaceFinder,
        template: CropTemplate,
        size_px: int,
        encoder: Sequence[str],
        device: str = "cpu",
    ) -> None:
        self._network = network.eval().to(device)
        self._finder, self._template, self._size_px = finder, template, size_px
        self._encoder, self._device = list(encoder), device
        self._oval = _oval(size_px)

    def run(self, clip: Path, out: Path, num_frames: int) -> dict[str, float]:
        """Convert; return the seconds that each of STAGES took.

        Raises:
            FfmpegError: the encoder failed.
        """
        ours = cv2.getNumThreads()  # our own conversions in this process leave OpenCV one thread
        cv2.setNumThreads(torch.get_num_threads())
        try:
            return self._run(clip, out, num_frames)
        finally:
            cv2.setNumThreads(ours)

    def _run(self, clip: Path, out: Path, num_frames: int) -> dict[str, float]:
        secs = dict.fromkeys(STAGES, 0.0)
        capture = cv2.VideoCapture(str(clip))
        size = f"{int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))}x{int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))}"
        rate = f"{capture.get(cv2.CAP_PROP_FPS):g}"
        source = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", rate, "-i", "pipe:0"]
        command = [ffmpeg_program(), "-v", "error", "-y", *source, *self._encoder, file_url(out)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as writer:
            assert writer.stdin is not None
            for _ in range(num_frames):
                bgr = self._convert(capture, secs)
                before = perf_counter()
                writer.stdin.write(bgr.tobytes())
                secs["encode"] += perf_counter() - before
            before = perf_counter()
            writer.stdin.close()
            writer.wait()
            secs["encode"] += perf_counter() - before
        capture.release()
        if writer.returncode:
            raise FfmpegError(f"the encoder of the public loop ended with {writer.returncode}.")
        return secs

    @torch.no_grad()
    def generate(self, crop: Tensor) -> Tensor:
        """N3HW in [-1, 1] -> the same, on the device."""
        image: Tensor = self._network(crop.to(self._device))[0]
        return image.cpu()

    def _convert(self, capture: cv2.VideoCapture, secs: dict[str, float]) -> npt.NDArray[np.uint8]:
        """Read the next frame and restyle its faces: HxWx3 BGR."""
        before = perf_counter()

        def spend(stage: str) -> None:
            nonlocal before
            now = perf_counter()
            secs[stage] += now - before
            before = now

        _, bgr = capture.read()
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        spend("decode")
        faces = self._finder.find(PictureCanvas(np.asarray(rgb, np.uint8)))
        spend("find faces")
        for face in faces:
            assert face.landmarks is not None  # the finder's faces have them
            place = source_to_crop(face.landmarks, self._template, self._size_px)
            crop = cv2.warpAffine(rgb, place, (self._size_px, self._size_px))
            spend("warp")
            tensor = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1
            styled = (self.generate(tensor)[0].permute(1, 2, 0).numpy() + 1) * 127.5
            spend("generate")
            rgb = _pasted(np.asarray(rgb, np.uint8), np.asarray(styled, np.float32), self._oval, place)
            spend("paste")
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        spend("paste")
        return np.asarray(bgr, np.uint8)


def _pasted(
    frame: npt.NDArray[np.uint8], styled: Floats, oval: Floats, place: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    size_wh = frame.shape[1], frame.shape[0]
    back = cv2.warpAffine(styled, place, size_wh, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    mask = cv2.warpAffine(oval, place, size_wh, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)[..., None]
    mixed = frame.astype(np.float32) * (1 - mask) + back * mask
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def _oval(size_px: int) -> Floats:
    """SxS float32 in [0, 1]: a soft oval, what such loops usually paste with."""
    mask = np.zeros((size_px, size_px), np.float32)
    middle = size_px // 2, size_px // 2
    cv2.ellipse(mask, middle, (int(size_px * 0.36), int(size_px * 0.45)), 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), size_px * 0.03), np.float32)
