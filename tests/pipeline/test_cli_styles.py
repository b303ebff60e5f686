"""The `styles` commands: what they print, what they write, what they refuse."""

import json
from dataclasses import dataclass

import click
import pytest
import torch
from click.testing import CliRunner

from model import StyleFormatError, StyleNotFoundError, library, load_style
from model.errors import ExportError
from pipeline.cli.styles import styles
from pipeline.errors import OutputExistsError
from tests.model.networks import tiny_style
from tests.oracle import Fixture


@dataclass
class Globals:
    json: bool


def run(*arguments, as_json=False):
    result = CliRunner().invoke(styles, [str(a) for a in arguments], obj=Globals(as_json))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_json(*arguments):
    return json.loads(run(*arguments, as_json=True).stdout)


@pytest.fixture
def built_in(tmp_path, monkeypatch):
    """A folder of built-in styles that holds `ink`."""
    folder = tmp_path / "built_in"
    monkeypatch.setattr(library, "_BUILT_IN_FOLDER", folder)
    monkeypatch.delenv("UGATIT_STYLE_DIR", raising=False)
    tiny_style("Ink [bold]").save(folder / "ink.safetensors")
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "selfie.pt"
    torch.save({"genA2B": Fixture("g_seed_light1").state()}, path)
    return path


def test_list_shows_names_and_architectures(built_in):
    output = run("list").output
    assert "ink" in output
    assert "8 base channels" in " ".join(output.split())


def test_list_as_json_is_one_object(built_in):
    (record,) = run_json("list")["styles"]
    assert record["name"] == "ink"
    assert record["built_in"] is True
    assert record["parameters"] == sum(p.numel() for p in tiny_style().generator.parameters())
    assert record["template"] == "head"


def test_list_without_styles_says_where_they_go(built_in):
    (built_in / "ink.safetensors").unlink()
    assert "UGATIT_STYLE_DIR" in run("list").output
    assert run_json("list") == {"styles": []}


def test_show_tells_all_about_a_style_by_name_or_path(built_in):
    record = run_json("show", "ink")
    assert record["sha256"] == load_style("ink").sha256
    assert record["parameters"] == sum(record["parameters_by_part"].values())
    assert record["config"]["base_channels"] == 8
    assert record["name"] == "Ink [bold]"
    text = run("show", built_in / "ink.safetensors").output
    assert f"sha256: {record['sha256']}" in text
    assert "  base_channels: 8" in text


def test_show_of_an_unknown_style_raises_the_rooms_error(built_in):
    with pytest.raises(StyleNotFoundError, match="known names are: ink"):
        run("show", "oil")


def test_import_writes_a_style_with_the_given_card(checkpoint, tmp_path):
    target = tmp_path / "new.safetensors"
    output = run(
        "import",
        checkpoint,
        "-o",
        target,
        "--name",
        "Selfie",
        "--description",
        "Big eyes",
        "--template",
        "head",
        "--licence",
        "CC0-1.0",
    ).output
    style = load_style(target)
    assert (style.name, style.card.description, style.card.template, style.card.licence) == (
        "Selfie",
        "Big eyes",
        "head",
        "CC0-1.0",
    )
    assert "selfie.pt" in style.card.provenance
    assert "8 base channels, 2 blocks, light head of 1" in output


def test_import_names_the_style_after_the_file_and_the_template_after_the_project(checkpoint, tmp_path):
    record = run_json("import", checkpoint, "-o", tmp_path / "new.safetensors", "--image-size", 128)
    style = load_style(tmp_path / "new.safetensors")
    assert style.name == record["name"] == "new"
    assert style.card.template == "tight"
    assert style.card.crop_size_px == record["config"]["image_size_px"] == 128


def test_import_does_not_replace_a_file_unasked(checkpoint, tmp_path):
    target = tmp_path / "new.safetensors"
    target.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"new.safetensors' is there already"):
        run("import", checkpoint, "-o", target)
    assert target.read_text() == "mine"
    run("import", checkpoint, "-o", target, "--overwrite")
    assert load_style(target).name == "new"


def test_import_refuses_a_missing_network_and_an_unknown_template(checkpoint, tmp_path):
    with pytest.raises(StyleFormatError, match="genA2B_ema"):
        run("import", checkpoint, "-o", tmp_path / "new.safetensors", "--network", "genA2B_ema")
    result = run("import", checkpoint, "-o", tmp_path / "new.safetensors", "--template", "face")
    assert result.exit_code == click.UsageError.exit_code
    assert "'face' is none of head, tight" in result.output
    assert not (tmp_path / "new.safetensors").exists()


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
def test_export_writes_a_checked_network(built_in, tmp_path):
    record = run_json("export", "ink", "-o", tmp_path / "ink.pt")
    assert record["input_shape"] == ["N", 3, 32, 32]
    assert record["max_error"] < 1e-4
    assert torch.jit.load(tmp_path / "ink.pt")(torch.zeros(2, 3, 32, 32)).shape == (2, 3, 32, 32)
    with pytest.raises(OutputExistsError):
        run("export", "ink", "-o", tmp_path / "ink.pt")


def test_export_for_openvino_writes_two_files_and_replaces_neither_unasked(built_in, tmp_path):
    record = run_json("export", "ink", "-o", tmp_path / "ink.xml")
    assert record["format"] == "openvino"
    assert record["files"] == [str(tmp_path / "ink.xml"), str(tmp_path / "ink.bin")]
    assert record["max_error"] < 1e-4
    (tmp_path / "ink.xml").unlink()
    with pytest.raises(OutputExistsError, match=r"ink.bin' is there already"):
        run("export", "ink", "-o", tmp_path / "ink.xml")


def test_export_refuses_an_ending_that_does_not_fit_the_format(built_in, tmp_path):
    with pytest.raises(ExportError, match=r"end in .onnx"):
        run("export", "ink", "-o", tmp_path / "ink.pt", "--format", "onnx")
