"""The window of `camera --show`: live frames with their speed and latency written on them, and keys."""

from __future__ import annotations

import os
import sys
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..errors import UnsupportedInputError
from ..frames import Frame

_TITLE = "ugatit-pipeline camera"
_QUIT_KEYS = (ord("q"), 27)  # q, Escape
_MIRROR_KEY, _PLAIN_KEY = ord("m"), ord("s")


class Window(Protocol):
    """Shows frames to a person and hears their keys."""

    def show(self, frame: Frame, text: str) -> str | None:
        """Show a frame with a line of text; return what a key asks for: `quit`, `mirror`, `style`, or None."""
        ...

    def close(self) -> None:
        """Close it; may be called twice."""
        ...


class ScreenWindow:
    """A window on this machine's screen, through OpenCV.

    Raises:
        UnsupportedInputError: there is no screen, or OpenCV was built without windows.
    """

    def __init__(self) -> None:
        import cv2

        is_headless = sys.platform.startswith("linux") and not (
            os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        )
        if is_headless:  # Qt would end the whole process
            raise UnsupportedInputError("there is no screen for --show (DISPLAY is not set); use --record FILE alone.")
        try:
            cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise UnsupportedInputError(
                "this build of OpenCV opens no windows (opencv-python-headless?); install opencv-python, or use "
                "--record FILE without --show."
            ) from error
        self._is_sized = False

    def show(self, frame: Frame, text: str) -> str | None:
        """See Window."""
        import cv2

        width, height = frame.size_wh
        bgr = np.asarray(cv2.cvtColor(frame.to_rgb(0, 0, width, height), cv2.COLOR_RGB2BGR), np.uint8)
        if not self._is_sized:
            cv2.resizeWindow(_TITLE, width, height)
            self._is_sized = True
        _write(bgr, text)
        cv2.imshow(_TITLE, bgr)
        key = cv2.waitKey(1) & 0xFF
        if key in _QUIT_KEYS or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
            return "quit"
        return {_MIRROR_KEY: "mirror", _PLAIN_KEY: "style"}.get(key)

    def close(self) -> None:
        """See Window."""
        import cv2

        cv2.destroyAllWindows()


def _write(bgr: npt.NDArray[np.uint8], text: str) -> None:
    """Write a line into the upper left corner, on a dark ground: legible on anything."""
    import cv2

    scale = max(bgr.shape[0] / 720, 0.4)
    left, base, margin = round(16 * scale), round(36 * scale), round(8 * scale)
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    ground = (left - margin, base - height - margin), (left + width + margin, base + below + margin)
    cv2.rectangle(bgr, *ground, (32, 32, 32), cv2.FILLED)
    cv2.putText(bgr, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
