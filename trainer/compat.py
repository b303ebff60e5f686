"""Where a training step differs from those of UGATIT-pytorch ("official") and enhanced-UGATIT ("reference").

One field per difference, its default being what this trainer does; computes nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Compat:
    """Faults and habits of a step. With all defaults: none."""

    judges_at_once: bool = True
    """A discriminator sees real, fake and blurred pictures as one batch, with one power iteration of its spectral
    norms; False: in one call each, with one power iteration each."""
    iterates_in_generator_phase: bool = False
    """Discriminators stay in training mode while the generators learn: one power iteration more per step."""
    swaps_directions: bool = False
    """`adversarial_a2b` weighs the translation B to A, and the other way round."""
    tv_is_magnitude: bool = False
    """The total variation takes the pixels' magnitude instead of their differences: a pull towards grey."""
    masks_blurred: bool = True
    """`mask_disc_loss` holds for blurred pictures as well."""
    mixes_colours: bool = False
    """Attention masks with an input candidate blend across colours."""
    adaptive_rho_upper: float = 1.0
    """Upper bound of AdaLIN's rho; the paper's is 1."""
    has_decay: bool = True
    """`decay` means what it says; False: the learning rate stays."""
    decays_a_step_early: bool = False
    """The first step after `decay_start` has a lower rate already, and the last one the rate 0."""


COMPAT: dict[str, Compat] = {
    "none": Compat(),
    "reference": Compat(
        judges_at_once=False,
        swaps_directions=True,
        tv_is_magnitude=True,
        masks_blurred=False,
        mixes_colours=True,
        adaptive_rho_upper=0.9,
        has_decay=False,
    ),
    "official": Compat(
        judges_at_once=False,
        iterates_in_generator_phase=True,
        decays_a_step_early=True,
    ),
}
"""By the values of `ObjectiveConfig.compat`."""
