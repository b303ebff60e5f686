"""First weights from elsewhere: each translation takes those of the style that was named for it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model import GeneratorConfig, Style, StyleCard, build_generator
from trainer.config import NetworkConfig, RunConfig, TrainConfig
from trainer.errors import SnapshotError
from trainer.networks import build_networks
from trainer.run_folder import RunFolder
from trainer.snapshots import Snapshots
from trainer.start import architecture_of, put_start

TINY = TrainConfig(
    networks=NetworkConfig(image_size_px=32, base_channels=4, num_blocks=1, global_depth=3, local_depth=3)
)


def style(path: Path, *, channels: int = 4) -> Style:
    config = GeneratorConfig(base_channels=channels, num_blocks=1, image_size_px=64)
    made = Style(path.stem, StyleCard(), config, build_generator(config))
    made.save(path)
    return made


def test_each_way_begins_with_its_own_style_whatever_its_size(tmp_path: Path) -> None:
    there, back = style(tmp_path / "there.safetensors"), style(tmp_path / "back.safetensors")
    run = RunConfig(start_from=str(tmp_path / "there.safetensors"), start_back_from=str(tmp_path / "back.safetensors"))
    networks = build_networks(TINY, "cpu")
    put_start(networks, replace(TINY, run=run))
    assert torch.equal(networks.gen_a2b.draw.weight, there.generator.draw.weight)
    assert torch.equal(networks.gen_b2a.draw.weight, back.generator.draw.weight)


def test_a_way_that_is_not_named_keeps_the_weights_of_the_seed(tmp_path: Path) -> None:
    style(tmp_path / "there.safetensors")
    fresh, started = build_networks(TINY, "cpu"), build_networks(TINY, "cpu")
    put_start(started, replace(TINY, run=RunConfig(start_from=str(tmp_path / "there.safetensors"))))
    assert torch.equal(fresh.gen_b2a.draw.weight, started.gen_b2a.draw.weight)
    assert not torch.equal(fresh.gen_a2b.draw.weight, started.gen_a2b.draw.weight)


def test_a_style_of_another_width_is_refused_for_either_way(tmp_path: Path) -> None:
    style(tmp_path / "wide.safetensors", channels=8)
    for run in (
        RunConfig(start_from=str(tmp_path / "wide.safetensors")),
        RunConfig(start_back_from=str(tmp_path / "wide.safetensors")),
    ):
        with pytest.raises(SnapshotError, match="channels"):
            put_start(build_networks(TINY, "cpu"), replace(TINY, run=run))


def test_a_run_lends_its_way_back_and_its_discriminators(tmp_path: Path) -> None:
    there, lender = style(tmp_path / "there.safetensors"), replace(TINY, run=RunConfig(seed=5))
    lent, folder = build_networks(lender, "cpu"), RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.config_file.write_text("{}")
    Snapshots(folder.snapshots, keep=1).save({"networks": lent.state_dict()}, 3, architecture_of(lender))
    run = RunConfig(start_from=str(tmp_path / "there.safetensors"), start_back_from=str(folder.path))
    networks = build_networks(TINY, "cpu")
    put_start(networks, replace(TINY, run=run))
    assert torch.equal(networks.gen_a2b.draw.weight, there.generator.draw.weight)
    assert torch.equal(networks.gen_b2a.draw.weight, lent.gen_b2a.draw.weight)
    assert torch.equal(networks.disc_global_b.judge.weight, lent.disc_global_b.judge.weight)
