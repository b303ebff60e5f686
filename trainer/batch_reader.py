"""Read one batch by its number: pictures, masks, and what chance does to them. Runs in the reading processes.

Knows no epochs and no processes; sample_order.py decides which pictures a number means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from model import to_tensor

from .batch import Batch, DomainBatch
from .config import TrainConfig
from .edge_blur import edge_blur
from .errors import TrainingDataError
from .face_masks import MaskStore
from .histograms import match_histogram
from .picture_files import CheckedPicture, Picture, read_picture
from .sample_order import SampleOrder, Stream
from .transforms import Geometry, Pixels, cut_square, draw_geometry, replace_background, shrink, to_mask

CACHE_BYTES = 512 << 20
"""Memory for decoded pictures, of all reading processes of a training process together."""


@dataclass(frozen=True)
class Sample:
    """One picture as a network will see it."""

    picture: Picture
    """SxSx3 uint8 RGB."""
    masks: Pixels | None
    """SxSx2 uint8: face and core."""


@dataclass(frozen=True)
class ReadDomain:
    """The pictures of one domain in a batch."""

    pictures: Pixels
    """NHWC uint8 RGB."""
    blurred: Pixels | None
    """The same, edge-blurred."""
    masks: Pixels | None
    """NxHxWx2 uint8: face and core."""

    def to_tensors(self) -> DomainBatch:
        """Turn the arrays into what networks take."""
        masks = self.masks
        return DomainBatch(
            real=to_tensor(self.pictures),
            blurred=None if self.blurred is None else to_tensor(self.blurred),
            face=None if masks is None else to_mask(masks[..., 0]),
            core=None if masks is None else to_mask(masks[..., 1]),
        )


@dataclass(frozen=True)
class ReadBatch:
    """A batch on its way from a reading process: plain arrays, a quarter of the tensors' size.

    Tensors would be passed on by a server in the reading process, which complains when the training process is killed.
    """

    a: ReadDomain
    b: ReadDomain
    is_paired: bool

    def to_tensors(self) -> Batch:
        """Turn the arrays into what networks take."""
        return Batch(a=self.a.to_tensors(), b=self.b.to_tensors(), is_paired=self.is_paired)


@dataclass
class PictureCache:
    """Decoded pictures, as many as fit; what does not fit is read again each time.

    None is dropped for another: of pictures that come in random order without repetition, so most are found.
    """

    side_px: int
    """Larger pictures are shrunk to this short side."""
    budget_bytes: int
    pictures: dict[Path, Picture] = field(default_factory=dict)

    def read(self, path: Path) -> Picture:
        """Return a picture, HxWx3 uint8 RGB; not to be written to."""
        found = self.pictures.get(path)
        if found is not None:
            return found
        picture = shrink(read_picture(path), self.side_px)
        if picture.nbytes <= self.budget_bytes:
            self.budget_bytes -= picture.nbytes
            self.pictures[path] = picture
        return picture


@dataclass(frozen=True)
class BatchReader(Dataset["ReadBatch | TrainingDataError"]):
    """All batches of one process, by number."""

    config: TrainConfig
    order: SampleOrder
    pictures_a: Sequence[CheckedPicture]
    pictures_b: Sequence[CheckedPicture]
    pairs: Sequence[tuple[CheckedPicture, CheckedPicture]]
    masks: MaskStore | None
    cache: PictureCache

    def __getitem__(self, number: int) -> ReadBatch | TrainingDataError:
        """Return a batch; or the error, so that it reaches the user without the traceback of another process."""
        is_paired = number < self.config.run.pair_steps * self.config.optimizer.accumulate
        read = self._read_pair if is_paired else self._read_strangers
        try:
            samples = [read(sample) for sample in self.order.samples(number)]
        except TrainingDataError as error:
            return error
        a, b = ([sample[side] for sample in samples] for side in (0, 1))
        return ReadBatch(self._to_domain(a), self._to_domain(b), is_paired)

    def _read_strangers(self, sample: int) -> tuple[Sample, Sample]:
        rng, data = self.order.chances(sample), self.config.data
        chosen = (
            self.pictures_a[self.order.picture(Stream.DOMAIN_A, sample, len(self.pictures_a))],
            self.pictures_b[self.order.picture(Stream.DOMAIN_B, sample, len(self.pictures_b))],
        )
        cuts = [draw_geometry(rng, flip=data.flip, crop_chance=data.crop_chance) for _ in chosen]
        read_a, read_b = (self._read(picture, cut) for picture, cut in zip(chosen, cuts, strict=True))
        a, b = self._matched(rng, read_a, read_b)
        return self._on_background(a, rng), self._on_background(b, rng)

    def _read_pair(self, sample: int) -> tuple[Sample, Sample]:
        rng, data = self.order.chances(sample), self.config.data
        chosen = self.pairs[self.order.picture(Stream.PAIRS, sample, len(self.pairs))]
        cut = draw_geometry(rng, flip=data.flip, crop_chance=data.crop_chance)
        a, b = (self._read(picture, cut) for picture in chosen)
        background_seed = int(rng.integers(1 << 32))
        on_a, on_b = (self._on_background(s, np.random.default_rng(background_seed)) for s in (a, b))
        return on_a, on_b

    def _read(self, picture: CheckedPicture, cut: Geometry) -> Sample:
        size_px = self.config.networks.image_size_px
        square = cut_square(self.cache.read(picture.path), size_px, cut)
        if self.masks is None:
            return Sample(square, None)
        masks = cut_square(self.masks.load(picture), size_px, cut)
        if self.masks.is_hard:
            masks = np.where(masks >= 128, np.uint8(255), np.uint8(0))
        return Sample(square, masks)

    def _matched(self, rng: np.random.Generator, a: Sample, b: Sample) -> tuple[Sample, Sample]:
        """Two pictures, the histogram of one matched to the other's if chance wants it."""
        data = self.config.data
        is_matched, is_a = rng.random(2)
        if data.match == "off" or is_matched >= data.match_chance:
            return a, b
        if data.match_direction == "a2b" or (data.match_direction == "both" and is_a < 0.5):
            matched = match_histogram(a.picture, b.picture, space=data.match, ratio=data.match_ratio)
            return Sample(matched, a.masks), b
        matched = match_histogram(b.picture, a.picture, space=data.match, ratio=data.match_ratio)
        return a, Sample(matched, b.masks)

    def _on_background(self, sample: Sample, rng: np.random.Generator) -> Sample:
        is_replaced, colour = rng.random(), rng.integers(0, 256, 3).astype(np.uint8)
        if sample.masks is None or is_replaced >= self.config.data.random_background:
            return sample
        return Sample(replace_background(sample.picture, sample.masks[..., 0], colour), sample.masks)

    def _to_domain(self, samples: Sequence[Sample]) -> ReadDomain:
        pictures = [sample.picture for sample in samples]
        blurred = self.config.objective.blur_negatives
        masks = [sample.masks for sample in samples if sample.masks is not None]
        return ReadDomain(
            np.stack(pictures),
            np.stack([edge_blur(picture) for picture in pictures]) if blurred else None,
            np.stack(masks) if masks else None,
        )
