"""What pass 1 found out about a video, and the small file that keeps it. Making it is analyse.py's job."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alignment.tracking import Track

from .samples import FaceSample

_SAMPLE_FIELDS = ("frame", "centre", "jpeg", "points", "quality")
_TRACK_ARRAYS = ("frames", "landmarks", "boxes", "scores", "is_bridged")


@dataclass(frozen=True)
class Analysis:
    """Timestamps, scene cuts and face tracks of a whole video; pixels of the displayed picture."""

    pts: npt.NDArray[np.int64]
    """(N,) presentation stamp of every frame in display order, in units of time_base."""
    time_base: Fraction
    """Seconds per unit of pts."""
    cuts: frozenset[int]
    """Indices of the frames that start a new scene; never 0."""
    tracks: tuple[Track, ...]
    """Faces over time, gaps bridged, not yet smoothed."""
    detector: str
    """Name of the detector that found them."""
    is_repaired: bool = False
    """Stamps of the stream were missing or repeated and had to be replaced."""
    warnings: tuple[str, ...] = ()
    """What was odd about the stream, one sentence each."""
    samples: Mapping[int, tuple[FaceSample, ...]] = field(default_factory=dict)
    """A few pictures of each track by its id; empty where nobody asked for them."""

    @property
    def num_frames(self) -> int:
        """How many frames the video has."""
        return len(self.pts)

    @property
    def times_secs(self) -> npt.NDArray[np.float64]:
        """(N,) times of the frames from the first one on."""
        return np.asarray((self.pts - self.pts[0]) * float(self.time_base), np.float64)

    def save(self, path: Path) -> None:
        """Write atomically as .npz without pickles."""
        arrays: dict[str, Any] = {
            "pts": self.pts,
            "time_base": np.array([self.time_base.numerator, self.time_base.denominator], np.int64),
            "cuts": np.array(sorted(self.cuts), np.int64),
            "track_ids": np.array([t.track_id for t in self.tracks], np.int64),
            "detector": np.array(self.detector),
            "is_repaired": np.array(self.is_repaired),
            "warnings": np.array(self.warnings, dtype=np.str_),
        }
        for track in self.tracks:
            arrays |= {f"{track.track_id}/{name}": getattr(track, name) for name in _TRACK_ARRAYS}
            for number, sample in enumerate(self.samples.get(track.track_id, ())):
                arrays |= {f"{track.track_id}/{number}/{name}": getattr(sample, name) for name in _SAMPLE_FIELDS}
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Analysis:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is damaged or something else.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
                return cls._from_arrays(data)
        except (OSError, KeyError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f'"{path}" holds no analysis: {error}') from error

    @classmethod
    def _from_arrays(cls, data: Mapping[str, Any]) -> Analysis:
        tracks = (Track(int(i), **{name: data[f"{i}/{name}"] for name in _TRACK_ARRAYS}) for i in data["track_ids"])
        samples = {int(i): tuple(_samples(data, int(i))) for i in data["track_ids"]}
        numerator, denominator = data["time_base"]
        return cls(
            data["pts"],
            Fraction(int(numerator), int(denominator)),
            frozenset(int(i) for i in data["cuts"]),
            tuple(tracks),
            str(data["detector"]),
            bool(data["is_repaired"]),
            tuple(str(w) for w in data["warnings"]),
            {track_id: pictures for track_id, pictures in samples.items() if pictures},
        )


def _samples(data: Mapping[str, Any], track_id: int) -> Iterator[FaceSample]:
    """Yield the pictures of one track."""
    for number in count():
        prefix = f"{track_id}/{number}/"
        if prefix + "frame" not in data:
            return
        frame, centre, jpeg, points, quality = (data[prefix + name] for name in _SAMPLE_FIELDS)
        yield FaceSample(int(frame), centre, jpeg, points, float(quality))
