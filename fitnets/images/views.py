"""Augmented views of an image set, by index arithmetic on tensors that are already on the device.

Shape suffixes: N images, B batch, C channels, H rows, W columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fitnets.config import Data
from fitnets.values.base import seed_of


@dataclass(frozen=True, slots=True)
class Plan:
    """The view of every image in one epoch: its shift in rows and columns (pixels), and whether it is mirrored."""

    dy_N: Tensor
    dx_N: Tensor
    flip_N: Tensor

    @classmethod
    def draw(cls, num_images: int, epoch: int, data: Data, device: torch.device) -> "Plan":
        """The plan of `epoch`; equal arguments give an equal plan in every process.

        In two successive epochs every image is mirrored once (airbench's alternating flip), unless flips are random.
        """
        epoch = data.equivalent_epoch(epoch)
        shift = torch.Generator().manual_seed(seed_of("shift", data.seed, epoch))
        alternating = data.flips == "alternating"
        mirror = torch.Generator().manual_seed(seed_of("flip", data.seed, *(() if alternating else (epoch,))))
        dy, dx = torch.randint(-data.shift, data.shift + 1, (2, num_images), generator=shift)
        flip = torch.rand(num_images, generator=mirror) < 0.5
        flip = (flip ^ (alternating and bool(epoch % 2))) & data.flip
        return cls(dy.to(device), dx.to(device), flip.to(device))

    @classmethod
    def identity(cls, num_images: int, device: torch.device) -> "Plan":
        """No augmentation: for evaluation."""
        nothing = torch.zeros(num_images, dtype=torch.long, device=device)
        return cls(nothing, nothing, nothing.bool())


def view(pixels_NHWC: Tensor, plan: Plan, index_B: Tensor) -> Tensor:
    """The planned views of the images `index_B`, BCHW (channels last in memory), by one gather without a device read.

    Pixels beyond the border are reflected, so a view contains only the image's own colours.
    """
    _, height, width, _ = pixels_NHWC.shape
    rows_BH, columns_BW = _positions(plan, index_B, height, width)
    rows_BH, columns_BW = _reflect(rows_BH, height), _reflect(columns_BW, width)
    view_BHWC = pixels_NHWC[index_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]
    return view_BHWC.permute(0, 3, 1, 2)


def inside(plan: Plan, index_B: Tensor, height: int, width: int) -> Tensor:
    """Where the planned views show the image itself rather than its surroundings: booleans B1HW."""
    rows_BH, columns_BW = _positions(plan, index_B, height, width)
    in_rows_BH, in_columns_BW = (rows_BH >= 0) & (rows_BH < height), (columns_BW >= 0) & (columns_BW < width)
    return (in_rows_BH[:, :, None] & in_columns_BW[:, None, :])[:, None]


def _positions(plan: Plan, index_B: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The image's rows BH and columns BW that the planned views show; they may lie outside."""
    rows_BH = torch.arange(height, device=index_B.device) + plan.dy_N[index_B, None]
    columns_BW = torch.arange(width, device=index_B.device) + plan.dx_N[index_B, None]
    return rows_BH, torch.where(plan.flip_N[index_B, None], columns_BW.flip(1), columns_BW)


def _reflect(position: Tensor, size: int) -> Tensor:
    """Positions outside 0..size-1, mirrored back at the border pixels."""
    return (size - 1) - ((size - 1) - position.abs()).abs()


def shuffled(num_images: int, batch: int, generator: torch.Generator, device: torch.device) -> Iterator[Tensor]:
    """Index batches of one epoch in random order; the last short batch is dropped, unless it is the only one."""
    order_N = torch.randperm(num_images, generator=generator).to(device)
    yield from order_N.split(batch)[: max(1, num_images // batch)]


def in_order(num_images: int, batch: int, device: torch.device) -> Iterator[Tensor]:
    """Index batches over all images, for evaluation."""
    yield from torch.arange(num_images, device=device).split(batch)
