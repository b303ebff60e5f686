"""The public U-GAT-IT discriminator as its users run it: plain torch modules, nothing fused, nothing shared.

A yardstick for `step_bench.py` and never trained for use; the networks of this project are in model/, and the public
generator is beside them (model/reference.py, which also tells where the transcriptions come from).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from model.reference import PlainAdaLin, PlainCam, PlainConv, PlainGenerator, PlainLin, load_ours, our_keys

__all__ = ["PlainAdaLin", "PlainDiscriminator", "PlainGenerator", "PlainLin", "load_ours", "our_keys"]

_SLOPE = 0.2  # of every leaky ReLU


class PlainDiscriminator(nn.Module):
    """The patch discriminator under torch's own (first) spectral norm.

    Args:
        base_channels: of the first map.
        depth: layers as the papers count them, 7 or 5; less adds layers of stride 1, as in enhanced-UGATIT.
        is_enhanced: biases in the CAM heads and the last layer.
    """

    def __init__(self, base_channels: int, depth: int, *, is_enhanced: bool) -> None:
        super().__init__()
        width = base_channels * 2 ** (depth - 3)
        shapes = [(3, base_channels, 4, 2)]
        shapes += [(base_channels * 2**i, base_channels * 2 ** (i + 1), 4, 2) for i in range(depth - 3)]
        shapes += [(width, width, 3, 1)] * (5 - depth)
        shapes.append((width, 2 * width, 4, 1))
        self.body = nn.ModuleList(
            PlainConv(num_in, num_out, size, stride=stride, is_spectral=True)
            for num_in, num_out, size, stride in shapes
        )
        self.cam = PlainCam(2 * width, bias=is_enhanced, is_spectral=True)
        self.judge = PlainConv(2 * width, 1, 4, bias=is_enhanced, is_spectral=True)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """N3HW -> N1hw logits, Nx2 logits of the CAM heads, heat map."""
        x = image
        for conv in self.body:
            x = F.leaky_relu(conv(x), _SLOPE, inplace=True)
        weighed, cam_logits = self.cam(x)
        weighed = F.leaky_relu(weighed, _SLOPE, inplace=True)
        return self.judge(weighed), cam_logits, weighed.sum(1, keepdim=True)
