"""Every engine gives what the style's generator gives, crop by crop, and tells how far it is from fp32."""

import logging

import pytest
import torch

from model import DeviceError, load_engine
from model import engine as engine_module
from model.deviation import MAX_ERROR_LEVELS, MIN_PSNR_DB, Deviation, compare, deviation, sample_crop
from model.devices import choose_device, choose_precisions, fast_precision
from model.engine import TorchEngine
from model.openvino_engine import OpenVinoEngine, keep_quantised
from model.openvino_runtime import convert, pack_model
from model.torch_engine import CompiledEngine
from tests.model.networks import random_crops, tiny_generator, tiny_style

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["torch fp32", "torch bf16", "openvino fp32", "openvino bf16"])
def engine(request, tmp_path_factory):
    name, precision = request.param.split()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UGATIT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return load_engine(tiny_style(), device="cpu", precision=precision, engine=name, threads=1)


def is_wide(engine):
    return engine.precision == "fp32"


def test_an_engine_gives_what_the_generator_gives(engine):
    with torch.no_grad():
        wanted = tiny_generator()(random_crops(2)).image
    largest, psnr_db = compare(engine(random_crops(2)), wanted)
    assert psnr_db >= (110 if engine.precision == "fp32" else MIN_PSNR_DB)
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
    assert (engine.name in ("torch", "openvino"), engine.device, engine.batch_size) == (True, "cpu", 1)
    assert 0 < engine.mean_error < engine.max_error <= (0.01 if is_wide(engine) else MAX_ERROR_LEVELS)
    assert (110 if is_wide(engine) else MIN_PSNR_DB) <= engine.psnr_db < (150 if is_wide(engine) else 90)


def test_pictures_of_other_sizes_may_come_between(engine):
    generator = tiny_generator()
    for size_hw in ((32, 32), (20, 48), (32, 32)):
        crops = torch.rand(1, 3, *size_hw) * 2 - 1
        with torch.no_grad():
            assert compare(engine(crops), generator(crops).image)[1] >= MIN_PSNR_DB
    with pytest.raises(ValueError, match="image is 30x32; use sides that are multiples of 4"):
        engine(random_crops(1)[:, :, :30])


def test_the_style_is_left_in_float32_and_trainable():
    style = tiny_style()
    load_engine(style, device="cpu", precision="bf16")
    assert all(p.dtype == torch.float32 and p.requires_grad for p in style.generator.parameters())


def test_norms_stay_float32_in_a_bf16_engine():
    network = TorchEngine(tiny_generator(), device=CPU, precision="bf16")._network._rewritten(False)
    assert network.merge.weight.dtype == torch.bfloat16
    assert network.up[0].norm.rho.dtype == torch.float32


@pytest.fixture
def far_off_in_bf16(monkeypatch):
    """Every engine but those in fp32 is too far off."""
    monkeypatch.setattr(engine_module, "choose_precisions", lambda name, device: ("bf16", "fp32"))
    found = {"bf16": Deviation(40.0, 30.0, 5.0), "fp32": Deviation(0.0, 150.0, 0.0)}
    monkeypatch.setattr(engine_module, "_measured", lambda engine, style: found[engine.precision])


def test_auto_goes_back_to_fp32_where_half_precision_is_too_far_off(far_off_in_bf16, caplog):
    engine = load_engine(tiny_style(), device="cpu")
    assert (engine.name, engine.precision) == ("openvino", "fp32")
    assert (
        "openvino bf16 on cpu differs from fp32 by up to 40.0 of 255 levels (30.0 dB); openvino fp32 is used instead"
        in (caplog.text)
    )


def test_a_precision_that_was_asked_for_is_kept_with_a_warning(far_off_in_bf16, monkeypatch, caplog):
    monkeypatch.setattr(engine_module, "choose_precisions", lambda name, device: ("bf16",))
    engine = load_engine(tiny_style(), device="cpu", precision="bf16")
    assert (engine.name, engine.precision, engine.mean_error) == ("openvino", "bf16", 5.0)
    assert [r.levelno for r in caplog.records] == [logging.WARNING]


def test_auto_goes_on_in_pytorch_where_openvino_does_not_run(monkeypatch, caplog):
    def fail(*args, **options):
        raise DeviceError("OpenVINO cannot run this network on this CPU: no module")

    monkeypatch.setattr("model.openvino_engine.open_network", fail)
    engine = load_engine(tiny_style(), device="cpu", precision="fp32")
    assert engine.name == "torch"
    assert "no module); torch fp32 is used instead" in caplog.text
    with pytest.raises(DeviceError, match=r"^OpenVINO cannot run this network on this CPU: no module$"):
        load_engine(tiny_style(), device="cpu", precision="fp32", engine="openvino")


