"""Exported networks give what the style gives, in any batch size, and say what they are."""

import json
import os
import subprocess
import sys

import pytest
import torch

from model import export as export_module
from model.errors import ExportError
from model.export import DEFAULT_FORMAT, describe, export_style, exported_files, format_of
from model.export_formats import FORMATS, METADATA_NAME, OPENVINO_SECTION
from model.style import StyleCard
from tests.model.networks import random_crops, tiny_style

NAMES = {"torchscript": "tiny.out", "pt2": "tiny.out", "onnx": "tiny.onnx", "openvino": "tiny.xml"}
QUICK = ["torchscript", "pt2", "openvino"]  # the exporter of ONNX takes ten seconds or more for any network

KINDS = {
    "masks and scSE": {"use_scse": True, "num_masks": 2},
    "the input among the candidates": {"num_masks": 3, "has_input_candidate": True},
    "a full head": {"head_size": None},
    "a head of 2": {"head_size": 2},
    "transposed convolutions": {"up_sampling": "transposed"},
}

quiet_jit = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")


def check(tmp_path, file_format, kind):
    style, path = tiny_style(**KINDS[kind]), tmp_path / NAMES[file_format]
    error = export_style(style, path, file_format)
    network = FORMATS[file_format].read(path)
    assert error < 1e-4
    for count in (1, 3):
        crops = random_crops(count)
        with torch.no_grad():
            torch.testing.assert_close(network(crops), style.generator(crops).image, atol=1e-4, rtol=0)
    assert sorted(tmp_path.iterdir()) == sorted(exported_files(path, file_format))


@quiet_jit
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("file_format", QUICK)
def test_an_exported_network_gives_the_styles_picture(tmp_path, file_format, kind):
    check(tmp_path, file_format, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_onnx_network_gives_the_styles_picture(tmp_path, kind):
    check(tmp_path, "onnx", kind)


@pytest.mark.slow
def test_an_onnx_file_holds_its_operators_version_and_its_metadata(tmp_path):
    import onnx

    style, path = tiny_style(card=StyleCard(crop_size_px=32, licence="CC0-1.0")), tmp_path / "tiny.onnx"
    export_style(style, path, "onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version >= 17
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {entry.key: entry.value for entry in model.metadata_props} == describe(style)


@quiet_jit
def test_the_other_files_hold_the_same_metadata(tmp_path):
    import openvino

    style = tiny_style(card=StyleCard(crop_size_px=32, licence="CC0-1.0", description="größer"))
    for file_format in QUICK:
        export_style(style, tmp_path / NAMES[file_format], file_format)
        if file_format == "openvino":
            model = openvino.Core().read_model(tmp_path / "tiny.xml")
            section = {name: model.get_rt_info([OPENVINO_SECTION, name]).value for name in describe(style)}
            assert section == describe(style)
            continue
        held = {METADATA_NAME: ""}
        load = torch.jit.load if file_format == "torchscript" else torch.export.load
        load(
            str(tmp_path / "tiny.out"),
            **{"_extra_files" if file_format == "torchscript" else "extra_files": held},
        )
        assert json.loads(held[METADATA_NAME]) == describe(style)


def test_the_metadata_say_how_pictures_become_numbers():
    record = describe(tiny_style())
    assert record["input"] == "image: N x 3 x 32 x 32 float32, RGB, pixel / 127.5 - 1"
    assert (record["crop_size_px"], record["crop_template"]) == ("32", "head")


@pytest.mark.parametrize(
    ("name", "file_format"), [("a.onnx", "onnx"), ("a.XML", "openvino"), ("a.pt2", "pt2"), ("a.pt", DEFAULT_FORMAT)]
)
def test_the_ending_of_a_name_tells_the_format(name, file_format):
    assert format_of(name) == file_format


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(ExportError, match="'gguf' is unknown; use torchscript, pt2, onnx, openvino"):
        export_style(tiny_style(), tmp_path / "tiny.gguf", "gguf")


def test_a_name_that_no_program_would_read_is_refused(tmp_path):
    with pytest.raises(ExportError, match=r"tiny.pt' cannot hold openvino: .* end in .xml"):
        export_style(tiny_style(), tmp_path / "tiny.pt", "openvino")
    assert not list(tmp_path.iterdir())


def test_a_network_that_differs_is_not_written_and_what_was_there_stays(tmp_path, monkeypatch):
    broken = export_module.Format(lambda *_: _[3].write_bytes(b"new"), lambda path: lambda image: image, (".pt2",))
    monkeypatch.setitem(export_module.FORMATS, "pt2", broken)
    (tmp_path / "tiny.pt2").write_text("old")
    with pytest.raises(ExportError, match=r"the pt2 export of 'tiny' is off by .* and was not written"):
        export_style(tiny_style(), tmp_path / "tiny.pt2", "pt2")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_weights_do_not_stay_alone_where_the_model_cannot_be_written(tmp_path):
    (tmp_path / "tiny.xml").mkdir()
    with pytest.raises(OSError, match=r"tiny.xml"):
        export_style(tiny_style(), tmp_path / "tiny.xml", "openvino")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.xml"]


def test_exporting_tells_no_analytics_service(tmp_path):
    """Seen from a fresh process with a home of its own, where OpenVINO's telemetry leaves its files."""
    code = (
        "from tests.model.networks import tiny_style; from model.export import export_style; import sys;"
        f"export_style(tiny_style(), {str(tmp_path / 'tiny.xml')!r}, 'openvino');"
        "assert 'openvino_telemetry' not in sys.modules"
    )
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "HOME": str(home)})
    assert not (home / "intel").exists()
