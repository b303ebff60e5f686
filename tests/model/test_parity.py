"""Our networks give the recorded outputs of the reference implementations."""

import pytest
import torch

from model import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    build_discriminator,
    build_generator,
    clip_rho,
)
from model.foreign import infer_generator_config, translate_discriminator, translate_generator
from model.norms import AdaptiveLayerInstanceNorm, LayerInstanceNorm
from tests.oracle import Fixture, fixture_names


def recorded_config(fixture: Fixture) -> GeneratorConfig:
    """The configuration of a generator fixture in our terms, from its sidecar."""
    theirs = fixture.meta["config"]
    light = int(theirs["light"])
    has_input = theirs.get("attention_input", False)
    return GeneratorConfig(
        base_channels=theirs["ngf"],
        num_blocks=theirs["n_blocks"],
        image_size_px=theirs["img_size"],
        head_size=light if light > 0 else None,
        use_scse=theirs.get("use_se", False),
        num_masks=theirs.get("attention_gan", 0),
        has_input_candidate=has_input,
        mixes_colours=has_input,
    )


def recorded_generator(fixture: Fixture) -> Generator:
    config, state = translate_generator(fixture.state(), image_size_px=fixture.meta["config"]["img_size"])
    generator = build_generator(config)
    generator.load_state_dict(state)
    return generator


def recorded_discriminator(fixture: Fixture) -> Discriminator:
    theirs = fixture.meta["config"]
    config = DiscriminatorConfig(
        base_channels=theirs["ndf"],
        depth=theirs["n_layers"],
        use_spectral_norm=theirs.get("with_sn", True),
        use_cam_attention=theirs.get("use_cam_attention", True),
    )
    discriminator = build_discriminator(config)
    discriminator.load_state_dict(translate_discriminator(fixture.state(), config))
    return discriminator


@pytest.mark.parametrize("name", fixture_names("g_*"))
def test_a_generator_gives_the_recorded_outputs(name):
    fixture = Fixture(name)
    generator = recorded_generator(fixture)
    for call in fixture.calls:
        generator.train(call["mode"] == "train")
        with torch.no_grad():
            image, cam_logits, heatmap, attention = generator(**_renamed(fixture.arguments(call)))
        fixture.check_call(call, {"out": image, "cam_logit": cam_logits, "heatmap": heatmap, "attention": attention})


@pytest.mark.parametrize("name", fixture_names("g_*"))
def test_the_configuration_of_a_generator_is_found_from_its_tensors(name):
    fixture = Fixture(name)
    wanted = recorded_config(fixture)
    assert infer_generator_config(fixture.state(), image_size_px=wanted.image_size_px) == wanted


@pytest.mark.parametrize("name", fixture_names("d_*"))
def test_a_discriminator_gives_the_recorded_outputs_and_moves_its_buffers_as_recorded(name):
    fixture = Fixture(name)
    for call in fixture.calls:
        discriminator = recorded_discriminator(fixture)  # the state is loaded afresh for each call
        discriminator.train(call["mode"] == "train")
        with torch.no_grad():
            patch_logits, cam_logits, heatmap = discriminator(**_renamed(fixture.arguments(call)))
        fixture.check_call(call, {"out": patch_logits, "cam_logit": cam_logits, "heatmap": heatmap})
        _check_buffers(fixture, call, discriminator)


@pytest.mark.parametrize("name", fixture_names("norm_*"))
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_adalin_and_lin_give_the_recorded_values_and_gradients(name, memory_format):
    fixture = Fixture(name)
    given = {key.removeprefix("in."): t for key, t in fixture.tensors.items() if key.startswith("in.")}
    num_channels = given["x"].shape[1]
    adaptive, plain = AdaptiveLayerInstanceNorm(num_channels), LayerInstanceNorm(num_channels)
    for norm in (adaptive, plain):
        norm.rho.data = given["rho"].flatten()
    plain.weight.data, plain.bias.data = given["gamma_lin"].flatten(), given["beta_lin"].flatten()
    gamma, beta = given["gamma_ada"].requires_grad_(), given["beta_ada"].requires_grad_()

    x = given["x"].contiguous(memory_format=memory_format)
    got = _values_and_gradients("adalin", adaptive, x, given["upstream"], gamma, beta)
    got |= _values_and_gradients("lin", plain, x, given["upstream"])

    got |= {
        "adalin.grad_gamma": gamma.grad,
        "adalin.grad_beta": beta.grad,
        "adalin.grad_rho": adaptive.rho.grad,
        "lin.grad_rho": plain.rho.grad,
        "lin.grad_gamma": plain.weight.grad,
        "lin.grad_beta": plain.bias.grad,
    }
    for key, tensor in got.items():
        fixture.check(key, tensor.reshape(fixture.tensors[key].shape), fixture.tolerance(key))


@pytest.mark.parametrize("name", fixture_names("rho_clipper"))
@pytest.mark.parametrize(("source", "adaptive_upper"), [("seed", 0.9), ("official", 1.0)])
def test_rho_is_clipped_exactly_as_recorded(name, source, adaptive_upper):
    fixture = Fixture(name)
    kinds = {"ada": AdaptiveLayerInstanceNorm, "lin": LayerInstanceNorm}
    network = torch.nn.ModuleDict()
    keys = [key.removeprefix("in.") for key in fixture.tensors if key.startswith("in.")]
    for key in keys:
        rho = fixture.tensors[f"in.{key}"].flatten()
        network[key.replace(".", "_")] = norm = kinds[key[:3]](len(rho))
        norm.rho.data = rho.clone()

    clip_rho(network, adaptive_upper=adaptive_upper)

    for key in keys:
        assert torch.equal(network[key.replace(".", "_")].rho, fixture.tensors[f"{source}.{key}"].flatten())


def _renamed(arguments):
    return {"image" if name == "x" else name: tensor for name, tensor in arguments.items()}


def _check_buffers(fixture, call, discriminator):
    after = {key: fixture.tensors[stored] for key, stored in call.get("buffers_after", {}).items()}
    if after:
        state = fixture.state() | after
        theirs = fixture.meta["config"]
        config = DiscriminatorConfig(base_channels=theirs["ndf"], depth=theirs["n_layers"])
        wanted = translate_discriminator(state, config)
        for key, tensor in discriminator.state_dict().items():
            torch.testing.assert_close(tensor, wanted[key], atol=1e-5, rtol=0)


def _values_and_gradients(name, norm, x, upstream, *parameters):
    x = x.clone().requires_grad_()
    out = norm(x, *parameters)
    out.backward(upstream)
    return {f"{name}.out": out.detach(), f"{name}.grad_x": x.grad}
