"""The CUDA engine fills up recorded batches, on the CPU with recording left out; on a GPU with all of it."""

import logging

import pytest
import torch

from model import TorchEngine, load_engine
from model import engine as engine_module
from model.cuda_engine import CudaEngine, cuda_engines, load_cuda_engine
from model.engine import compare
from tests.model.networks import random_crops, tiny_generator, tiny_style

CPU = torch.device("cpu")
NEAR_DB = 42


class _Recorder:
    """Runs what it should record; knows the sizes, and may find no memory for large ones."""

    def __init__(self, most=1000):
        self.shapes, self.most = [], most

    def __call__(self, network, crops):
        if len(crops) > self.most:
            raise torch.OutOfMemoryError("too large")
        self.shapes.append(tuple(crops.shape))
        return lambda: network(crops)


def _engine(network=None, **options):
    network = network or _halved
    return CudaEngine(network, "cuda", device=CPU, precision="fp32", size_px=32, **{"record": _Recorder()} | options)


def _halved(crops):
    return crops / 2


@pytest.fixture(params=["on the device", "through pinned memory"])
def place(request, monkeypatch):
    monkeypatch.setattr(CudaEngine, "_is_here", lambda self, crops: request.param == "on the device")


@pytest.mark.parametrize("count", [0, 1, 3, 32, 33, 100])
def test_any_number_of_crops_goes_through_recorded_batches(place, count):
    crops = random_crops(count)
    assert torch.equal(_engine()(crops), crops / 2)


def test_several_calls_do_not_see_each_others_crops(place):
    engine, first, second = _engine(), random_crops(5, seed=1), random_crops(3, seed=2)
    kept = engine(first)
    engine(second)
    assert torch.equal(kept, first / 2)


def test_batches_are_recorded_once_and_in_few_sizes():
    recorder = _Recorder()
    engine = _engine(record=recorder)
    for count in range(1, 70):
        engine(random_crops(count))
    assert [shape[0] for shape in recorder.shapes] == [32, 16, 8, 4, 2, 1]


def test_larger_pictures_are_taken_fewer_at_once_and_few_shapes_are_kept():
    recorder = _Recorder()
    engine = _engine(record=recorder)
    for side in (64, 96, 128, 160, 64):
        engine(random_crops(2, size_px=side))
    assert max(shape[0] for shape in recorder.shapes if shape[2] == 64) == 8
    assert max(shape[0] for shape in recorder.shapes if shape[2] == 160) == 1
    assert len([shape for shape in recorder.shapes if shape[2] == 64]) == 2 * 4  # it was forgotten meanwhile


def test_sizes_that_compute_otherwise_are_filled_up_to_those_that_do_not():
    def moody(crops):
        return crops + (1e-6 if len(crops) < 8 else 0)

    engine, crops = _engine(moody), random_crops(9)
    assert sorted(engine._batches_for((32, 32))) == [8, 16, 32]
    assert torch.equal(engine(crops)[:1], engine(crops[:1]))


def test_too_little_memory_halves_the_batches_once(caplog):
    engine = _engine(record=_Recorder(most=5))
    crops = random_crops(9)
    assert torch.equal(engine(crops), crops / 2)
    assert engine.batch_size == 4
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * 3
    assert "32 pictures of 32x32 are too many for cpu at once" in caplog.text
    engine(crops)
    assert len(caplog.records) == 3


def test_memory_that_ends_while_recording_is_seen_behind_the_error_about_the_recording(caplog):
    def record(network, crops):
        if len(crops) == 1:
            return lambda: network(crops)
        try:
            raise torch.OutOfMemoryError("too large")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")  # as capture_end does

    assert torch.equal(_engine(record=record)(random_crops(2)), random_crops(2) / 2)


def test_other_errors_and_memory_for_not_even_one_are_raised():
    def broken(network, crops):
        raise RuntimeError("no kernel")

    with pytest.raises(RuntimeError, match="no kernel"):
        _engine(record=broken)(random_crops(1))
    with pytest.raises(torch.OutOfMemoryError):
        _engine(record=_Recorder(most=0), sizes=(1,))(random_crops(1))


def test_what_is_not_a_number_comes_out_and_does_not_disturb_the_others(place):
    crops = random_crops(3)
    crops[1] = torch.nan
    output = _engine()(crops)
    assert output[1].isnan().all()
    assert torch.equal(output[[0, 2]], crops[[0, 2]] / 2)


def test_it_runs_a_generator_as_the_plain_engine_does():
    generator = tiny_generator(head_size=1)
    engine = _engine(lambda crops: generator(crops).image)
    wanted = TorchEngine(generator, device=CPU)(random_crops(3))
    assert compare(engine(random_crops(3)), wanted)[1] > 100
    assert engine.secs_per_crop() > 0


@pytest.mark.parametrize(("asked", "made"), [("auto", "cuda"), ("compiled", "compiled"), ("torch", "torch")])
def test_a_cuda_device_gets_the_recorded_engine_unless_another_is_asked_for(asked, made, monkeypatch):
    def load(generator, *, device, precision, size_px, is_compiled):
        assert (device.type, precision, size_px) == ("cuda", "bf16", 32)
        engine = _engine(lambda crops: generator(crops).image)
        engine.name = "compiled" if is_compiled else "cuda"
        return engine

    monkeypatch.setattr(engine_module, "load_cuda_engine", load)
    monkeypatch.setattr(engine_module, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(engine_module, "TorchEngine", lambda generator, **options: TorchEngine(generator, device=CPU))
    assert load_engine(tiny_style(), device="cuda", precision="bf16", engine=asked).name == made


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_candidate_draws_on_a_gpu_what_the_cpu_draws(precision):
    generator, crops = tiny_generator(head_size=1), random_crops(40)
    wanted = TorchEngine(generator, device=CPU)(crops)
    candidates = cuda_engines(generator, device=torch.device("cuda:0"), precision=precision, size_px=32)
    assert [c.name for c in candidates] == ["cuda", "cuda fused"]
    for engine in candidates:
        assert compare(engine(crops), wanted)[1] >= (70 if precision == "fp32" else NEAR_DB)
        assert torch.equal(engine(crops)[3:4], engine(crops[3:4]))
        assert torch.equal(engine(crops.cuda()).cpu(), engine(crops))


@pytest.mark.gpu
def test_a_compiled_engine_draws_the_same_on_a_gpu():
    generator, crops = tiny_generator(head_size=1), random_crops(3)
    wanted = TorchEngine(generator, device=CPU)(crops)
    engine = load_cuda_engine(generator, device=torch.device("cuda"), precision="bf16", size_px=32, is_compiled=True)
    assert (engine.name, engine.device) == ("compiled", "cuda:0")
    assert compare(engine(crops), wanted)[1] >= NEAR_DB
