"""Every option of the objective changes what it is named for, and nothing else."""

from dataclasses import replace

import pytest
import torch

from tests.trainer.tiny_run import configured, networks_of, random_batch
from trainer.batch import Batch
from trainer.networks import CycleGenerators, DomainCritics
from trainer.objective import Objective


class Scene:
    """Networks with a batch and what the generators make of it."""

    def __init__(self, batch: Batch | None = None, **sections) -> None:
        self.config = configured(**sections)
        self.objective = Objective(self.config)
        networks = networks_of(self.config)
        self.critics, self.generators = DomainCritics(networks).eval(), CycleGenerators(networks)
        self.batch = batch or random_batch()

    def discriminator_terms(self, batch: Batch | None = None) -> dict[str, float]:
        batch = batch or self.batch
        with torch.no_grad():
            fakes = self.generators(batch.a.real, batch.b.real).fakes
            return _floats(self.objective.discriminator_loss(self.critics, batch, fakes))

    def generator_terms(self, batch: Batch | None = None) -> dict[str, float]:
        batch = batch or self.batch
        with torch.no_grad():
            outputs = self.generators(batch.a.real, batch.b.real)
            return _floats(self.objective.generator_loss(self.critics, batch, outputs))

    def gradient_at_fake_b(self) -> torch.Tensor:
        """Of the adversarial loss."""
        outputs = self.generators(self.batch.a.real, self.batch.b.real)
        terms = self.objective.generator_loss(self.critics, self.batch, outputs)
        (gradient,) = torch.autograd.grad(terms["adversarial_a2b"], outputs.fake_b)
        return gradient


def faced(batch: Batch, share: float | torch.Tensor) -> Batch:
    """The batch with another share of face."""
    a, b = (replace(d, face=torch.zeros_like(d.face) + share, core=d.core) for d in (batch.a, batch.b))
    return replace(batch, a=a, b=b)


@pytest.mark.parametrize(
    ("weight", "terms"),
    [
        ("cycle", ["cycle_a", "cycle_b"]),
        ("identity", ["identity_a", "identity_b"]),
        ("cam", ["cam_a2b", "cam_b2a"]),
        ("background", ["background_a2b", "background_b2a"]),
        ("tv", ["tv_a2b", "tv_b2a"]),
        ("adversarial", ["adversarial_a2b", "adversarial_b2a"]),
        ("adversarial_a2b", ["adversarial_a2b"]),
        ("adversarial_b2a", ["adversarial_b2a"]),
    ],
)
def test_a_weight_scales_the_terms_it_is_named_for_and_no_other(weight, terms):
    once, twice = (Scene(losses={"tv": 1.0, "background": 1.0} | {weight: w}).generator_terms() for w in (1.5, 3.0))
    scaled = {name for name in once if twice[name] == pytest.approx(2 * once[name])}
    assert scaled == set(terms)
    assert all(twice[name] == once[name] for name in set(once) - scaled - {"total"})


@pytest.mark.parametrize("weight", ["cycle", "identity", "cam", "background", "tv"])
def test_a_weight_of_0_leaves_a_term_out(weight):
    terms = Scene(losses={weight: 0.0}).generator_terms()
    assert not [name for name in terms if name.startswith(weight)]


def test_the_reference_weighs_the_other_direction():
    ours = Scene(losses={"adversarial_a2b": 2.0}).generator_terms()
    theirs = Scene(losses={"adversarial_a2b": 2.0}, objective={"compat": "reference"}).generator_terms()
    assert ours["adversarial_a2b"] == pytest.approx(2 * theirs["adversarial_a2b"])
    assert theirs["adversarial_b2a"] == pytest.approx(2 * ours["adversarial_b2a"])


def test_disc_cam_of_0_leaves_the_discriminators_without_cam_and_attention():
    scene = Scene(losses={"disc_cam": 0.0})
    assert not [name for name in scene.discriminator_terms() if name.endswith("_cam")]
    assert not any(network.cam.use_attention for network in scene.critics.networks.values())


def test_a_masked_discriminator_loss_is_0_where_there_is_no_face_and_as_ever_where_all_is_face():
    masked, plain = Scene(objective={"mask_disc_loss": True}), Scene()
    nothing, everything = faced(masked.batch, 0.0), faced(masked.batch, 1.0)
    patches = [name for name in plain.discriminator_terms() if not name.endswith("_cam") and name != "total"]
    assert all(masked.discriminator_terms(nothing)[name] == 0 for name in patches)
    assert masked.discriminator_terms(everything) == pytest.approx(plain.discriminator_terms())
    assert masked.generator_terms(everything) == pytest.approx(plain.generator_terms())


