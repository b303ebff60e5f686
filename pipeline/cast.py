"""Several styles at once: each face goes to the stylist of its style, as many at a time as share one.

A cast behaves as a single stylist does. Which face has which style is decided before, in casting.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .finder import FaceSource
from .plan import Placement
from .stylist import StyledFace, Stylist


class Cast:
    """One stylist per style."""

    def __init__(self, stylists: Mapping[str, Stylist]) -> None:
        """Args: stylists: by the name that placements carry in `style`; at least one."""
        self._stylists = dict(stylists)

    @property
    def batch_size(self) -> int:
        """Pictures that it likes to be given at once."""
        return max(stylist.batch_size for stylist in self._stylists.values())

    @property
    def num_callers(self) -> int:
        """Threads that may call `stylise` at once."""
        return min(stylist.engine.num_callers for stylist in self._stylists.values())

    def size_px_of(self, style: str) -> int:
        """Side of the crops of a style."""
        return self._stylists[style].size_px

    def stylise(self, pictures: Sequence[tuple[FaceSource, Sequence[Placement]]]) -> list[list[StyledFace]]:
        """Cut and restyle all faces of some pictures, style by style; one list of faces per picture, in order."""
        done: list[dict[int, StyledFace]] = [{} for _ in pictures]
        for name, stylist in self._stylists.items():
            wanted = [
                [(place, face) for place, face in enumerate(faces) if face.style == name] for _, faces in pictures
            ]
            if any(wanted):
                own = [(source, [f for _, f in faces]) for (source, _), faces in zip(pictures, wanted, strict=True)]
                for found, places, styled in zip(done, wanted, stylist.stylise(own), strict=True):
                    found.update(zip((place for place, _ in places), styled, strict=True))
        return [[found[place] for place in sorted(found)] for found in done]
