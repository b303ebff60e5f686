"""Every engine gives what the style's generator gives, crop by crop, and tells how far it is from fp32."""

import logging

import pytest
import torch

from model import DeviceError, load_engine
from model import engine as engine_module
from model.devices import choose_device, choose_precisions, fast_precision
from model.engine import MAX_ERROR_LEVELS, MIN_PSNR_DB, PSNR_CEILING_DB, TorchEngine, compare, sample_crop
from tests.model.networks import random_crops, tiny_generator, tiny_style

CPU = torch.device("cpu")


@pytest.fixture(params=["fp32", "bf16"])
def engine(request):
    return load_engine(tiny_style(), device="cpu", precision=request.param)


def test_an_engine_gives_what_the_generator_gives(engine):
    with torch.no_grad():
        wanted = tiny_generator()(random_crops(2)).image
    largest, psnr_db = compare(engine(random_crops(2)), wanted)
    assert psnr_db >= (120 if engine.precision == "fp32" else MIN_PSNR_DB)
    assert largest <= (0.01 if engine.precision == "fp32" else MAX_ERROR_LEVELS)


def test_the_result_for_a_crop_does_not_depend_on_the_others(engine):
    crops = random_crops(5)
    together = engine(crops)
    assert all(torch.equal(together[i : i + 1], engine(crops[i : i + 1])) for i in range(5))


def test_any_number_of_crops_comes_back_as_float32_without_gradients(engine):
    for count in (0, 1, 70):
        output = engine(random_crops(count))
        assert output.shape == (count, 3, 32, 32)
        assert output.dtype == torch.float32
        assert not output.requires_grad


def test_the_input_stays_as_it_is(engine):
    crops = random_crops(2)
    engine(crops)
    assert torch.equal(crops, random_crops(2))


def test_memory_format_does_not_change_the_result(engine):
    crops = random_crops(1)
    assert torch.equal(engine(crops), engine(crops.contiguous(memory_format=torch.channels_last)))


def test_an_engine_says_what_it_is_and_how_exact(engine):
    assert (engine.name, engine.device) == ("torch", "cpu")
    if engine.precision == "fp32":
        assert (engine.max_error, engine.psnr_db) == (0, PSNR_CEILING_DB)
    else:
        assert 0 < engine.max_error <= MAX_ERROR_LEVELS
        assert MIN_PSNR_DB <= engine.psnr_db < 90


def test_the_style_is_left_in_float32_and_trainable():
    style = tiny_style()
    load_engine(style, device="cpu", precision="bf16")
    assert all(p.dtype == torch.float32 and p.requires_grad for p in style.generator.parameters())


def test_norms_stay_float32_in_a_bf16_engine():
    network = TorchEngine(tiny_generator(), device=CPU, precision="bf16")._network
    assert network.draw.weight.dtype == torch.bfloat16
    assert network.up[0].norm.rho.dtype == torch.float32


def test_auto_goes_back_to_fp32_where_half_precision_is_too_far_off(monkeypatch, caplog):
    monkeypatch.setattr(engine_module, "choose_precisions", lambda name, device: ("bf16", "fp32"))
    monkeypatch.setattr(engine_module, "MIN_PSNR_DB", 149.0)
    engine = load_engine(tiny_style(), device="cpu")
    assert engine.precision == "fp32"
    assert "differs from fp32 by up to" in caplog.text
    assert "fp32 is used instead" in caplog.text


def test_a_precision_that_was_asked_for_is_kept_with_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(engine_module, "MIN_PSNR_DB", 149.0)
    assert load_engine(tiny_style(), device="cpu", precision="bf16").precision == "bf16"
    assert [r.levelno for r in caplog.records] == [logging.WARNING]


def test_auto_goes_back_to_fp32_where_half_precision_does_not_run(monkeypatch, caplog):
    run = TorchEngine._run

    def run_or_fail(self, batch):
        if self.precision == "bf16":
            raise RuntimeError("no kernel")
        return run(self, batch)

    monkeypatch.setattr(TorchEngine, "_run", run_or_fail)
    monkeypatch.setattr(engine_module, "choose_precisions", lambda name, device: ("bf16", "fp32"))
    assert load_engine(tiny_style(), device="cpu").precision == "fp32"
    assert "bf16 does not work on cpu (no kernel); fp32 is used instead" in caplog.text
    monkeypatch.setattr(engine_module, "choose_precisions", lambda name, device: ("bf16",))
    with pytest.raises(DeviceError, match="bf16 does not work on cpu: no kernel"):
        load_engine(tiny_style(), device="cpu", precision="bf16")


def test_a_batch_too_large_for_the_device_is_halved_and_gives_the_same(caplog):
    engine, crops = TorchEngine(tiny_generator(), device=CPU), random_crops(7)
    wanted = engine(crops)
    network = engine._network

    def small_network(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("too large")
        return network(batch)

    engine._network, engine.batch_size = small_network, 32
    assert compare(engine(crops), wanted)[1] > 100
    assert engine.batch_size == 1  # 7, 3, 1
    assert "A batch of 7 crops is too large for cpu" in caplog.text


def test_auto_takes_the_fast_precision_of_this_machine():
    engine = load_engine(tiny_style(), device="cpu")
    assert engine.precision == fast_precision(CPU)


def test_a_cpu_without_amx_computes_in_fp32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert choose_precisions("auto", CPU) == ("fp32",)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert choose_precisions("auto", CPU) == ("bf16", "fp32")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert choose_precisions("auto", CPU) == ("fp32",)


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "wanted"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_cuda_then_mps_then_cpu(monkeypatch, has_cuda, has_mps, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert choose_device("auto").type == wanted


def test_a_device_that_is_not_there_is_named_with_what_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"device 'cuda:1' is not there.* finds 'cpu'"):
        load_engine(tiny_style(), device="cuda:1")
    with pytest.raises(DeviceError, match="device 'gpu' is unknown; use auto"):
        choose_device("gpu")


def test_an_unknown_or_useless_precision_is_refused():
    with pytest.raises(DeviceError, match="precision 'int8' is unknown; use auto, fp32, bf16, fp16"):
        load_engine(tiny_style(), device="cpu", precision="int8")
    with pytest.raises(DeviceError, match="'fp16' is slower than fp32 on a CPU"):
        load_engine(tiny_style(), device="cpu", precision="fp16")


def test_crops_of_another_shape_are_refused(engine):
    with pytest.raises(ValueError, match=r"shape \(3, 32, 32\), expected N3HW"):
        engine(random_crops(1)[0])


def test_compare_counts_grey_levels_and_decibels():
    wanted = torch.zeros(1, 3, 2, 2)
    image = wanted.clone()
    image[0, 0, 0, 0] = 2 / 255
    largest, psnr_db = compare(image, wanted)
    assert largest == pytest.approx(1)
    assert psnr_db == pytest.approx(48.13 + 10.79, abs=0.01)  # one level everywhere, and a twelfth of that
    assert compare(wanted * torch.nan, wanted) == (255, 0)


def test_the_test_crop_is_fixed_and_uses_the_range():
    crop = sample_crop(64)
    assert torch.equal(crop, sample_crop(64))
    assert crop.shape == (1, 3, 64, 64)
    assert -1 <= crop.min() < -0.7 < 0.4 < crop.max() <= 1


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_gives_what_the_cpu_gives(precision):
    engine = load_engine(tiny_style(), device="cuda", precision=precision)
    assert engine.psnr_db >= MIN_PSNR_DB
    assert engine(random_crops(70)).device == CPU
