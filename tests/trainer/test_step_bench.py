"""The training benchmark compares like with like, and says so."""

import json

import pytest
import torch
from click.testing import CliRunner

import run as command_line
from pipeline.cli.bench import bench
from trainer import step_bench
from trainer.malloc import keep_freed_memory
from trainer.step_bench import Figures, StepBenchSettings, loss_table, measure_steps, speed_table
from trainer.step_contenders import official, ours, random_batch, start_networks, step_config

CPU = torch.device("cpu")
LOSSES = ("discriminator", "generator", "adversarial", "cycle", "identity", "cam")


def figures(*secs: float, flops: int = 0, losses: dict[str, float] | None = None) -> Figures:
    return Figures(losses or {"generator": 1.0}, secs, flops, None)


def test_our_first_losses_are_those_of_the_official_step():
    config = step_config(4, 96, batch_size=1)
    start, batch = start_networks(config, CPU), random_batch(config, CPU)
    wanted = official(start, config, batch).step()
    exact, rounded = (ours(start, config, batch, precision).step() for precision in ("fp32", "bf16"))
    assert tuple(wanted) == LOSSES
    for name, loss in wanted.items():
        # The official step iterates its spectral norms between the phases, too.
        assert exact[name] == pytest.approx(loss, rel=1e-3 if name == "adversarial" else 1e-5), name
        assert rounded[name] == pytest.approx(loss, rel=5e-3), name
        assert rounded[name] != exact[name], name


def test_contenders_leave_the_first_weights_to_each_other():
    config = step_config(4, 96, batch_size=1)
    start, batch = start_networks(config, CPU), random_batch(config, CPU)
    before = {name: p.clone() for name, p in start.gen_a2b.named_parameters()}
    ours(start, config, batch, "fp32").step()
    official(start, config, batch).step()
    assert all(torch.equal(p, before[name]) for name, p in start.gen_a2b.named_parameters())


def test_ratios_are_medians_of_the_rounds_ratios():
    """A slow round that hits all contenders alike changes nothing."""
    table = speed_table(
        {
            "official": figures(4, 40, 6),
            "enhanced": figures(3, 30, 3),
            "ours, bf16": figures(1, 10, 2, flops=10**12),
        },
        StepBenchSettings(),
        batch_size=2,
        peak=2e12,
        note="",
    )
    name, ms, pictures_per_sec, by_official, by_enhanced, gflop, share, _ = table.rows[2]
    assert (name, ms, pictures_per_sec) == ("ours, bf16", 2000, 1.0)
    assert by_official == "4.00 (3.00-4.00)"
    assert by_enhanced == "3.00 (1.50-3.00)"
    assert (gflop, share) == (1000, 25)


def test_losses_are_compared_in_percent_of_the_official_ones():
    table = loss_table(
        {
            "official": figures(1, losses={"cycle": 20.0}),
            "ours, bf16": figures(1, losses={"cycle": 19.9}),
        }
    )
    assert table.rows[0][:3] == ("cycle", 20.0, 19.9)
    assert table.rows[0][3] == pytest.approx(0.5)


def test_every_contender_is_measured_in_every_round():
    threads, told = torch.get_num_threads(), []
    settings = StepBenchSettings(channels=4, size_px=96, rounds=1, threads=1)
    speed, losses = measure_steps(settings, lambda done, total: told.append((done, total)))
    assert [row[0] for row in speed.rows] == ["official, fp32", "enhanced-UGATIT, fp32", "ours, fp32", "ours, bf16"]
    official_flops, enhanced_flops, *own_flops = (row[5] for row in speed.rows)
    assert official_flops > enhanced_flops
    assert own_flops[0] == own_flops[1]
    assert speed.rows[0][3] == "1.00 (1.00-1.00)"
    assert "1 threads" in speed.note
    assert [row[0] for row in losses.rows] == list(LOSSES)
    assert told == [(i + 1, 16) for i in range(16)]
    assert torch.get_num_threads() == threads


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    assert not keep_freed_memory()


def test_the_command_shows_the_tables_and_passes_its_options_on(monkeypatch):
    given = []
    monkeypatch.setattr(
        step_bench, "measure_steps", lambda settings, on_step: given.append(settings) or [loss_table(TWO)]
    )
    arguments = ["--json", "bench", "--training", "--channels", "8", "--batch", "1", "--batch", "4", "--rounds", "2"]
    result = CliRunner().invoke(
        command_line.cli, arguments, obj=command_line.Globals(measure_training=command_line._measure_training)
    )
    assert result.exit_code == 0, result.output
    [section] = json.loads(result.stdout)["sections"]
    assert section["name"] == "training"
    assert section["tables"][0]["rows"][0][0] == "generator"
    assert given == [StepBenchSettings(channels=8, batches=(1, 4), rounds=2, device="auto")]


TWO = {"official": figures(1), "ours, bf16": figures(1)}


def test_the_command_measures_one_thing_at_a_time():
    result = CliRunner().invoke(bench, ["--quality", "--training"], obj=command_line.Globals())
    assert result.exit_code == command_line.EXIT_USAGE
    assert "not both" in result.output
