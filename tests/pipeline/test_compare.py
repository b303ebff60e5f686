"""Source and result side by side, as a viewer sees them."""

import numpy as np
import pytest

from pipeline.colour import ColourTags
from pipeline.compare import beside, beside_wh
from pipeline.frames import Frame, planar_layouts
from pipeline.orientation import Orientation
from pipeline.planes import FrameShape

TAGS = ColourTags("tv", "bt709", "bt709", "bt709")


def flat(luma: int, coded_wh: tuple[int, int], orientation: Orientation, pix_fmt: str) -> Frame:
    layout = planar_layouts()[pix_fmt]
    planes = tuple(np.full(layout.plane_shape(i, *coded_wh), luma if i == 0 else 128, np.uint8) for i in range(3))
    return Frame(planes, layout, TAGS, 0, orientation)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("coded_wh", [(64, 48), (65, 49)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
def test_the_source_is_left_as_displayed_and_the_planes_fit(
    degrees: int, coded_wh: tuple[int, int], pix_fmt: str
) -> None:
    orientation = Orientation(degrees)
    dark, bright = (flat(luma, coded_wh, orientation, pix_fmt) for luma in (40, 200))
    both = beside(dark, bright)
    shape = FrameShape(*coded_wh, dark.layout, TAGS, orientation)
    assert both.coded_wh == beside_wh(shape)
    assert [p.shape for p in both.planes] == [both.layout.plane_shape(i, *both.coded_wh) for i in range(3)]
    width, height = both.size_wh
    shown = both.to_rgb(0, 0, width, height)
    assert shown[height // 2, width // 4, 0] < 60
    assert shown[height // 2, 3 * width // 4, 0] > 180
