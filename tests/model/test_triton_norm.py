"""The fused norms give what norms.py gives: interpreted on the CPU, and on a GPU where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from model.norms import AdaptiveLayerInstanceNorm, InstanceNorm, LayerInstanceNorm

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
INTERPRETED = [__file__, str(Path(__file__).with_name("test_cuda_generator.py"))]
kernels = pytest.mark.skipif(
    not (IS_INTERPRETED or torch.cuda.is_available()), reason="needs a GPU or TRITON_INTERPRET=1"
)
DEVICE = "cpu" if IS_INTERPRETED or not torch.cuda.is_available() else "cuda"


def _map(n=2, c=12, h=18, w=17, dtype=torch.float32):
    torch.manual_seed(3)
    x = torch.randn(n, c, h, w) * torch.logspace(-2, 1, c)[:, None, None] + torch.linspace(-3, 3, c)[:, None, None]
    return x.to(DEVICE, dtype).contiguous(memory_format=torch.channels_last)


def _filled(norm):
    torch.manual_seed(4)
    with torch.no_grad():
        for values in norm.parameters():
            values.uniform_(0.1, 0.9)
    return norm.to(DEVICE).requires_grad_(False)


@pytest.mark.slow
def test_the_kernels_hold_when_they_are_interpreted():
    """Triton decides when it is imported whether kernels are interpreted: a process of its own."""
    told = subprocess.run(
        [sys.executable, "-m", "pytest", *INTERPRETED, "-m", "not slow and not gpu", "-p", "no:cacheprovider"],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "skipped" not in told.stdout


@pytest.mark.slow
@pytest.mark.parametrize("capability", [75, 80, 90])
def test_the_kernels_compile_for_gpus_that_are_not_here(capability, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    program = f"import tests.model.test_triton_norm as t; t.compile_all({capability})"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def compile_all(capability):
    """Make machine code of every kernel, as the generator uses them in bfloat16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from model import triton_norm

    wholes = {"means": "*fp32", "moments": "*fp32", "scale": "*fp32", "shift": "*fp32", "rho": "*fp32"}
    layout = {"margin": 3, "reflects": True, "relu": True, "adds": True, "is_phased": True, "p": 32, "c": 64}
    for kernel, constants in (
        (triton_norm._sums_kernel, {"per_chunk": 512, "is_phased": True, "p": 32, "c": 64}),
        (triton_norm._affine_kernel, {"per_chunk": 256, "s": 16, "c": 256, "is_layer": True, "eps": 1e-5}),
        (triton_norm._affine_kernel, {"per_chunk": 256, "s": 16, "c": 256, "is_layer": False, "eps": 1e-5}),
        (triton_norm._apply_kernel, layout),
    ):
        kinds = dict.fromkeys(("x", "y", "addend", "gamma", "beta"), "*bf16") | wholes
        signature = {name: "constexpr" if name in constants else kinds.get(name, "i32") for name in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        assert triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["ptx"]


@kernels
def test_instance_norm_is_the_same():
    from model.triton_norm import applied, instance_affine

    x, norm = _map(), _filled(InstanceNorm(12))
    torch.testing.assert_close(applied(x, instance_affine(x, norm.weight, norm.bias)), norm(x), rtol=5e-5, atol=5e-5)


@kernels
@pytest.mark.parametrize("c", [3, 12, 96])
def test_lin_is_the_same_whatever_the_number_of_channels(c):
    from model.triton_norm import applied, layer_instance_affine

    x, norm = _map(c=c), _filled(LayerInstanceNorm(c))
    y = applied(x, layer_instance_affine(x, norm.rho, norm.weight, norm.bias))
    torch.testing.assert_close(y, norm(x), rtol=5e-5, atol=5e-5)


@kernels
def test_adalin_takes_scale_and_shift_of_each_picture():
    from model.triton_norm import applied, layer_instance_affine

    x, norm = _map(), _filled(AdaptiveLayerInstanceNorm(12))
    gamma, beta = torch.randn(2, 2, 12, device=DEVICE)
    y = applied(x, layer_instance_affine(x, norm.rho, gamma, beta))
    torch.testing.assert_close(y, norm(x, gamma, beta), rtol=5e-5, atol=5e-5)


@kernels
def test_a_nearly_constant_channel_does_not_cancel():
    from model.triton_norm import applied, instance_affine

    x, norm = 100 + 0.01 * _map(c=4), _filled(InstanceNorm(4))
    y = applied(x.contiguous(memory_format=torch.channels_last), instance_affine(x, norm.weight, norm.bias))
    torch.testing.assert_close(y, norm(x.double()).float(), rtol=0.02, atol=0.02)


@kernels
def test_the_sums_of_a_picture_do_not_depend_on_the_others():
    from model.triton_norm import instance_affine

    x, norm = _map(n=3), _filled(InstanceNorm(12))
    together = torch.stack(instance_affine(x, norm.weight, norm.bias))
    alone = torch.stack(instance_affine(x[1:2], norm.weight, norm.bias))
    assert torch.equal(together[:, 1:2], alone)


@kernels
@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_activation_and_padding_are_done_on_the_way(mode):
    from model.triton_norm import applied

    x = _map()
    scale, shift = torch.randn(2, 2, 12, device=DEVICE)
    y = applied(x, (scale, shift), relu=True, margin=3, reflects=mode == "reflect")
    plain = F.relu(x * scale[..., None, None] + shift[..., None, None])
    torch.testing.assert_close(y, F.pad(plain, (3, 3, 3, 3), mode=mode), rtol=1e-6, atol=1e-6)
    assert y.is_contiguous(memory_format=torch.channels_last)


@kernels
def test_phased_maps_are_normalised_and_laid_out_as_the_maps_they_stand_for():
    from model.triton_norm import applied, layer_instance_affine

    phased, norm = _map(c=4 * 12, h=6, w=5), _filled(LayerInstanceNorm(12))
    x = torch.empty(2, 12, 10, 8, device=DEVICE)
    for p in range(2):
        for q in range(2):
            channels = slice((2 * p + q) * 12, (2 * p + q + 1) * 12)
            x[:, :, p::2, q::2] = phased[:, channels, p : p + 5, q : q + 4]
    affine = layer_instance_affine(phased, norm.rho, norm.weight, norm.bias, is_phased=True)
    y = applied(phased, affine, relu=True, margin=1, is_phased=True)
    torch.testing.assert_close(y, F.pad(F.relu(norm(x)), (1,) * 4, mode="reflect"), rtol=5e-5, atol=5e-5)


@kernels
def test_the_addend_may_be_the_inside_of_a_padded_map():
    from model.triton_norm import applied

    x, padded = _map(), _map(h=20, w=19)
    scale, shift = torch.randn(2, 2, 12, device=DEVICE)
    inside = padded[:, :, 1:-1, 1:-1]
    y = applied(x, (scale, shift), addend=inside, margin=1)
    wanted = F.pad(x * scale[..., None, None] + shift[..., None, None] + inside, (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(y, wanted, rtol=1e-6, atol=1e-6)


@kernels
def test_bfloat16_maps_are_rounded_once():
    from model.triton_norm import applied, instance_affine

    x, norm = _map(dtype=torch.bfloat16), _filled(InstanceNorm(12))
    y = applied(x, instance_affine(x, norm.weight, norm.bias))
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, norm(x.float()).to(torch.bfloat16)) or (y.float() - norm(x.float())).abs().max() < 0.02
