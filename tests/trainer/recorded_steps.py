"""Training steps of the reference implementations in our terms: networks, configuration, batch, and what to compare.

A recorded name such as `disGA.model.1.weight_orig` is theirs; the map to ours is found by translating a state whose
tensors hold their own numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from model import DiscriminatorConfig, build_discriminator, build_generator
from model.foreign import translate_discriminator, translate_generator
from tests.oracle import Fixture
from trainer.batch import Batch, DomainBatch
from trainer.config import LossWeights, ObjectiveConfig, OptimizerConfig, RunConfig, TrainConfig
from trainer.networks import Networks
from trainer.steps import Stepper

OURS = {
    "genA2B": "gen_a2b",
    "genB2A": "gen_b2a",
    "disGA": "disc_global_a",
    "disLA": "disc_local_a",
    "disGB": "disc_global_b",
    "disLB": "disc_local_b",
}


class RecordedStep:
    """A step fixture, ready to run.

    Args:
        name: of the fixture.
        dtype: to compute in; float64 is compared with their run in float64.
    """

    def __init__(self, name: str, dtype: torch.dtype = torch.float32) -> None:
        self.fixture = Fixture(name)
        self.is_seed = self.fixture.meta["source"] == "seed"
        self.theirs = self.fixture.meta["config"]
        self.config = self._config()
        self.networks = Networks(**{ours: self._build(theirs) for theirs, ours in OURS.items()})
        self._leave_out_what_they_do_not_have()
        self.batch = self._batch(dtype)
        is_float64 = dtype == torch.float64
        memory_format = torch.contiguous_format if is_float64 else torch.channels_last  # all that torch has in float64
        for network in self.networks.all.values():
            network.to(dtype, memory_format=memory_format)
        self._suffix = "_fp64" if is_float64 else ""

    def stepper(self, config: TrainConfig | None = None, **options) -> Stepper:
        return Stepper(self.networks, config or self.config, **options)

    def run(self, stepper: Stepper):
        return stepper.run([self.batch], self.theirs["lr"], 0.0)

    def losses(self, step: int) -> dict[str, float]:
        """The recorded losses of a step (from 1) under our names; those that they have as a sum only by a tuple."""
        theirs = self.fixture.meta["steps"][step - 1]["losses" + self._suffix]
        return dict(self._seed_losses(theirs) if self.is_seed else self._official_losses(theirs))

    def gradient_norms(self, step: int) -> dict[str, float]:
        """The recorded L2 norm of each network's gradient in a step (from 1), by our name."""
        theirs = self.fixture.meta["steps"][step - 1]
        norms = theirs["gradient_l2_norm_D" + self._suffix] | theirs["gradient_l2_norm_G" + self._suffix]
        return {OURS[network]: norm for network, norm in norms.items()}

    def averages(self, generators) -> Iterator[tuple[str, torch.Tensor]]:
        """(key in the fixture, our averaged tensor in their shape) after three steps."""
        for network in ("genA2B", "genB2A"):
            state = generators[OURS[network]].state_dict()
            for key, our_key, shape in self._keys(network):
                yield f"step3.ema.{network}_ema.{key}", state[our_key].reshape(shape)

    def tensors(self, kind: str) -> Iterator[tuple[str, str, torch.Tensor | None]]:
        """(key in the fixture, network and key of theirs, our tensor in their shape) of `grad`, `param`, `buffer`."""
        for network, ours in OURS.items():
            module = getattr(self.networks, ours)
            state = dict(module.named_parameters()) | dict(module.named_buffers())
            for key, our_key, shape in self._keys(network):
                stored = f"step1.{kind}.{network}.{key}"
                if stored in self.fixture.tensors:
                    tensor = state[our_key].grad if kind == "grad" else state[our_key]
                    yield stored, f"{network}.{key}", None if tensor is None else tensor.detach().reshape(shape)

    def is_without_gradient(self, key: str) -> bool:
        network, _, name = key.partition(".")
        module = getattr(self.networks, OURS[network])
        our_key = next(ours for theirs, ours, _ in self._keys(network) if theirs == name)
        return dict(module.named_parameters())[our_key].grad is None

    def _config(self) -> TrainConfig:
        t = self.theirs
        weights = LossWeights(
            adversarial=t["adv_weight"],
            adversarial_a2b=t.get("forward_adv_weight", 1.0),
            adversarial_b2a=t.get("backward_adv_weight", 1.0),
            cycle=t["cycle_weight"],
            identity=t["identity_weight"],
            cam=t["cam_weight"],
            disc_cam=max(t.get("cam_D_weight", 1.0), 0.0),
            background=max(t.get("seg_fix_weight", 0.0), 0.0),
            tv=t["tv_weight"] if t.get("tv_loss") else 0.0,
        )
        objective = ObjectiveConfig(
            mask_disc_loss=t.get("seg_D_mask", False),
            detach_background=t.get("seg_G_detach", False),
            mask_cam_input=t.get("seg_D_cam_inp_mask", False),
            mask_cam_features=t.get("seg_D_cam_fea_mask", False),
            blur_negatives=t.get("has_blur", False),
            compat="reference" if self.is_seed else "official",
        )
        optimizer = OptimizerConfig(
            learning_rate=t["lr"], weight_decay=t["weight_decay"], ema_start=t.get("ema_start", 0.0)
        )
        return TrainConfig(
            losses=weights, objective=objective, optimizer=optimizer, run=RunConfig(steps=t["iteration"])
        )

    def _build(self, network: str) -> torch.nn.Module:
        state = self.fixture.state(network)
        if network.startswith("gen"):
            config, ours = translate_generator(state, image_size_px=self.fixture.meta["img_size"])
            module = build_generator(config)
        else:
            config = self._disc_config(network)
            ours, module = translate_discriminator(state, config), build_discriminator(config)
        module.load_state_dict(ours)
        return module

    def _disc_config(self, network: str) -> DiscriminatorConfig:
        depths = {"G": self.theirs.get("n_global_dis", 7), "L": self.theirs.get("n_local_dis", 5)}
        return DiscriminatorConfig(
            base_channels=self.theirs["ch"],
            depth=depths[network[3]],
            use_spectral_norm=self.theirs.get("sn", True),
            use_cam_attention=self.theirs.get("cam_D_attention", True),
        )

    def _keys(self, network: str) -> Iterator[tuple[str, str, list[int]]]:
        """(their key, our key, their shape)."""
        entries = self.fixture.meta["state"][network]["entries"]
        # From 2: the translation fills in 0 and 1 where they have nothing.
        numbered = {key: torch.full(shape, float(i)) for i, (key, shape, _) in enumerate(entries, 2)}
        if network.startswith("gen"):
            _, ours = translate_generator(numbered, image_size_px=self.fixture.meta["img_size"])
        else:
            ours = translate_discriminator(numbered, self._disc_config(network))
        by_number = {int(tensor.flatten()[0]): key for key, tensor in ours.items()}
        for i, (key, shape, _) in enumerate(entries, 2):
            yield key, by_number[i], shape

    def _leave_out_what_they_do_not_have(self) -> None:
        """Norms' scale and shift and some biases, in the official networks: 1 and 0 for ever."""
        for network, ours in OURS.items():
            known = {our_key for _, our_key, _ in self._keys(network)}
            for key, parameter in getattr(self.networks, ours).named_parameters():
                parameter.requires_grad_(key in known)

    def _batch(self, dtype: torch.dtype) -> Batch:
        given = {key: tensor.to(dtype) for key, tensor in self.fixture.tensors.items() if key.startswith("in.")}
        return Batch(a=self._domain("A", given), b=self._domain("B", given))

    def _domain(self, domain: str, given: dict[str, torch.Tensor]) -> DomainBatch:
        core = given.get(f"in.mask{domain}_erode")
        if core is not None and self.theirs["seg_fix_glass_mouth"]:
            core = core * given[f"in.mask{domain}_glass_mouth"]
        return DomainBatch(
            real=given[f"in.real_{domain}"],
            blurred=given.get(f"in.blur_{domain}"),
            face=given.get(f"in.mask{domain}"),
            core=core,
        )

    def _seed_losses(self, theirs) -> Iterator[tuple[str | tuple[str, ...], float]]:
        t = self.theirs
        # Their forward weight acts on what domain A judges.
        weights = {"A": t["adv_weight"] * t["forward_adv_weight"], "B": t["adv_weight"] * t["backward_adv_weight"]}
        for domain, other in (("A", "B"), ("B", "A")):
            lower, to = domain.lower(), f"{other}2{domain}".lower()
            for letter, scope in (("G", "global"), ("L", "local")):
                name, weight = f"discriminator/disc_{scope}_{lower}", weights[domain]
                yield name, weight * theirs[f"D_loss_{letter}{domain}"]
                if t["cam_D_weight"] > 0:
                    yield f"{name}_cam", weight * t["cam_D_weight"] * theirs[f"D_cam_loss_{letter}{domain}"]
            yield f"generator/adversarial_{to}", theirs[f"G_ad_loss_{domain}"]
            yield f"generator/cycle_{lower}", theirs[f"G_recon_loss_{domain}"]
            yield f"generator/identity_{lower}", theirs[f"G_identity_loss_{domain}"]
            yield f"generator/cam_{to}", theirs[f"G_cam_loss_{domain}"]
        if t["seg_fix_weight"] > 0:
            yield ("generator/background_a2b", "generator/background_b2a"), theirs["G_seg_loss"]
        if t["tv_loss"]:
            yield ("generator/tv_a2b", "generator/tv_b2a"), theirs["tv_loss"]
        yield "discriminator/total", theirs["discriminator_loss"]
        yield "generator/total", theirs["Generator_loss"]

    def _official_losses(self, theirs) -> Iterator[tuple[str, float]]:
        t = self.theirs
        for domain, other in (("A", "B"), ("B", "A")):
            lower, to = domain.lower(), f"{other}2{domain}".lower()
            for letter, scope in (("G", "global"), ("L", "local")):
                name = f"discriminator/disc_{scope}_{lower}"
                yield name, t["adv_weight"] * theirs[f"D_ad_loss_{letter}{domain}"]
                yield f"{name}_cam", t["adv_weight"] * theirs[f"D_ad_cam_loss_{letter}{domain}"]
            fooling = (f"G_ad{cam}_loss_{letter}{domain}" for cam in ("", "_cam") for letter in "GL")
            yield f"generator/adversarial_{to}", t["adv_weight"] * sum(theirs[name] for name in fooling)
            yield f"generator/cycle_{lower}", t["cycle_weight"] * theirs[f"G_recon_loss_{domain}"]
            yield f"generator/identity_{lower}", t["identity_weight"] * theirs[f"G_identity_loss_{domain}"]
            yield f"generator/cam_{to}", t["cam_weight"] * theirs[f"G_cam_loss_{domain}"]
        yield "discriminator/total", theirs["Discriminator_loss"]
        yield "generator/total", theirs["Generator_loss"]
