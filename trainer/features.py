"""Features of pictures for FID and KID: Inception's where its weights are, else those of the built-in face parser.

Scores carry the features' name, `fid_parser` or `kid_inception`: figures of different features cannot be compared.
Computes no score. torch-fidelity is imported when Inception is loaded.
"""

from __future__ import annotations

import hashlib
import logging
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceseg.parser import BUILT_IN_WEIGHTS, BuiltInParser, load_face_parser
from faceseg.part_net import CROP_SIZE_PX
from model.images import to_tensor

from .errors import FeatureWeightsError
from .metrics import Features
from .translate import Pictures

CHOICES = ("auto", "inception", "parser")
"""What `load_features` knows."""

INCEPTION_NAME = "weights-inception-2015-12-05-6726825d.pth"
"""File name of the weights that FID is defined with, as torch-fidelity publishes them (Apache 2.0)."""
INCEPTION_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{INCEPTION_NAME}"
"""Where they are fetched from."""

_INCEPTION_SHA256 = "6726825d"  # the beginning, as in the file's name
_NUM_STAGES = 3
_BATCH_SIZE = 8

_log = logging.getLogger(__name__)


class FeatureExtractor(Protocol):
    """Turns pictures into rows of numbers in which sets of pictures are compared."""

    @property
    def name(self) -> str:
        """What the features are called in the names of scores."""
        ...

    @property
    def num_features(self) -> int:
        """D."""
        ...

    def __call__(self, pictures: Pictures) -> Features:
        """Compute features, a few pictures at a time.

        Args:
            pictures: NxHxWx3 uint8 RGB, any N and size.

        Returns:
            NxD float32.
        """
        ...


class ParserFeatures:
    """Strokes, shading and shapes as the encoder of the built-in face parser sees them; always at hand.

    The stem and the first three stages (strides 2 to 16), every position's vector scaled to one length as in LPIPS
    (Zhang et al. 2018), averaged over the picture. The last stage and the shares of the parts are left out: they tell
    who is in a picture and how it is cut rather than how it is drawn, and drown the difference between photographs and
    drawings in that between sitters.
    """

    name = "parser"

    def __init__(self, parser: BuiltInParser) -> None:
        self._net = parser.part_net
        self._device = next(parser.parameters()).device
        self.num_features = int(self(np.zeros((1, CROP_SIZE_PX, CROP_SIZE_PX, 3), np.uint8)).shape[1])

    def __call__(self, pictures: Pictures) -> Features:
        """See FeatureExtractor."""
        return _in_batches(pictures, self._features)

    def _features(self, pictures: Pictures) -> Tensor:
        images = to_tensor(pictures).to(self._device)
        if images.shape[2:] != (CROP_SIZE_PX, CROP_SIZE_PX):
            images = F.interpolate(images, (CROP_SIZE_PX, CROP_SIZE_PX), mode="bilinear", antialias=True)
        stages = [self._net.stem(images.contiguous(memory_format=torch.channels_last))]
        for stage in self._net.stages[:_NUM_STAGES]:
            stages.append(stage(stages[-1]))
        return torch.cat([_pooled(stage) for stage in stages], 1)


class InceptionFeatures:
    """The 2048 pooled features of the Inception network of 2015, through torch-fidelity: the FID of the literature."""

    name = "inception"
    num_features = 2048

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network, self._device = network.to(device), device

    def __call__(self, pictures: Pictures) -> Features:
        """See FeatureExtractor."""
        return _in_batches(pictures, self._features)

    def _features(self, pictures: Pictures) -> Tensor:
        images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).to(self._device)
        (features,) = self._network(images)
        pooled: Tensor = features
        return pooled


def load_features(name: str = "auto", device: torch.device | str = "cpu") -> FeatureExtractor:
    """Load a feature network.

    Args:
        name: `inception`, fetched (91 MB) if it is not there; `parser`; or `auto`: Inception if it is there.
        device: where it runs.

    Raises:
        FeatureWeightsError: Inception's weights cannot be fetched, or are damaged.
        ValueError: there are no such features.
    """
    if name not in CHOICES:
        raise ValueError(f"there are no features '{name}'; use {', '.join(CHOICES)}.")
    path = inception_file()
    if name == "inception" and not path.is_file():
        _fetch(path)
    if name == "inception" or (name == "auto" and path.is_file()):
        try:
            return _load_inception(path, torch.device(device))
        except FeatureWeightsError as error:
            if name == "inception":
                raise
            _log.warning("%s Features of the face parser are used instead.", error)
    parser = load_face_parser(BUILT_IN_WEIGHTS, device)
    assert isinstance(parser, BuiltInParser)  # its weights are a .safetensors file
    return ParserFeatures(parser)


def inception_file() -> Path:
    """Return where Inception's weights are looked for: torch-fidelity's own place in torch's cache (TORCH_HOME)."""
    return Path(torch.hub.get_dir(), "checkpoints", INCEPTION_NAME)


def _fetch(path: Path) -> None:
    _log.info("Fetching Inception's weights from %s.", INCEPTION_URL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(INCEPTION_URL, str(path), hash_prefix=_INCEPTION_SHA256, progress=False)
    except (OSError, RuntimeError, urllib.error.URLError) as error:
        raise FeatureWeightsError(
            f"Inception's weights cannot be fetched from {INCEPTION_URL} ({error}). Put the file at '{path}', or use "
            "--features parser, which needs none."
        ) from error


def _load_inception(path: Path, device: torch.device) -> InceptionFeatures:
    if not _sha256(path).startswith(_INCEPTION_SHA256):
        raise FeatureWeightsError(
            f"'{path}' is damaged or another file: its SHA-256 does not begin with {_INCEPTION_SHA256}. Remove it; "
            "--features inception fetches it again."
        )
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    return InceptionFeatures(network, device)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_batches(pictures: Pictures, compute: Callable[[Pictures], Tensor]) -> Features:
    with torch.inference_mode():
        rows = [
            compute(pictures[start : start + _BATCH_SIZE]).float().cpu()
            for start in range(0, len(pictures), _BATCH_SIZE)
        ]
    features: Features = torch.cat(rows).numpy()
    return features


def _pooled(stage: Tensor) -> Tensor:
    """NChw -> NC: mean over the positions, each scaled to length sqrt(C); a position without features stays 0."""
    length = stage.square().sum(1, keepdim=True).sqrt().clamp_min(1e-6)
    pooled: Tensor = (stage / length).mean((2, 3)) * stage.shape[1] ** 0.5
    return pooled
