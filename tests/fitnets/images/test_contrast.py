"""Contrast normalisation against numpy."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fitnets.images.contrast import global_contrast, local_contrast
from tests.helpers import random_images


@pytest.mark.parametrize("norm", [55.0, 1.0])
def test_global_contrast_gives_every_image_the_norm_and_no_mean(norm: float) -> None:
    pixels = torch.randint(0, 256, (20, 6, 6, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    flat = global_contrast(pixels.flatten(1).float(), norm)
    assert torch.allclose(flat.norm(dim=1), torch.full((20,), norm), rtol=1e-5)
    assert torch.allclose(flat.mean(1), torch.zeros(20), atol=1e-5)
    assert torch.isfinite(global_contrast(torch.zeros(1, 9), norm)).all()


def weighted(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Gaussian mean over 7x7 pixels around each one; zeros outside."""
    rows, columns = np.mgrid[-3:4, -3:4]
    window = np.exp(-(rows**2 + columns**2) / (2 * 2.0**2))
    mean: NDArray[np.float64] = (sliding_window_view(np.pad(image, 3), (7, 7)) * window).sum((2, 3)) / window.sum()
    return mean


@pytest.mark.parametrize("size", [1.0, 1e-5])
def test_local_contrast_is_lecuns(size: float) -> None:
    """Subtracted: the Gaussian mean. Divided by: the local root mean square, the map's mean of it, or 1e-4."""
    x = size * random_images((2, 3, 12, 9), dtype=torch.float64)
    x[0, 0, :, 4:] *= 0.01
    out = local_contrast(x).numpy()
    for image, shown in zip(x.numpy().reshape(-1, 12, 9), out.reshape(-1, 12, 9), strict=True):
        square = np.sqrt(weighted(image**2))
        divisor = np.maximum(np.maximum(square, square.mean()), 1e-4)
        assert np.allclose(shown, (image - weighted(image)) / divisor, rtol=1e-10)
