"""`bench.gpu` on a machine without a GPU: its whole way, with tiny sizes, and without what a GPU node may lack."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.gpu import check as gpu
from bench.gpu import processes as gpu_processes
from bench.gpu import study as gpu_study
from bench.gpu.steps import Folded, Random, folded, student
from bench.speed.nets import FITNET_1
from fitnets.config import Precision, Trained
from fitnets.nets.cost import cost
from fitnets.values.net import Net
from search.study import Staged, find_study
from search.workers.facts import Facts, Speed, TeacherFacts
from search.workers.inline import InlineWorkers

SIDE_BY_SIDE = ("2 captured, each on a stream", "2 captured, each in a process", "2 stacked by vmap")


def ran(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[int, str]:
    """The exit code and what it prints."""
    monkeypatch.setattr(sys, "argv", ["bench.gpu", str(folder), "--study", "digits", "--tiny"])
    code = gpu.main()
    return code, capsys.readouterr().out


def test_it_runs_both_halves_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, message = ran(monkeypatch, capsys, tmp_path)
    assert code == 0, message
    assert "no GPU: the CPU in its place" in message
    for name in ("FitNet 1", "5M student"):
        assert f"- {name}: captured = eager bit for bit, 6 steps in" in message
        for way in ("the usual loop", "eager", "captured", *SIDE_BY_SIDE):
            assert f"| {name} | {way}" in message
    assert "| FitNet 1 | captured, each maxout one folded convolution |" in message
    assert "trials an hour" in message and "Forecast of 100 trials" in message
    assert "failed" not in message and "**NO**" not in message


def test_the_forecasts_teacher_is_the_searchs(tmp_path: Path) -> None:
    """In the students' precision where it is `auto`, as `cifar10`'s, and timed on all cores of its node."""
    taught, timed = list[Trained](), list[tuple[Net, Precision, bool]]()

    class Bf16(InlineWorkers):
        """On a card that is fastest in bf16."""

        def open(self, *arguments: Any) -> Facts:
            return super().open(*arguments).changed(native="bf16")

        def teach(self, teacher: Any, on_report: Any) -> TeacherFacts:
            taught.append(teacher)
            return super().teach(teacher, on_report)

        def measure(self, net: Any, training: Any, precision: Any, *rest: Any, whole_node: bool = False) -> Speed:
            timed.append((net, precision, whole_node))
            return Speed(train_step=1e-3, forward=1e-4)

    study = find_study("digits").smoke()
    assert isinstance(study.teacher, Staged)
    study = study.changed(precision="auto", teacher=study.teacher.changed(precision="auto"))
    got = list(gpu_study.measured_on(study, Bf16(), tmp_path, tmp_path))
    assert "trials an hour" in got[0]
    searched = study.resolved_teacher((1, 8, 8), 10, "bf16")
    assert isinstance(searched, Trained) and searched.precision == "bf16"
    assert [(teacher.net, teacher.precision) for teacher in taught] == [(searched.net, "bf16")]
    assert timed[1:] == [(searched.net, "bf16", True)] and timed[0][1:] == ("bf16", False)


def test_the_first_half_imports_no_more_than_torch_numpy_and_pydantic(tmp_path: Path) -> None:
    """In a process of its own, in which nothing else can be imported, as on a node that lacks it."""
    missing = "ray optuna sqlalchemy streamlit typer rich sklearn torchvision PIL safetensors onnx onnxruntime plotly"
    code = (
        "import runpy, sys; sys.argv[0] = 'bench.gpu'; sys.modules |= dict.fromkeys(sys.argv.pop().split());"
        "from bench.gpu import check as gpu; gpu.Bench.numbers = lambda bench: bench.say('numbers');"
        "gpu.Bench.speeds = lambda bench: bench.say('speeds'); sys.exit(gpu.main())"
    )
    words = [sys.executable, "-c", code, str(tmp_path), "--tiny", missing]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("Trials and forecast: not measured, for Ray and Optuna are not installed.\n")


def test_the_usual_loops_share_is_of_the_peak_in_float32(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = gpu.Bench(gpu.CPU, rounds=1, seconds=0.01, tiny=True)
    monkeypatch.setattr(gpu, "native", lambda device: "bf16")
    monkeypatch.setattr(bench, "peak", lambda precision: {"bf16": 1e14, "float32": 1e13}[precision])
    monkeypatch.setattr(bench, "timed", lambda ways: dict.fromkeys(ways, 1000.0))
    monkeypatch.setattr(bench, "apart", lambda name: {})
    bench.speeds()
    message = capsys.readouterr().out
    assert "100.00 TFLOP/s in bf16 and 10.00 TFLOP/s in float32" in message
    share = 100 * 6 * cost(FITNET_1).macs * 1000 / 1e13
    assert f"| FitNet 1 | the usual loop | float32 | 1,000 | {share:.1f} % |" in message
    assert f"| FitNet 1 | eager | bf16 | 1,000 | {share / 10:.1f} % |" in message


def test_a_folded_maxout_is_the_same_network() -> None:
    usual, images = student(FITNET_1, 0, gpu.CPU), Random(gpu.CPU, 8)
    usual.double()
    changed = folded(copy.deepcopy(usual))
    x_BCHW = images.input(torch.arange(8)).double()
    assert torch.allclose(usual(x_BCHW), changed(x_BCHW), rtol=1e-10)
    assert [*changed.state_dict()] == [*usual.state_dict()]
    assert sum(isinstance(layer, Folded) for layer in changed.layers) == len(FITNET_1.convs)


def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bench = gpu.Bench(gpu.CPU, rounds=1, seconds=0.01, tiny=True)
    monkeypatch.setattr(sys, "executable", "false")  # in Python's place: it ends at once
    assert bench.apart("FitNet 1") == {}
    assert "- 2 captured, each in a process of its own failed: RuntimeError: one of 2 pro" in capsys.readouterr().out


def test_each_of_k_processes_keeps_to_its_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr(gpu_processes, "native", lambda device: "float32")
    for name in ("student", "Random", "kd_step", "GraphedStep"):
        monkeypatch.setattr(gpu_processes, name, lambda *arguments: None)
    gpu_processes.captured("FitNet 1", 4, 8, 64)
    assert shares == [0.25]


def test_numbers_that_differ_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    losses = gpu.Bench.losses

    def off(bench: gpu.Bench, *arguments: object, graphed: bool = False) -> list[float]:
        return [loss + 1e-6 * graphed for loss in losses(bench, *arguments)]  # type: ignore[arg-type]

    monkeypatch.setattr(gpu.Bench, "losses", off)
    monkeypatch.setattr(gpu.Bench, "speeds", lambda bench: None)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    code, message = ran(monkeypatch, capsys, tmp_path)
    assert code == 1 and "captured = eager bit for bit, 6 steps in" in message and "**NO**" in message


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpus_numbers_are_right() -> None:
    bench = gpu.Bench(torch.device("cuda"), rounds=1, seconds=0.01, tiny=True)
    bench.numbers()
    assert bench.failed == [], bench.lines
