"""What the discriminators and the generators minimise: every term with its weight, by name. Takes no step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from model import DiscriminatorOutput

from . import losses
from .batch import Batch, DomainBatch
from .compat import COMPAT, Compat
from .config import TrainConfig
from .networks import DIRECTIONS, CycleOutputs, Direction, Exhibit, Networks

Terms = dict[str, Tensor]
"""Weighted losses by name, scalars; `total` is their sum."""

Critics = Callable[[Mapping[str, Sequence[Exhibit]]], dict[str, list[DiscriminatorOutput]]]
"""`DomainCritics`, wrapped or not."""


class ExtraTerm(Protocol):
    """A further loss of the generators."""

    @property
    def name(self) -> str:
        """Under which it is logged."""
        ...

    def weight(self, progress: float) -> float:
        """Factor of the loss at a share of the run; 0 leaves it out."""
        ...

    def __call__(self, networks: Networks, batch: Batch, outputs: CycleOutputs) -> Tensor:
        """The loss, a scalar."""
        ...


class Augment(Protocol):
    """Changes what the discriminators see, by chance; gradients flow through."""

    def __call__(self, image: Tensor, face: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Change N3HW pictures, and move the N1HW faces with them."""
        ...


_IS_REAL = (True, False, False)
"""Of real, fake and blurred pictures, as a discriminator should judge them."""


