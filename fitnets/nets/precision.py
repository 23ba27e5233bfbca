"""The precision of convolutions and matrix products: float32, or bfloat16 where the hardware supports it.

Weights, optimisers, losses and evaluation are float32 either way; bfloat16 is applied by autocast, to the forward and
backward passes of training and to the teacher's passes. On one core with AVX512-BF16 FitNet 1 trains 1.7 times as fast
in it, and the paper's teacher runs 2.2 times as fast (bench/RESULTS.md); without native support it is slower than
float32.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch

from fitnets.config import Precision

CPU_BF16 = ("avx512_bf16", "amx_bf16")  # capabilities of a CPU that multiplies bfloat16 matrices in hardware


def native(device: torch.device) -> Precision:
    """The faster precision on `device`: bfloat16 where its matrix products support it in hardware."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu" and any(_cpu_capabilities().get(name) for name in CPU_BF16):
        return "bf16"
    return "float32"


def _cpu_capabilities() -> Mapping[str, Any]:
    """This machine's CPU capabilities, by torch's names; empty where an old torch does not report them."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.11 may lack it
    return capabilities


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network runs in `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def use_ieee_float32() -> None:
    """From now on, float32 convolutions and matrix products in this process are IEEE float32 on every device.

    On NVIDIA GPUs since Ampere, torch otherwise runs cuDNN's float32 convolutions in TF32, whose mantissa has 10 bits
    instead of 23. Whatever trains, evaluates or loads a teacher calls this first. It is a global setting, not
    a context: the backward pass and the evaluation run outside of `computing`.
    """
    # The first two are the older switches: torch.export and `get_float32_matmul_precision` refuse to run where they and
    # the newer `fp32_precision` disagree.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    backends: Any = torch.backends  # its annotations lack the attribute
    backends.fp32_precision = "ieee"
