"""`bench.gpu` on a machine without a GPU: its whole way, with tiny sizes, and without what a GPU node may lack."""

import sys
from pathlib import Path

import pytest
import torch

from bench import gpu


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
