"""Options of `train`: made from the config, counted in one order, checked against each other."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from trainer.checks import check_config, smallest_side_px
from trainer.config import SECTIONS, TrainConfig, merged
from trainer.errors import TrainConfigError
from trainer.options import (
    HEADINGS,
    SectionedCommand,
    flag_of,
    given_values,
    read_config_file,
    resolve_config,
    resume_config,
    train_options,
)
from trainer.presets import PRESETS


@click.command(cls=SectionedCommand)
@train_options
@click.pass_context
def echo(context, **_):
    click.echo(json.dumps(given_values(context)))


def given(*arguments: str, **variables: str):
    result = CliRunner().invoke(echo, arguments, env=variables, auto_envvar_prefix="U")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_every_field_is_an_option_under_the_heading_of_its_section() -> None:
    text = CliRunner().invoke(echo, ["--help"], terminal_width=150).output
    for section, heading in HEADINGS.items():
        part = text.partition(f"\n{heading}:\n")[2].partition("\n\n")[0]
        for f in fields(SECTIONS[section]):
            assert f"  {flag_of(section, f.name)} " in part, f.name


def test_no_flag_means_two_fields() -> None:
    flags = [flag_of(section, f.name) for section in HEADINGS for f in fields(SECTIONS[section])]
    assert len(flags) == len(set(flags))


def test_only_what_was_said_counts_as_given() -> None:
    assert given() == {}
    assert given("--size", "64", "--no-spectral-norm") == {
        "networks": {"image_size_px": 64, "use_spectral_norm": False}
    }
    assert given(U_STEPS="7") == {"run": {"steps": 7}}


def test_a_value_out_of_bounds_names_its_option() -> None:
    result = CliRunner().invoke(echo, ["--flip", "1.5"])
    assert result.exit_code == 2
    assert "--flip" in result.output


def test_flags_win_over_the_file_that_over_the_preset_that_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("[networks]\nbase_channels = 24\nnum_blocks = 3\n")
    config = resolve_config("tiny", file, {"networks": {"num_blocks": TrainConfig().networks.num_blocks}})
    assert config.networks.image_size_px == PRESETS["tiny"].values["networks"]["image_size_px"]
    assert config.networks.base_channels == 24
    assert config.networks.num_blocks == TrainConfig().networks.num_blocks
    assert config.objective == TrainConfig().objective


def test_a_file_may_name_its_preset(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('preset = "full"\n')
    assert resolve_config(None, file, {}).networks.head == "full"


def test_the_config_of_a_run_reproduces_it(tmp_path: Path) -> None:
    config = resolve_config("face-keep-background", None, {"run": {"seed": 5}})
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"config": config.to_dict(), "found": {}}))
    assert resolve_config(None, file, {}) == config


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[network]\nsize = 1", "section 'network'"),
        ("[networks]\nsize = 1", "no 'size'"),
        ("[run]\nsteps = 0", "run.steps is 0"),
        ("[run]\nsteps = true", "run.steps is True"),
        ("steps =", "cannot be read"),
        ('preset = "huge"', "no preset 'huge'"),
    ],
)
def test_a_fault_in_a_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "my.toml"
    file.write_text(text)
    with pytest.raises(TrainConfigError, match=named):
        resolve_config(None, file, {})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainConfigError, match=r"no\.toml"):
        read_config_file(tmp_path / "no.toml")


def test_a_run_that_goes_on_may_last_longer_but_not_become_another() -> None:
    config = TrainConfig()
    assert resume_config(config, {"run": {"steps": 5, "device": "cpu"}}).run.steps == 5
    assert resume_config(config, {"optimizer": {"batch_size": 1}}) == config  # said, but the same
    with pytest.raises(TrainConfigError, match=r"--batch-size is 1 .* cannot become 2"):
        resume_config(config, {"optimizer": {"batch_size": 2}})


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_sense(name: str) -> None:
    check_config(resolve_config(name, None, {}))


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"networks": {"image_size_px": 66}}, ["--size"]),
        ({"networks": {"image_size_px": 64}}, ["--global-depth", "96"]),
        ({"networks": {"has_input_candidate": True}}, ["--input-candidate", "--num-masks"]),
        ({"objective": {"mask_cam_input": True, "mask_cam_features": True}}, ["--mask-cam-input"]),
        ({"objective": {"mask_cam_input": True}, "losses": {"disc_cam": 0.0}}, ["--disc-cam"]),
        ({"objective": {"hard_mask": True}}, ["--hard-mask", "--background"]),
        ({"run": {"pair_steps": 10}}, ["--pair-steps", "--pairs"]),
        ({"data": {"pairs": "x"}}, ["--pairs", "--pair-steps"]),
        ({"data": {"pairs": "x"}, "run": {"pair_steps": 10, "steps": 5}}, ["--pair-steps is 10", "has 5"]),
    ],
)
def test_a_contradiction_is_named_by_its_flags(values, flags) -> None:
    with pytest.raises(TrainConfigError) as told:
        check_config(merged(TrainConfig(), values, source="test"))
    assert all(flag in str(told.value) for flag in flags)


def test_all_contradictions_are_told_at_once() -> None:
    values = {"networks": {"image_size_px": 66}, "run": {"pair_steps": 10}}
    with pytest.raises(TrainConfigError, match=r"--size.*; --pair-steps"):
        check_config(merged(TrainConfig(), values, source="test"))


@pytest.mark.parametrize("depth", [3, 4, 5, 6, 7])
def test_the_smallest_picture_of_a_discriminator_is_the_smallest_it_takes(depth: int) -> None:
    import torch

    from model import DiscriminatorConfig, build_discriminator

    network = build_discriminator(DiscriminatorConfig(base_channels=1, depth=depth))
    side = smallest_side_px(depth)
    network(torch.zeros(1, 3, side, side))
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, 3, side - 4, side - 4))
