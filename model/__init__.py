"""U-GAT-IT networks, style files and the engines that run them."""

from .config import DiscriminatorConfig, GeneratorConfig
from .discriminator import Discriminator, DiscriminatorOutput, build_discriminator
from .generator import Generator, GeneratorOutput, build_generator
from .norms import clip_rho

__all__ = [
    "Discriminator",
    "DiscriminatorConfig",
    "DiscriminatorOutput",
    "Generator",
    "GeneratorConfig",
    "GeneratorOutput",
    "build_discriminator",
    "build_generator",
    "clip_rho",
]
