"""How far a translated face is from its photograph in the eyes of the built-in face parser: keeps who it is.

Like LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018), with features
that are always at hand and that know faces, photographed and drawn. Both pictures are made grey and brought to the same
mean and contrast first, and fine texture is not looked at, so that the style may change colours, tones and strokes, but
not where eyes, brows, nose, mouth, jaw and hair are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceseg.parser import BUILT_IN_WEIGHTS, BuiltInParser, load_face_parser
from faceseg.part_net import STRIDE_PX

from .batch import Batch
from .networks import CycleOutputs, Networks

FIRST_STAGE = 1
"""Of the encoder's stages, those from this one on are compared: strides 8, 16 and 32. The first one sees strokes."""

_LUMA = (0.299, 0.587, 0.114)
_MEAN, _DEVIATION = -0.1, 0.5  # of a well lit portrait, in [-1, 1]


class PerceptualTerm:
    """The loss as a term of the generators' (A to B); keeps its own frozen network."""

    name = "perceptual"

    def __init__(self, weight: float, features: nn.Module) -> None:
        self._weight, self._features = weight, features

    def weight(self, progress: float) -> float:
        """Return the weight, the same at every `progress`."""
        return self._weight

    def __call__(self, networks: Networks, batch: Batch, outputs: CycleOutputs) -> Tensor:
        """Compute the loss of this step's photographs; scalar float32."""
        return perceptual_loss(self._features, batch.a.real, outputs.fake_b)


class ParserFeatures(nn.Module):
    """Frozen encoder of the built-in face parser."""

    def __init__(self, parser: BuiltInParser) -> None:
        super().__init__()
        self.stem = parser.part_net.stem
        self.stages = parser.part_net.stages
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute features of N3HW pictures, H and W multiples of 32: NChw per stage from FIRST_STAGE on."""
        x, found = self.stem(images), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index >= FIRST_STAGE:
                found.append(x)
        return found

    def train(self, mode: bool = True) -> ParserFeatures:
        """Stay frozen."""
        super().train(False)
        return self


def load_parser_features(device: torch.device | str) -> ParserFeatures:
    """Load the encoder; always the built-in parser's, whatever other parser the user has.

    Raises:
        ParserUnavailableError: its weights are missing or damaged.
    """
    parser = load_face_parser(BUILT_IN_WEIGHTS, device)
    assert isinstance(parser, BuiltInParser)  # its weights are a .safetensors file
    return ParserFeatures(parser)


def perceptual_loss(features: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Distance of features, each normalised over its channels, summed over the levels.

    Args:
        features: N3HW -> list of NChw.
        real: N3HW in [-1, 1]; no gradient reaches it.
        fake: N3HW in [-1, 1], of the same size.

    Returns:
        Scalar float32, 0 for pictures that differ in brightness and contrast only, not negative.
    """
    with torch.no_grad():
        wanted: Sequence[Tensor] = features(without_colour(real))
    seen: Sequence[Tensor] = features(without_colour(fake))
    levels = [_distance(a, b) for a, b in zip(wanted, seen, strict=True)]
    return torch.stack(levels).sum()


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean over all places of 1 - cosine of the angle between two maps' channels."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=1, eps=1e-4)).mean()


def without_colour(images: Tensor) -> Tensor:
    """Grey pictures of one mean and contrast, at a size that the encoder takes.

    Args:
        images: N3HW in [-1, 1].

    Returns:
        N3H'W' float32, H' and W' the next multiples of 32, channels last.
    """
    grey = sum(weight * images[:, i : i + 1].float() for i, weight in enumerate(_LUMA))
    assert isinstance(grey, Tensor)  # sum's type says it may be 0
    deviation, mean = torch.std_mean(grey, (2, 3), keepdim=True)
    grey = (grey - mean) / deviation.clamp(min=0.02) * _DEVIATION + _MEAN
    size = [-(-side // STRIDE_PX) * STRIDE_PX for side in grey.shape[-2:]]
    if size != list(grey.shape[-2:]):
        grey = F.interpolate(grey, size, mode="bilinear", align_corners=False)
    return grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
