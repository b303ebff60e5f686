"""Everything that fixes a training run: frozen dataclasses, one per concern, gathered in `TrainConfig`.

Defaults, bounds and meanings stand here and nowhere else: Click's options, TOML files and `config.json` are made from
them (options.py). Imports no torch, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import TrainConfigError


def _choice(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    metavar: str | None = None,
    flag: str | None = None,
) -> Any:
    """A field with its meaning (Click's help), bounds (inclusive), and flag where it is not `--` and the name."""
    meta = {"help": text, "low": low, "high": high, "choices": choices, "metavar": metavar, "flag": flag}
    return field(default=default, metadata=meta)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How pictures become batches."""

    flip: float = _choice(0.5, "Chance that a picture is mirrored.", low=0.0, high=1.0)
    crop_chance: float = _choice(
        0.2, "Chance that a picture is enlarged by up to an eighth and cut at a random place.", low=0.0, high=1.0
    )
    match: str = _choice(
        "off",
        "Match the histogram of a picture to its partner's of the other domain, in this colour space.",
        choices=("off", "rgb", "hsv", "hsl"),
    )
    match_chance: float = _choice(0.5, "Chance that a pair of pictures is matched.", low=0.0, high=1.0)
    match_direction: str = _choice(
        "both",
        "Whose picture is changed: A's to look like B's (a2b), B's (b2a), or either.",
        choices=("both", "a2b", "b2a"),
    )
    match_ratio: float = _choice(1.0, "How far the histogram is moved towards the partner's.", low=0.0, high=1.0)
    random_background: float = _choice(
        0.0,
        "Chance that the background of a picture becomes one random colour (needs the face parser).",
        low=0.0,
        high=1.0,
    )
    pairs: str | None = _choice(
        None, "Folder with A/ and B/, pictures of equal names: pairs for a supervised warm start.", metavar="DIR"
    )
    template: str = _choice(
        "head",
        "Crop template that A's pictures were cut with; `convert` cuts faces for the style alike.",
        choices=("head", "tight"),
    )
    workers: int = _choice(2, "Processes that read pictures; 0 reads in the training process.", low=0, high=64)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The six networks: two generators, and a global and a local discriminator for each domain."""

    image_size_px: int = _choice(
        256, "Side of the training pictures; a multiple of 4.", low=32, high=1024, flag="--size"
    )
    base_channels: int = _choice(64, "Channels of a generator's first map.", low=4, high=256, flag="--channels")
    disc_channels: int | None = _choice(
        None, "Channels of a discriminator's first map; default: as many as the generators.", low=4, high=256
    )
    num_blocks: int = _choice(
        4, "Residual blocks on each side of a generator's CAM head.", low=1, high=16, flag="--blocks"
    )
    head: str = _choice(
        "pooled",
        "What the AdaLIN head reads: the pooled map (light), or the whole map (full, ten times the weights).",
        choices=("pooled", "full"),
    )
    use_scse: bool = _choice(False, "Squeeze-and-excitation in every residual block.", flag="--scse/--no-scse")
    num_masks: int = _choice(
        0, "Attention masks that blend as many candidate pictures; 0 draws the picture itself.", low=0, high=16
    )
    has_input_candidate: bool = _choice(
        False, "The input picture is one of the blended candidates.", flag="--input-candidate/--no-input-candidate"
    )
    up_sampling: str = _choice("nearest", "How generators enlarge maps.", choices=("nearest", "transposed"))
    global_depth: int = _choice(7, "Layers of the global discriminators.", low=3, high=12)
    local_depth: int = _choice(5, "Layers of the local discriminators.", low=3, high=12)
    use_spectral_norm: bool = _choice(
        True, "Spectral normalisation in the discriminators.", flag="--spectral-norm/--no-spectral-norm"
    )


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """The weights of the terms that generators and discriminators minimise; 0 leaves a term out."""

    adversarial: float = _choice(1.0, "Adversarial loss, common factor.", low=0.0)
    adversarial_a2b: float = _choice(1.0, "Adversarial loss of fake B (A to B), further factor.", low=0.0)
    adversarial_b2a: float = _choice(1.0, "Adversarial loss of fake A (B to A), further factor.", low=0.0)
    cycle: float = _choice(10.0, "L1 between a picture and the one that came back.", low=0.0)
    identity: float = _choice(10.0, "L1 between a picture of the target domain and its translation.", low=0.0)
    cam: float = _choice(1000.0, "Generators' class-activation loss.", low=0.0)
    disc_cam: float = _choice(
        1.0, "Discriminators' class-activation loss; 0 switches their CAM and attention off.", low=0.0
    )
    background: float = _choice(0.0, "L1 between input and output outside the face (needs the face parser).", low=0.0)
    tv: float = _choice(0.0, "Total variation of the fakes.", low=0.0)
    temporal: float = _choice(
        0.0, "Moving a picture and translating it must commute: steadiness without video (A to B).", low=0.0
    )
    perceptual: float = _choice(
        0.0,
        "Distance of input and output in the features of the built-in face parser: keeps who it is (A to B).",
        low=0.0,
    )
    paired: float = _choice(
        10.0, "L1 to the partner, of pixels and of edges, during the paired warm start (--pairs).", low=0.0
    )

    @property
    def of_direction(self) -> dict[str, float]:
        """Adversarial weight of each translation, by `a2b` and `b2a`."""
        return {"a2b": self.adversarial * self.adversarial_a2b, "b2a": self.adversarial * self.adversarial_b2a}


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the discriminators see, and what of it counts."""

    mask_disc_loss: bool = _choice(False, "Judge only the face: mask the discriminators' verdicts.")
    detach_background: bool = _choice(False, "Let no adversarial gradient reach a fake outside the face.")
    mask_cam_input: bool = _choice(False, "The discriminators' CAM classifiers look at the face alone.")
    mask_cam_features: bool = _choice(False, "The same by masking the features that they read.")
    hard_mask: bool = _choice(False, "Face masks with a hard edge.")
    keep_eyewear_mouth: bool = _choice(
        False, "The rim of glasses and the inside of the mouth count as background: they stay."
    )
    parser_weights: str | None = _choice(
        None, "Weights of the face parser; default: the built-in one, or BiSeNet where it is.", metavar="FILE"
    )
    grey_disc: bool = _choice(False, "The discriminators see grey pictures: colour is free.")
    blur_negatives: bool = _choice(False, "Show edge-blurred pictures to the discriminators as fakes.")
    augment: str = _choice(
        "",
        "Differentiable augmentation of what the discriminators see, for small data sets: colour,translation,cutout.",
        metavar="NAME,...",
    )
    temporal_ramp: float = _choice(
        0.25, "Share of the run over which the temporal loss grows to its full weight.", low=0.0, high=1.0
    )
    compat: str = _choice(
        "none",
        "Compute a step as enhanced-UGATIT (reference) or UGATIT-pytorch (official) does, faults included.",
        choices=("none", "reference", "official"),
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam, its schedule, and the averaged generators."""

    batch_size: int = _choice(1, "Pictures of each domain per step and process.", low=1, high=256)
    accumulate: int = _choice(1, "Batches whose gradients are added up to one step.", low=1, high=256)
    learning_rate: float = _choice(1e-4, "Adam's rate at the start.", low=0.0, high=1.0)
    disc_rate: float = _choice(1.0, "The discriminators' learning rate, over the generators'.", low=0.0, high=100.0)
    beta1: float = _choice(0.5, "Adam's first beta.", low=0.0, high=0.9999)
    beta2: float = _choice(0.999, "Adam's second beta.", low=0.0, high=0.99999)
    weight_decay: float = _choice(1e-4, "L2 penalty, added to the gradient.", low=0.0, high=1.0)
    decay: str = _choice(
        "linear", "The rate stays, then falls linearly to 0; or it stays.", choices=("linear", "constant")
    )
    decay_start: float = _choice(0.5, "Share of the run after which the rate falls.", low=0.0, high=1.0)
    ema_half_life_kimg: float = _choice(
        1.0, "Half-life of the averaged generators, in thousands of pictures; 0 switches them off.", low=0.0
    )
    ema_start: float = _choice(0.1, "Share of the run before averaging begins.", low=0.0, high=1.0)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How long, where, and what is kept."""

    steps: int = _choice(100_000, "Optimizer steps of the run.", low=1)
    pair_steps: int = _choice(0, "Of these, the first so many are supervised (needs --pairs).", low=0)
    start_from: str | None = _choice(
        None, "Begin with the weights of a style (A to B) or of another run (all networks).", metavar="STYLE|RUN"
    )
    start_back_from: str | None = _choice(
        None,
        "Begin the way back (B to A) with the weights of a style (even one of A to B is nearer than chance), or it "
        "and the discriminators with those of a run.",
        metavar="STYLE|RUN",
    )
    seed: int = _choice(0, "Of first weights, batches and every other chance.", low=0)
    device: str = _choice("auto", "auto, cpu, cuda, cuda:1.", metavar="DEVICE")
    threads: int | None = _choice(None, "CPU threads; default: as torch chooses.", low=1)
    precision: str = _choice(
        "auto", "Arithmetic; auto is bf16 where the hardware is faster for it.", choices=("auto", "fp32", "bf16")
    )
    compile: bool = _choice(False, "Compile the networks first (minutes): meant for GPUs, slower on CPUs.")
    snapshot_every: int = _choice(1000, "Steps between snapshots.", low=1)
    keep_snapshots: int = _choice(3, "Snapshots kept, beside the best.", low=1)
    preview_every: int = _choice(500, "Steps between previews.", low=1)
    evaluate_every: int = _choice(
        5000, "Steps between evaluations on testA and testB, which choose the best; 0: only at the end.", low=0
    )
    log_every: int = _choice(50, "Steps between lines of the log.", low=1)
    max_bad_steps: int = _choice(20, "Stop after so many steps in a row with a loss that is not finite.", low=1)
    features: str = _choice(
        "auto",
        "What FID and KID compare: Inception where its weights are, else features of the built-in face parser.",
        choices=("auto", "inception", "parser"),
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run. `to_dict` and `from_dict` are its one spelling on disk."""

    data: DataConfig = field(default_factory=DataConfig)
    networks: NetworkConfig = field(default_factory=NetworkConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def needs_masks(self) -> bool:
        """Some choice needs to know which pixels are face."""
        wanted = self.objective
        return bool(
            self.losses.background
            or self.data.random_background
            or wanted.mask_disc_loss
            or wanted.detach_background
            or wanted.mask_cam_input
            or wanted.mask_cam_features
        )

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return every value by section and name, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, source: str) -> TrainConfig:
        """Build a config from values by section and name; what is left out has its default.

        Args:
            values: as `to_dict` gives them, or a part.
            source: what they come from, for messages.

        Raises:
            TrainConfigError: an unknown section or name, or a value of another type or out of bounds.
        """
        return merged(cls(), values, source=source)


SECTIONS: dict[str, type[Any]] = {f.name: type(getattr(TrainConfig(), f.name)) for f in fields(TrainConfig)}
"""The dataclass of each section by its name."""


def merged(config: TrainConfig, values: Mapping[str, Any], *, source: str) -> TrainConfig:
    """Return a config with some values replaced, checked one by one (`TrainConfig.from_dict` has the errors)."""
    sections: dict[str, Any] = {}
    for section, changes in values.items():
        if section not in SECTIONS or not isinstance(changes, Mapping):
            raise TrainConfigError(f"{source}: there is no section '{section}'; use {', '.join(SECTIONS)}.")
        known = {f.name: f for f in fields(SECTIONS[section])}
        for name, value in changes.items():
            if name not in known:
                raise TrainConfigError(f"{source}: '{section}' has no '{name}'; it has {', '.join(known)}.")
            _check_value(f"{source}: {section}.{name}", value, known[name])
        sections[section] = dataclasses.replace(getattr(config, section), **changes)
    return dataclasses.replace(config, **sections)


def _check_value(what: str, value: Any, f: dataclasses.Field[Any]) -> None:
    """Raise TrainConfigError unless a value is of its field's type and within its bounds."""
    kinds = _kinds(str(f.type))
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TrainConfigError(f"{what} is {value!r}; it must be {f.type}.")
    low, high, choices = (f.metadata[key] for key in ("low", "high", "choices"))
    if choices is not None and value not in choices:
        raise TrainConfigError(f"{what} is {value!r}; choose from {', '.join(choices)}.")
    is_outside = isinstance(value, int | float) and not (
        (low is None or value >= low) and (high is None or value <= high)
    )
    if is_outside:
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise TrainConfigError(f"{what} is {value}; it must be {bounds}.")


def _kinds(annotation: str) -> tuple[type, ...]:
    """The types that an annotation such as `int | None` allows; a whole number is a float too."""
    names = {"bool": (bool,), "int": (int,), "float": (float, int), "str": (str,), "None": (type(None),)}
    return tuple(kind for name in annotation.split(" | ") for kind in names[name])
