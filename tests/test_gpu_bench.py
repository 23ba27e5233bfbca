"""`bench.gpu` on a machine without a GPU: its whole way, with tiny sizes, and without what a GPU node may lack."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gpu, gpu_study
from fitnets.config import Precision, Trained
from fitnets.values.net import Net
from search.study import Staged, find_study
from search.workers.facts import Facts, Speed, TeacherFacts
from search.workers.inline import InlineWorkers


def ran(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[int, str]:
    """The exit code and what it prints."""
    monkeypatch.setattr(sys, "argv", ["bench.gpu", str(folder), "--study", "digits", "--tiny"])
    code = gpu.main()
    return code, capsys.readouterr().out


def test_it_runs_both_halves_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, told = ran(monkeypatch, capsys, tmp_path)
    assert code == 0, told
    assert "no GPU: the CPU in its place" in told
    for name in ("FitNet 1", "5M student"):
        assert f"- {name}: captured = eager bit for bit, 6 steps in" in told
        for way in ("the usual loop", "eager", "captured", "2 captured, each on a stream", "2 stacked by vmap"):
            assert f"| {name} | {way}" in told
    assert "trials an hour" in told and "Forecast of 100 trials" in told
    assert "failed" not in told and "**NO**" not in told


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
    told = list(gpu_study.measured_on(study, Bf16(), tmp_path, tmp_path))
    assert "trials an hour" in told[0]
    searched = study.resolved_teacher((1, 8, 8), 10, "bf16")
    assert isinstance(searched, Trained) and searched.precision == "bf16"
    assert [(teacher.net, teacher.precision) for teacher in taught] == [(searched.net, "bf16")]
    assert timed[1:] == [(searched.net, "bf16", True)] and timed[0][1:] == ("bf16", False)


def test_without_ray_and_optuna_it_ends_after_the_first_half(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("ray", "optuna"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    monkeypatch.setattr(gpu.Bench, "speeds", lambda bench: None)  # the other test has them
    code, told = ran(monkeypatch, capsys, tmp_path)
    assert code == 0 and told.endswith("Trials and forecast: not measured, for Ray and Optuna are not installed.\n")


def test_numbers_that_differ_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    losses = gpu.Bench.losses

    def off(bench: gpu.Bench, *arguments: object, graphed: bool = False) -> list[float]:
        return [loss + 1e-6 * graphed for loss in losses(bench, *arguments)]  # type: ignore[arg-type]

    monkeypatch.setattr(gpu.Bench, "losses", off)
    monkeypatch.setattr(gpu.Bench, "speeds", lambda bench: None)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    code, told = ran(monkeypatch, capsys, tmp_path)
    assert code == 1 and "captured = eager bit for bit, 6 steps in" in told and "**NO**" in told


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpus_numbers_are_right() -> None:
    bench = gpu.Bench(torch.device("cuda"), rounds=1, seconds=0.01, tiny=True)
    bench.numbers()
    assert bench.failed == [], bench.lines
