"""What the precisions mean: float32 is IEEE float32 on every device, and bfloat16 is chosen where it is native."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fitnets.disk.store import Store
from fitnets.distill.run import distill
from fitnets.images.images import Images
from fitnets.nets.precision import native, use_ieee_float32
from fitnets.teacher import opening, train
from fitnets.teacher.teacher import Teacher
from search.workers.trainer import Trainer
from tests.helpers import DIGITS, RECIPE, TEACHER

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends
OPERATORS = {"matmul": BACKENDS.cuda.matmul, "conv": BACKENDS.cudnn.conv, "rnn": BACKENDS.cudnn.rnn}


def in_use() -> dict[str, str]:
    """The precision of each kind of float32 operator on NVIDIA GPUs."""
    return {name: operator.fp32_precision for name, operator in OPERATORS.items()}


@pytest.fixture
def _tf32() -> Iterator[None]:
    """TF32 wherever torch knows it; it is the default for convolutions."""
    BACKENDS.fp32_precision = "none"
    BACKENDS.cudnn.allow_tf32 = True
    BACKENDS.cuda.matmul.fp32_precision = "tf32"
    assert in_use() == dict.fromkeys(OPERATORS, "tf32")
    yield
    use_ieee_float32()


@pytest.mark.usefixtures("_tf32")
@pytest.mark.parametrize("door", ["worker", "train teacher", "load teacher", "distill"])
def test_float32_is_ieee_float32_wherever_a_computation_starts(
    digits: Images, teacher: Teacher, shared_store: Store, tmp_path: Path, door: str
) -> None:
    doors: dict[str, Callable[[], object]] = {
        "worker": lambda: Trainer(DIGITS, "nowhere", str(tmp_path), "cpu", None),
        "train teacher": lambda: next(train.trained(TEACHER.changed(seed=9), digits, Store(tmp_path))),
        "load teacher": lambda: opening.load(TEACHER, digits, shared_store),
        "distill": lambda: next(distill(RECIPE, digits, teacher, None)),
    }
    doors[door]()
    assert in_use() == dict.fromkeys(OPERATORS, "ieee")
    assert torch.get_float32_matmul_precision() == "highest"
    with torch.backends.cudnn.flags(enabled=True):  # as torch.export does; it raises where torch's switches disagree
        pass
    assert in_use() == dict.fromkeys(OPERATORS, "ieee")


@pytest.mark.parametrize(
    ("capabilities", "wanted"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True, "amx_tile": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": False, "amx_tile": True}, "float32"),
        ({"neon": True}, "float32"),
    ],
)
def test_a_cpu_is_fast_in_bf16_where_its_matrix_products_take_it(
    capabilities: dict[str, bool], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native(CPU) == wanted


def test_a_torch_that_names_no_capabilities_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert native(CPU) == "float32"
