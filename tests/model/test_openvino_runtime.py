"""Networks run with OpenVINO give what PyTorch gives, and start from the cache without being converted again."""

import os
import threading

import pytest
import torch
from torch import nn

from model import DeviceError
from model import openvino_runtime as runtime
from model.openvino_cache import cache_folder, read_cached, write_cached
from model.openvino_runtime import compile_network


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UGATIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Two(nn.Module):
    """Gives two tensors."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        return y, y.mean((2, 3))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Two()


def inputs(count, seed=0):
    return torch.rand(count, 3, 16, 12, generator=torch.Generator().manual_seed(seed))


def assert_alike(given, wanted):
    assert len(given) == len(wanted)
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other.detach(), atol=1e-5, rtol=1e-5)


def test_it_gives_what_pytorch_gives(network):
    run = compile_network(network, inputs(2), key="a")
    assert_alike(run(inputs(2, 1)), network(inputs(2, 1)))
    assert network.training
    assert network.conv.weight.requires_grad


def test_results_are_not_overwritten_by_the_next_call(network):
    run = compile_network(network, inputs(1), key="a")
    first = run(inputs(1, 1))
    kept = [output.clone() for output in first]
    run(inputs(1, 2))
    assert all(torch.equal(one, other) for one, other in zip(first, kept, strict=True))


def test_any_number_of_inputs_gives_what_each_gives_alone(network):
    run = compile_network(network, inputs(1), key="a", dynamic_batch=True)
    together = run(inputs(5))
    assert_alike(together, network(inputs(5)))
    for i in range(5):
        assert all(torch.equal(t[i : i + 1], o) for t, o in zip(together, run(inputs(5)[i : i + 1]), strict=True))
    assert [len(output) for output in run(inputs(0))] == [0, 0]


def test_memory_format_does_not_matter(network):
    run = compile_network(network, inputs(1), key="a")
    channels_last = inputs(1).contiguous(memory_format=torch.channels_last)
    assert torch.equal(run(inputs(1))[0], run(channels_last)[0])


def test_another_shape_is_refused_by_name(network):
    run = compile_network(network, inputs(1), key="a")
    with pytest.raises(ValueError, match=r"shape \(2, 3, 16, 12\); this network was compiled for \(1, 3, 16, 12\)"):
        run(inputs(2))


def test_threads_that_call_at_once_get_their_own_results(network):
    run = compile_network(network, inputs(1), key="a")
    given = {}
    workers = [threading.Thread(target=lambda i=i: given.update({i: run(inputs(1, i))})) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(8):
        assert_alike(given[i], network(inputs(1, i)))


def test_one_and_two_threads_give_the_same_bits(network):
    one, two = (compile_network(network, inputs(1), key="a", threads=n) for n in (1, 2))
    assert torch.equal(one(inputs(1))[0], two(inputs(1))[0])


def test_calls_of_several_threads_run_at_once_and_do_not_mix(network):
    run = compile_network(network, inputs(1), key="a", threads=2, streams=2)
    wanted, got = [network(inputs(1, seed)) for seed in range(8)], {}
    threads = [threading.Thread(target=lambda s=seed: got.update({s: run(inputs(1, s))})) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, outputs in got.items():
        assert_alike(outputs, wanted[seed])
    assert len(got) == 8


def test_a_second_start_converts_nothing(network, monkeypatch):
    wanted = compile_network(network, inputs(1), key="a")(inputs(1))
    monkeypatch.setattr(runtime, "convert", lambda *_: pytest.fail("converted again"))
    again = compile_network(network, inputs(1), key="a")(inputs(1))
    assert all(torch.equal(one, other) for one, other in zip(again, wanted, strict=True))


@pytest.mark.parametrize("change", [{"key": "b"}, {"precision": "bf16"}, {"example": inputs(2)}])
def test_other_weights_shapes_and_precisions_are_kept_apart(network, folder, change):
    compile_network(network, **{"example": inputs(1), "key": "a"})
    compile_network(network, **{"example": inputs(1), "key": "a", **change})
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:200] + b"x" + b[201:]])
def test_a_damaged_file_costs_a_warning_and_is_made_anew(network, folder, caplog, damage):
    compile_network(network, inputs(1), key="a")
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert_alike(compile_network(network, inputs(1), key="a")(inputs(1)), network(inputs(1)))
    assert "is damaged; it is made anew" in caplog.text
    caplog.clear()
    compile_network(network, inputs(1), key="a")
    assert not caplog.records


def test_a_file_that_openvino_does_not_take_costs_a_warning(network, folder, caplog):
    compile_network(network, inputs(1), key="a")
    (path,) = folder.iterdir()
    write_cached(path.stem, b"something else")
    assert_alike(compile_network(network, inputs(1), key="a")(inputs(1)), network(inputs(1)))
    assert "it is compiled anew" in caplog.text


def test_a_folder_that_cannot_be_written_costs_a_warning(network, folder, caplog):
    folder.write_text("a file is in the way")
    assert_alike(compile_network(network, inputs(1), key="a")(inputs(1)), network(inputs(1)))
    assert "UGATIT_CACHE can name another folder" in caplog.text


def test_an_empty_name_keeps_nothing(network, monkeypatch, caplog):
    monkeypatch.setenv("UGATIT_CACHE", "")
    assert_alike(compile_network(network, inputs(1), key="a")(inputs(1)), network(inputs(1)))
    assert cache_folder() is None
    assert not caplog.records


def test_a_network_that_cannot_be_converted_is_reported(network):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.svd(x)

    with pytest.raises(DeviceError, match="OpenVINO cannot run this network"):
        compile_network(Odd(), inputs(1), key="odd")


def test_the_folder_loses_what_is_old_or_too_much(folder, monkeypatch):
    for i, name in enumerate("abcd"):
        write_cached(name, b"x" * 100)
        os.utime(folder / f"{name}.cached", (1e9 + i, 1e9 + i) if name == "a" else None)
    (folder / "notes.txt").write_text("of somebody else")
    write_cached("e", b"x" * 100)
    assert read_cached("a") is None
    os.utime(folder / "b.cached", (2e9, 2e9))  # used last
    monkeypatch.setattr("model.openvino_cache.MAX_BYTES", 300)
    write_cached("f", b"x" * 100)
    assert {p.name for p in folder.iterdir()} == {"b.cached", "f.cached", "notes.txt"}


def test_what_a_dead_process_left_is_removed(folder):
    write_cached("a", b"1")
    left = folder / ".b.cached.k3j"
    left.write_bytes(b"half")
    write_cached("c", b"1")
    assert left.exists()  # it may still be written
    os.utime(left, (1e9, 1e9))
    write_cached("d", b"1")
    assert not left.exists()
