"""Several styles at once: each face reaches the generator of its style."""

import numpy as np
import torch

from pipeline.cast import Cast
from pipeline.pictures import PictureCanvas
from pipeline.plan import Placement
from pipeline.stylist import Stylist
from pipeline.views import DrawnMasks

IN_PLACE = np.float32([[1, 0, 0], [0, 1, 0]])


class PaintingEngine:
    """Paints a gradient about one grey level; notes how many crops of which size it is given."""

    name, device, precision, max_error, psnr_db = "paint", "cpu", "fp32", 0.0, 99.0

    def __init__(self, level: float, batch_size: int = 1) -> None:
        self.level = level
        self.batch_size, self.num_callers = batch_size, 1
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(crops.shape))
        return torch.full_like(crops, self.level) + 0.4 * crops


def whole(crop: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    return np.ones(crop.shape[:2], np.float32)


def face(track_id: int, style: str) -> Placement:
    return Placement(track_id, IN_PLACE, np.zeros((5, 2), np.float32), 1.0, style)


def test_each_face_is_restyled_by_its_own_style_in_one_go_per_style() -> None:
    # Given two styles with crops of different sizes, and two pictures with faces of both
    dark, light = PaintingEngine(-0.4), PaintingEngine(0.4, batch_size=4)
    cast = Cast({"dark": Stylist(dark, DrawnMasks(whole), 32), "light": Stylist(light, DrawnMasks(whole), 48)})
    noise = np.random.default_rng(0).integers(0, 255, (80, 80, 3)).astype(np.uint8)
    canvas = PictureCanvas(noise)
    # When
    first, second = cast.stylise(
        [(canvas, [face(0, "light"), face(1, "dark"), face(2, "light")]), (canvas, [face(1, "dark")])]
    )
    # Then order is kept, every crop has its style's size and colour, and each generator was asked once
    assert [f.placement.track_id for f in first] == [0, 1, 2]
    assert [f.placement.track_id for f in second] == [1]
    assert [f.styled.shape[0] for f in first + second if f.styled is not None] == [48, 32, 48, 32]
    tones = [float(f.styled.mean()) for f in first + second if f.styled is not None]
    assert [tone > 128 for tone in tones] == [True, False, True, False]
    assert dark.shapes == [(2, 3, 32, 32)]
    assert light.shapes == [(2, 3, 48, 48)]
    assert cast.batch_size == 4


def test_pictures_without_faces_keep_their_place() -> None:
    cast = Cast({"dark": Stylist(PaintingEngine(0.0), DrawnMasks(whole), 32)})
    assert cast.stylise([(PictureCanvas(np.zeros((40, 40, 3), np.uint8)), [])]) == [[]]
