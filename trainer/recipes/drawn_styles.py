"""The built-in styles that are drawn by rules: what each of them is, how it is drawn and how long it trains.

One entry per style; `drawn` runs them all alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from ..errors import TrainingDataError
from .drawn_pairs import Draw
from .drawn_training import Stage, TrainingConfig


@dataclass(frozen=True)
class DrawnStyle:
    """One drawn domain and the training of its generator."""

    name: str
    """As users call it; its drawing is `NAME_drawing.draw`."""
    description: str
    """For the style's card."""
    config: TrainingConfig
    """How it is trained."""
    mask_group: str = "head"
    """The face parts the style asks to be replaced (`faceseg.parts`)."""

    is_grey: bool = False
    """Drawn without colour: the drawing does not follow coloured light."""

    @property
    def draw(self) -> Draw:
        """The rules of its domain; loaded when asked for."""
        draw: Draw = import_module(f".{self.name}_drawing", __package__).draw
        return draw


_FROM_ANOTHER = TrainingConfig(
    stages=(Stage(3400, 256, 1, window_px=176), Stage(4400, 256, 1)),
    adversarial_from=200,
    learning_rate=4e-4,
)
"""For a style that starts from another's weights (`train --start-from`): it sees faces in full size at once."""

STYLES: dict[str, DrawnStyle] = {
    style.name: style
    for style in (
        DrawnStyle(
            "toon",
            "A flat comic: few tones per part, coloured ink along the borders, large drawn eyes, calm backgrounds. "
            "Keeps age, hair, beard, glasses and expression.",
            TrainingConfig(),
        ),
        DrawnStyle(
            "sketch",
            "A pencil portrait on warm paper: contours with pressure, hair in combed strands, soft graphite shade. "
            "Keeps the likeness, age, beard, glasses and expression.",
            _FROM_ANOTHER,
            is_grey=True,
        ),
        DrawnStyle(
            "paint",
            "A painted portrait: bold planes of warm light and violet shade laid in directional strokes, "
            "lost and found edges, accents on eyes and lips. Keeps the likeness, age, beard, glasses and expression.",
            _FROM_ANOTHER,
        ),
    )
}
"""Every drawn style by name."""


def drawn_style(name: str) -> DrawnStyle:
    """Look a drawn style up.

    Raises:
        TrainingDataError: there is no such style; the message lists those there are.
    """
    try:
        return STYLES[name]
    except KeyError:
        raise TrainingDataError(f"'{name}' is no drawn style; choose one of {', '.join(STYLES)}.") from None
