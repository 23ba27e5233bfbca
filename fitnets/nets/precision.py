"""In which numbers the convolutions run: float32, or bfloat16 where the processor multiplies it natively.

Weights, optimisers, losses and evaluation are float32 either way; bfloat16 is autocast, for the forward and backward
passes of training and for the teacher's passes. On one core with AVX512-BF16 FitNet 1 trains 1.7 times as fast in it,
and the paper's teacher runs 2.2 times as fast (bench/RESULTS.md); without native support it is slower than float32.
"""

from contextlib import AbstractContextManager

import torch

from fitnets.config import Precision


def native(device: torch.device) -> Precision:
    """The faster precision on `device`: bfloat16 where its matrix products have it in hardware."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bf16"
    return "float32"


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network runs in `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