def test_the_mask_of_a_fake_is_that_of_the_picture_it_was_made_from():
    scene = Scene(objective={"mask_disc_loss": True}, losses={"disc_cam": 0.0})
    only_a = replace(scene.batch, b=replace(scene.batch.b, face=torch.zeros_like(scene.batch.b.face)))
    terms = scene.generator_terms(only_a)
    assert terms["adversarial_a2b"] > 0
    assert terms["adversarial_b2a"] == 0


def test_a_detached_background_gets_no_adversarial_gradient():
    left = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    left[..., :16] = 1
    batch = faced(random_batch(), left)
    everywhere = Scene(batch).gradient_at_fake_b()
    face_only = Scene(batch, objective={"detach_background": True}).gradient_at_fake_b()
    assert everywhere[..., 16:].abs().max() > 0
    assert torch.equal(face_only[..., 16:], torch.zeros_like(face_only[..., 16:]))
    assert torch.allclose(face_only[..., :16], everywhere[..., :16])


@pytest.mark.parametrize("option", ["mask_cam_input", "mask_cam_features"])
def test_a_cam_mask_changes_what_the_cam_classifiers_say_and_not_the_patches(option):
    plain, masked = Scene().discriminator_terms(), Scene(objective={option: True}).discriminator_terms()
    for name, value in masked.items():
        is_cam = name.endswith("_cam") or name == "total"
        assert (value != pytest.approx(plain[name])) is is_cam, name


def test_grey_discriminators_do_not_see_colour():
    grey = Scene(objective={"grey_disc": True})
    batch = grey.batch
    turned = replace(batch, b=replace(batch.b, real=batch.b.real.flip(1)))
    as_grey = replace(
        batch,
        b=replace(
            batch.b,
            real=batch.b.real.mul(torch.tensor([0.299, 0.587, 0.114])[:, None, None])
            .sum(1, keepdim=True)
            .expand_as(batch.b.real),
        ),
    )
    fakes = grey.generators(batch.a.real, batch.b.real).fakes
    losses = [
        _floats(grey.objective.discriminator_loss(grey.critics, b, fakes))["disc_global_b"]
        for b in (batch, as_grey, turned)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[2] != pytest.approx(losses[0], rel=1e-6)


def test_blurred_pictures_are_one_more_kind_of_fake():
    plain, blurred = Scene(), Scene(objective={"blur_negatives": True})
    all_real = replace(plain.batch, b=replace(plain.batch.b, blurred=plain.batch.b.real))
    more = {k: blurred.discriminator_terms(all_real)[k] - v for k, v in plain.discriminator_terms(all_real).items()}
    assert all(more[name] > 0 for name in more)
    assert blurred.generator_terms() == pytest.approx(plain.generator_terms())


def test_blurred_pictures_are_masked_too_but_not_in_the_reference():
    options = {"mask_disc_loss": True, "blur_negatives": True}
    nothing = faced(random_batch(), 0.0)
    assert Scene(objective=options).discriminator_terms(nothing)["disc_global_a"] == 0
    assert Scene(objective=options | {"compat": "reference"}).discriminator_terms(nothing)["disc_global_a"] > 0


def test_discriminators_see_what_an_augmentation_makes_of_every_picture():
    seen = []

    def darken(image, face):
        seen.append(len(image))
        return image * 0, face

    scene = Scene()
    scene.objective = Objective(scene.config, darken)
    terms = scene.discriminator_terms()
    assert seen == [1, 1, 1, 1]
    other = scene.discriminator_terms(random_batch(seed=5))
    assert terms == pytest.approx(other)


def test_judging_at_once_gives_the_verdicts_of_judging_one_by_one():
    scene = Scene(random_batch(2), objective={"blur_negatives": True, "mask_cam_input": True})
    at_once = scene.discriminator_terms()
    scene.critics.judges_at_once = False
    assert scene.discriminator_terms() == pytest.approx(at_once)


def test_options_that_need_a_face_say_so_when_a_batch_has_none():
    scene = Scene(objective={"mask_disc_loss": True})
    batch = replace(scene.batch, a=replace(scene.batch.a, face=None))
    with pytest.raises(ValueError, match="mask_disc_loss"):
        scene.discriminator_terms(batch)


def _floats(terms):
    return {name: value.item() for name, value in terms.items()}
