"""Contrast normalisation, image by image: global, and LeCun's local one. Shape suffixes: B batch, C channels, H, W.

Both as in pylearn2, which the paper used for its preprocessing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = 7  # pixels: the side of the local neighbourhood
SIGMA = 2.0  # of the Gaussian over it, in pixels
LEAST = 1e-4  # the smallest divisor


def global_contrast(flat: Tensor, norm: float) -> Tensor:
    """Every image (a row of `flat`) minus its mean, scaled to an L2 norm of `norm`."""
    flat = flat - flat.mean(1, keepdim=True)
    length: Tensor = flat.norm(dim=1, keepdim=True)
    return flat * (norm / length.clamp_min(1e-8))


def local_contrast(x_BCHW: Tensor) -> Tensor:
    """Every channel minus its Gaussian mean over 7x7 pixels, divided by its local root mean square; BCHW to BCHW.

    The divisor is at least its mean over the map, so that flat regions are not amplified. Padding is with zeros.
    """
    square_BCHW = _blurred(x_BCHW.square()).sqrt()
    divisor_BCHW = torch.maximum(square_BCHW, square_BCHW.mean((2, 3), keepdim=True)).clamp_min(LEAST)
    return (x_BCHW - _blurred(x_BCHW)) / divisor_BCHW


def _blurred(x_BCHW: Tensor) -> Tensor:
    """The Gaussian mean around every pixel, channel by channel."""
    offset = torch.arange(KERNEL, dtype=x_BCHW.dtype, device=x_BCHW.device) - KERNEL // 2
    bell = torch.exp(-offset.square() / (2 * SIGMA**2))
    bell = bell / bell.sum()
    channels = x_BCHW.shape[1]
    window = torch.outer(bell, bell).expand(channels, 1, KERNEL, KERNEL)
    return F.conv2d(x_BCHW, window, padding=KERNEL // 2, groups=channels)
