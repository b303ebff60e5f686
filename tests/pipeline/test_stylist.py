"""What a stylist hands on with every restyled crop."""

import numpy as np
import pytest
import torch

from pipeline.canvas import PictureCanvas
from pipeline.plan import Placement
from pipeline.stylist import Stylist
from pipeline.views import DrawnMasks


class InvertingEngine:
    """A style of one line."""

    name, device, precision, max_error, psnr_db, batch_size = "invert", "cpu", "fp32", 0.0, 99.0, 1
    num_callers = 1

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        return -crops


@pytest.mark.parametrize(
    ("asked", "keeps_colours", "given"),
    [
        ("auto", True, "multiband"),  # least seam
        ("auto", False, "feather"),  # a pencil drawing's hair must not take on the photograph's brown
        ("poisson", False, "poisson"),
    ],
)
def test_how_a_face_is_fitted_in_suits_its_style_unless_told(asked: str, keeps_colours: bool, given: str) -> None:
    masks = DrawnMasks(lambda crop, landmarks: np.ones(crop.shape[:2], np.float32))
    stylist = Stylist(InvertingEngine(), masks, 32, keeps_colours=keeps_colours, blend=asked)
    canvas = PictureCanvas(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8))
    placement = Placement(0, np.float32([[1, 0, 0], [0, 1, 0]]), np.zeros((5, 2), np.float32), 1.0, "invert")
    [[face]] = stylist.stylise([(canvas, [placement])])
    assert face.blend == given
