"""Exported networks give what the style gives, in any batch size."""

import pytest
import torch

from model import export as export_module
from model.errors import ExportError
from model.export import export_style
from tests.model.networks import random_crops, tiny_style


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("file_format", ["torchscript", "pt2"])
def test_an_exported_network_gives_the_styles_picture(tmp_path, file_format):
    style, path = tiny_style(use_scse=True, num_masks=2), tmp_path / "tiny.out"
    error = export_style(style, path, file_format)
    network = torch.jit.load(path) if file_format == "torchscript" else torch.export.load(path).module()
    assert error < 1e-4
    for count in (1, 3):
        crops = random_crops(count)
        with torch.no_grad():
            torch.testing.assert_close(network(crops), style.generator(crops).image, atol=1e-4, rtol=0)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_format_lists_the_known_ones_and_what_onnx_needs(tmp_path):
    with pytest.raises(ExportError, match=r"'onnx' is unknown; use torchscript or pt2. ONNX needs .* onnxscript"):
        export_style(tiny_style(), tmp_path / "tiny.onnx", "onnx")


def test_a_network_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(export_module.FORMATS, "pt2", lambda network, crops: (b"", lambda image: image))
    with pytest.raises(ExportError, match=r"the pt2 export of 'tiny' is off by .* and was not written"):
        export_style(tiny_style(), tmp_path / "tiny.pt2", "pt2")
    assert not list(tmp_path.iterdir())