@dataclass(frozen=True)
class Objective:
    """The losses of a run."""

    config: TrainConfig
    augment: Augment | None = None

    @property
    def compat(self) -> Compat:
        """Whose step it is."""
        return COMPAT[self.config.objective.compat]

    def discriminator_loss(self, critics: Critics, batch: Batch, fakes: Mapping[str, Tensor]) -> Terms:
        """Tell real pictures from fakes.

        Args:
            critics: the discriminators.
            batch: real pictures.
            fakes: N3HW by the domain they should belong to; no gradient reaches them.
        """
        shown = {
            d.target: self._gallery(domain_of(batch, d.target), fakes[d.target], domain_of(batch, d.source))
            for d in DIRECTIONS
        }
        verdicts = critics(shown)
        terms: Terms = {}
        for d in DIRECTIONS:
            for name in d.discriminators:
                judged = list(zip(shown[d.target], verdicts[name], _IS_REAL, strict=False))
                terms |= self._verdict_terms(name, self._adversarial_weight(d), judged)
        return with_total(terms)

    def generator_loss(self, critics: Critics, batch: Batch, outputs: CycleOutputs) -> Terms:
        """Fool the discriminators, come back, leave the target domain alone, and know what to look at.

        Args:
            critics: the discriminators; their parameters should be frozen.
            batch: real pictures.
            outputs: what the generators made of them.
        """
        shown = {}
        for d in DIRECTIONS:
            source = domain_of(batch, d.source)
            shown[d.target] = [self._exhibit(self._judged_part(outputs.of(d).fake, source), source.face)]
        verdicts = critics(shown)
        terms: Terms = {}
        for d in DIRECTIONS:
            (exhibit,) = shown[d.target]
            fooling = _sum(self._fooling_loss(exhibit, verdicts[name][0]) for name in d.discriminators)
            terms[f"adversarial_{d.name}"] = self._adversarial_weight(d) * fooling
            terms |= self._picture_terms(d, batch, outputs)
        return with_total(terms)

    def _verdict_terms(
        self, name: str, weight: float, judged: Sequence[tuple[Exhibit, DiscriminatorOutput, bool]]
    ) -> Terms:
        """The terms of one discriminator."""
        terms = {name: weight * _sum(self._patch_loss(*row) for row in judged)}
        if cam := self.config.losses.disc_cam:
            cam_losses = (losses.least_squares(v.cam_logits, is_real=is_real) for _, v, is_real in judged)
            terms[f"{name}_cam"] = weight * cam * _sum(cam_losses)
        return terms

    def _gallery(self, real: DomainBatch, fake: Tensor, source: DomainBatch) -> list[Exhibit]:
        """What the discriminators of a domain are shown: real, fake, blurred."""
        gallery = [self._exhibit(real.real, real.face), self._exhibit(fake.detach(), source.face)]
        if self.config.objective.blur_negatives and real.blurred is not None:
            blurred = self._exhibit(real.blurred, real.face)
            gallery.append(blurred if self.compat.masks_blurred else replace(blurred, face=None))
        return gallery

    def _exhibit(self, image: Tensor, face: Tensor | None) -> Exhibit:
        """Pictures as the discriminators see them; the masks that are not asked for are left out."""
        wanted = self.config.objective
        masks = ("mask_disc_loss", "mask_cam_input", "mask_cam_features")
        if face is None and (missing := [name for name in masks if getattr(wanted, name)]):
            raise ValueError(f"{missing[0]} needs the faces' masks, this batch has none.")
        if wanted.grey_disc:
            image = losses.in_grey(image)
        if self.augment is not None:
            image, face = self.augment(image, face)
        return Exhibit(
            image,
            face=face if wanted.mask_disc_loss else None,
            cam_input=image * face if wanted.mask_cam_input and face is not None else None,
            cam_mask=face if wanted.mask_cam_features else None,
        )

    def _judged_part(self, fake: Tensor, source: DomainBatch) -> Tensor:
        """The fake, without gradient where it is background if that is wished."""
        if not self.config.objective.detach_background:
            return fake
        if source.face is None:
            raise ValueError("detach_background needs the faces' masks, this batch has none.")
        return fake * source.face + fake.detach() * (1 - source.face)

    def _adversarial_weight(self, direction: Direction) -> float:
        names = ("b2a", "a2b") if self.compat.swaps_directions else ("a2b", "b2a")
        return self.config.losses.of_direction[names[DIRECTIONS.index(direction)]]

    def _patch_loss(self, exhibit: Exhibit, verdict: DiscriminatorOutput, is_real: bool) -> Tensor:
        share = None if exhibit.face is None else losses.at_size_of(exhibit.face, verdict.patch_logits)
        return losses.least_squares(verdict.patch_logits, is_real=is_real, share=share)

    def _fooling_loss(self, exhibit: Exhibit, verdict: DiscriminatorOutput) -> Tensor:
        """What a discriminator's verdict about a fake costs the generator."""
        loss = self._patch_loss(exhibit, verdict, True)
        if cam := self.config.losses.disc_cam:
            loss = loss + cam * losses.least_squares(verdict.cam_logits, is_real=True)
        return loss

    def _picture_terms(self, d: Direction, batch: Batch, outputs: CycleOutputs) -> Terms:
        """The terms of one translation that need no discriminator."""
        source, target, made = domain_of(batch, d.source), domain_of(batch, d.target), outputs.of(d)
        variation = losses.magnitude if self.compat.tv_is_magnitude else losses.total_variation
        weights = self.config.losses
        rows: list[tuple[str, float, Callable[[], Tensor]]] = [
            (f"cycle_{d.source}", weights.cycle, lambda: losses.l1(made.cycled, source.real)),
            (f"identity_{d.target}", weights.identity, lambda: losses.l1(made.identity, target.real)),
            (f"cam_{d.name}", weights.cam, lambda: losses.class_activation(made.source_logits, made.target_logits)),
            (f"background_{d.name}", weights.background, lambda: _background(made.fake, source)),
            (f"tv_{d.name}", weights.tv, lambda: variation(made.fake)),
            (f"paired_{d.name}", weights.paired * batch.is_paired, lambda: losses.to_partner(made.fake, target.real)),
        ]
        return {name: weight * loss() for name, weight, loss in rows if weight}


def domain_of(batch: Batch, name: str) -> DomainBatch:
    """Domain `a` or `b` of a batch."""
    return batch.a if name == "a" else batch.b


def with_total(terms: Terms) -> Terms:
    """The terms and their sum."""
    return terms | {"total": _sum(terms.values())}


def _background(fake: Tensor, source: DomainBatch) -> Tensor:
    if source.core is None:
        raise ValueError("the background loss needs the cores of the faces, this batch has none.")
    return losses.background(fake, source.real, source.core)


def _sum(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).sum()
