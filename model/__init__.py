"""U-GAT-IT networks, style files and the engines that run them."""

from .checkpoints import import_checkpoint
from .config import DiscriminatorConfig, GeneratorConfig
from .discriminator import Discriminator, DiscriminatorOutput, build_discriminator
from .engine import Engine, TorchEngine, load_engine
from .errors import DeviceError, ModelError, StyleFormatError, StyleNotFoundError
from .generator import Generator, GeneratorOutput, build_generator
from .images import to_pictures, to_tensor
from .library import StyleInfo, find_style, list_styles, load_style
from .norms import clip_rho
from .style import Style, StyleCard

__all__ = [
    "DeviceError",
    "Discriminator",
    "DiscriminatorConfig",
    "DiscriminatorOutput",
    "Engine",
    "Generator",
    "GeneratorConfig",
    "GeneratorOutput",
    "ModelError",
    "Style",
    "StyleCard",
    "StyleFormatError",
    "StyleInfo",
    "StyleNotFoundError",
    "TorchEngine",
    "build_discriminator",
    "build_generator",
    "clip_rho",
    "find_style",
    "import_checkpoint",
    "list_styles",
    "load_engine",
    "load_style",
    "to_pictures",
    "to_tensor",
]
