"""U-GAT-IT networks, style files and the engines that run them."""

from .config import GeneratorConfig
from .generator import Generator, GeneratorOutput, build_generator

__all__ = ["Generator", "GeneratorConfig", "GeneratorOutput", "build_generator"]
