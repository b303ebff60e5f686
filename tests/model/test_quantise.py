"""Generators in 8 bits: what is kept, what is refused, and what an engine makes of it."""

import importlib.util

import pytest
import torch

from model import DeviceError, load_engine
from model import quantise as quantise_module
from model.errors import QuantisationError
from model.fast_generator import FastGenerator
from model.openvino_runtime import convert
from model.quantise import FLOAT_LAYERS, quantise, require_nncf
from tests.model.networks import random_crops, tiny_style

needs_nncf = pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="NNCF is not installed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def smooth_crops(count, seed=3):
    """Crops without the noise that no calibration covers: N3SS."""
    small = random_crops(count, 8, seed)
    return torch.nn.functional.interpolate(small, size=32, mode="bilinear")


@pytest.fixture
def skips_nncf(monkeypatch):
    """Stands in for NNCF: gives the network back as it is."""
    monkeypatch.setattr(quantise_module, "_quantised", lambda model, crops: model)
    monkeypatch.setattr(quantise_module.importlib.util, "find_spec", lambda name: object())


@needs_nncf
@pytest.mark.slow
def test_a_quantised_style_is_kept_and_used_by_an_engine():
    style, crops = tiny_style(), smooth_crops(20)
    made = quantise(style, crops[:16], crops[16:])
    engine = load_engine(style, device="cpu", precision="int8")
    assert 40 <= made.error.psnr_db < 100, "it is not the float network"
    assert (engine.name, engine.precision) == ("openvino", "int8")
    assert (engine.psnr_db, engine.max_error) == (made.error.psnr_db, made.error.max_error)
    with torch.no_grad():
        wanted = style.generator(crops[16:]).image
    assert (engine(crops[16:]) - wanted).abs().max() * 127.5 == pytest.approx(made.error.max_error, abs=0.1)
    torch.testing.assert_close(engine(crops[16:])[:1], engine(crops[16:17]), atol=0, rtol=0)


@needs_nncf
@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"use_scse": True, "num_masks": 2}, {"head_size": None}, {"up_sampling": "transposed"}]
)
def test_all_kinds_of_generators_can_be_quantised(changes):
    crops = smooth_crops(12)
    assert quantise(tiny_style(**changes), crops[:10], crops[10:]).error.psnr_db >= 40


def test_what_is_kept_is_told_with_its_speed_and_its_worst_crop(skips_nncf):
    crops = smooth_crops(10)
    made = quantise(tiny_style(), crops[:8], crops[8:])
    assert made.times["fp32"] > 0
    assert made.secs > 0
    assert made.worst_psnr_db <= made.error.psnr_db + 3


def test_a_network_that_is_too_far_off_is_not_kept(skips_nncf, monkeypatch):
    style, crops = tiny_style(), smooth_crops(10)
    monkeypatch.setattr(quantise_module, "MIN_INT8_PSNR_DB", 200.0)
    with pytest.raises(QuantisationError, match=r"'tiny' in int8 is .* dB from fp32 .* was not kept"):
        quantise(style, crops[:8], crops[8:])
    with pytest.raises(DeviceError, match="quantise tiny INPUT"):
        load_engine(style, device="cpu", precision="int8")


def test_without_calibration_the_engine_says_what_to_do():
    with pytest.raises(DeviceError, match=r"'tiny' was not quantised here; `run.py styles quantise tiny INPUT"):
        load_engine(tiny_style(), device="cpu", precision="int8")


def test_another_style_does_not_take_what_was_kept(skips_nncf):
    crops = smooth_crops(10)
    quantise(tiny_style(), crops[:8], crops[8:])
    with pytest.raises(DeviceError, match="was not quantised"):
        load_engine(tiny_style(use_scse=True), device="cpu", precision="int8")


def test_too_few_crops_are_refused(skips_nncf):
    crops = smooth_crops(10)
    with pytest.raises(QuantisationError, match="there are 3 crops; at least 8"):
        quantise(tiny_style(), crops[:3], crops[3:])


def test_a_missing_nncf_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(quantise_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(QuantisationError, match=r"pip install '\.\[int8\]'"):
        require_nncf()


def test_without_a_cache_folder_there_is_nothing_to_keep_it_in(skips_nncf, monkeypatch):
    monkeypatch.setenv("UGATIT_CACHE", "")
    with pytest.raises(QuantisationError, match="UGATIT_CACHE is empty"):
        require_nncf()


def test_what_fails_in_nncfs_process_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(quantise_module, "__file__", str(tmp_path / "quantise.py"))
    (tmp_path / "quantise_worker.py").write_text("raise RuntimeError('no such thing')")
    with pytest.raises(QuantisationError, match=r"could not quantise the generator: RuntimeError: no such thing$"):
        quantise_module._run_worker(tmp_path / "job.json")


def test_the_first_convolution_the_head_and_gates_stay_in_float():
    style = tiny_style(use_scse=True, num_masks=2)
    model = convert(FastGenerator(style.generator), [1, 3, 32, 32])
    names = [operation.get_friendly_name() for operation in model.get_ops()]
    kept = quantise_module._float_layers(model, names)
    parts = {FLOAT_LAYERS.search(name).group(1) for name in kept}
    assert parts == {"down.0", "head", "scse", "score.2"}
    assert not [name for name in kept if ".convs." in name or ".merge" in name]


def test_an_engine_tells_two_calibrations_apart(skips_nncf, monkeypatch):
    style, crops = tiny_style(), smooth_crops(10)
    quantise(style, crops[:8], crops[8:])
    first = load_engine(style, device="cpu", precision="int8")
    monkeypatch.setattr(quantise_module, "_quantised", lambda model, crops: _renamed(model))
    quantise(style, crops[:8], crops[8:])
    second = load_engine(style, device="cpu", precision="int8")
    assert len({first.calibration, second.calibration, ""}) == 3
    assert first.key != second.key
    assert not load_engine(style, device="cpu", precision="fp32").calibration


def _renamed(model):
    model.set_friendly_name("another")
    return model