def test_a_second_start_measures_and_converts_nothing(monkeypatch):
    first = load_engine(tiny_style(), device="cpu", precision="fp32")
    monkeypatch.setattr("model.openvino_engine.convert", lambda *_: pytest.fail("converted again"))
    monkeypatch.setattr(engine_module, "deviation", lambda *_: pytest.fail("measured again"))
    again = load_engine(tiny_style(), device="cpu", precision="fp32")
    assert (again.max_error, again.mean_error, again.psnr_db) == (first.max_error, first.mean_error, first.psnr_db)
    assert torch.equal(again(random_crops(1)), first(random_crops(1)))


def test_only_the_last_sizes_are_kept_in_memory(monkeypatch):
    engine = OpenVinoEngine(tiny_style(), threads=1)
    monkeypatch.setattr(engine, "_opened", lambda size_hw: lambda crops: (crops,))
    for side in (32, 36, 40, 44):
        engine(torch.zeros(1, 3, side, side))
    assert list(engine._networks) == [(36, 36), (40, 40), (44, 44)]


def test_int8_names_the_command_that_is_missing():
    with pytest.raises(DeviceError, match=r"style 'tiny' was not quantised here; `run.py styles quantise tiny "):
        load_engine(tiny_style(), device="cpu", precision="int8")
    with pytest.raises(DeviceError, match="precision 'int8' runs in OpenVINO on a CPU"):
        load_engine(tiny_style(), device="cpu", precision="int8", engine="torch")


def test_int8_runs_the_network_that_was_kept(caplog):
    class Darker(torch.nn.Module):
        def forward(self, image):
            return image * 0.5

    style = tiny_style("quantised")
    keep_quantised(style, pack_model(convert(Darker(), [1, 3, 32, 32])))
    engine = OpenVinoEngine(style, precision="int8", threads=1)
    torch.testing.assert_close(engine(random_crops(2)), random_crops(2) * 0.5, atol=1e-2, rtol=0)
    with torch.no_grad():
        wanted = style.generator(random_crops(1, 36)).image
    assert compare(engine(random_crops(1, 36)), wanted)[1] > MIN_PSNR_DB
    assert "Pictures of 36x36 are restyled in" in caplog.text


def test_without_a_compiler_pytorch_runs_as_it_is(monkeypatch, caplog):
    def compile_or_fail(network, **options):
        def run(crops):
            raise OSError("no C++ compiler was found\nmore lines")

        return run

    monkeypatch.setattr(torch, "compile", compile_or_fail)
    engine = load_engine(tiny_style(), device="cpu", precision="fp32", engine="compiled")
    assert engine.name == "torch"
    assert "compiled fp32 does not work on cpu (no C++ compiler was found); torch fp32 is used instead" in caplog.text


@pytest.mark.slow
def test_a_compiled_engine_gives_what_the_generator_gives():
    engine = CompiledEngine(tiny_generator(), device=CPU, size_px=32)
    with torch.no_grad():
        assert compare(engine(random_crops(3)), tiny_generator()(random_crops(3)).image)[1] >= 110


def test_unknown_engines_and_impossible_ones_are_refused(monkeypatch):
    with pytest.raises(DeviceError, match="engine 'onnx' is unknown; use auto, torch, compiled, openvino"):
        load_engine(tiny_style(), device="cpu", engine="onnx")
    monkeypatch.setattr(engine_module, "choose_device", lambda name: torch.device("cuda"))
    with pytest.raises(DeviceError, match="engine 'openvino' runs on a CPU, not on cuda"):
        load_engine(tiny_style(), device="cuda", engine="openvino")


def test_a_batch_too_large_for_the_device_is_halved_and_gives_the_same(caplog):
    engine, crops = TorchEngine(tiny_generator(), device=CPU), random_crops(7)
    wanted, network = engine(crops), engine._network

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
    with pytest.raises(DeviceError, match="precision 'fp8' is unknown; use auto, fp32, bf16, fp16 or int8"):
        load_engine(tiny_style(), device="cpu", precision="fp8")
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
    assert deviation(image, wanted).mean_error == pytest.approx(1 / 12)
    assert deviation(wanted * torch.nan, wanted) == (255, 0, 255)


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
