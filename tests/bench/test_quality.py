"""The simulated searches of `bench.quality`: what is spent, what a draw becomes, and which way stopping goes."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.quality import compare as quality_bench
from bench.quality.compare import ARMS, PROJECT, SHOWN, SPENT, Compared, Comparison, Curves, compare
from bench.quality.picture import draw
from bench.quality.rules import ACCURACY_ONLY, COUNT, NONE, OURS, RULES, Arm, Rule
from bench.quality.samplers import SAMPLERS, RandomStudents
from bench.quality.simulator import STAGE1, Searched, searched
from bench.quality.tables import FOLDER, SOURCES, Table, load
from search.driver.stopping import Peer

DIGITS = load(FOLDER, "kd_digits_mlp")


def runs(table: Table, arm: Arm, seeds: int, trainings: float = 34) -> list[Searched]:
    return [searched(table, RandomStudents(table, seed), arm, seed, trainings) for seed in range(seeds)]


def quality(found: Sequence[Searched]) -> float:
    """About 30 trainings: over one round of the workers."""
    return statistics.fmean(float(run.at(np.linspace(26, 34, 17)).mean()) for run in found)


@pytest.mark.parametrize("name", ["kd_digits_mlp", "resnet39_cifar10"])
def test_stopping_by_dominators_gains_and_by_accuracy_loses(name: str) -> None:
    table = load(FOLDER, name)
    none, ours, accuracy = (quality(runs(table, arm, 16)) for arm in (NONE, OURS, ACCURACY_ONLY))
    assert ours > none + 0.005
    assert accuracy < none - 0.1


class Spender(RandomStudents):
    """Random students; remembers what was drawn and how each ended."""

    def __init__(self, table: Table, seed: int):
        super().__init__(table, seed)
        self.drawn: list[int] = []
        self.ends: dict[int, Sequence[float] | None] = {}
        self.rungs: dict[int, dict[int, float]] = {}

    def draw(self, number: int) -> int:
        assert number == len(self.drawn)
        self.drawn.append(super().draw(number))
        return self.drawn[-1]

    def end(self, number: int, values: Sequence[float] | None, rungs: Mapping[int, float]) -> None:
        assert number not in self.ends
        self.ends[number], self.rungs[number] = values, dict(rungs)


def test_one_worker_pays_for_stage_1_and_for_what_it_stops() -> None:
    """20 epochs of stage 1, rungs after 20 and 40 of 60; even numbers stop at the first, threes at the second."""

    sampler = Spender(DIGITS, 5)

    def make(seed: int) -> Rule:
        def goes_on(epoch: int, peer: Peer) -> bool:
            student = DIGITS.students[sampler.drawn[peer.number]]
            assert (peer.params, peer.macs) == (student.params, student.macs)
            assert peer.accuracy == student.curves[0][epoch - 1]
            return bool(peer.number % 2 if epoch == 20 else peer.number % 3)

        return goes_on

    found = searched(DIGITS, sampler, Arm("test", make), 5, 20, workers=1)
    expected = [40 if not number % 2 else 60 if not number % 3 else 80 for number in range(found.started)]
    spent = np.cumsum(expected) / (60 * (1 + STAGE1))
    macs = [DIGITS.students[student].macs for student in sampler.drawn]
    weighted = np.cumsum(np.multiply(expected, macs)) / (60 * (1 + STAGE1)) / DIGITS.mean_macs
    whole = [number for number, cost in enumerate(expected) if cost == 80 and number in sampler.ends]
    assert found.epochs == pytest.approx([spent[number] for number in whole])
    assert found.macs == pytest.approx([weighted[number] for number in whole])
    assert found.stopped == sum(values is None for values in sampler.ends.values())
    assert [number for number, values in sampler.ends.items() if values is not None] == whole
    final = [DIGITS.students[student].curves[0][59] for student in sampler.drawn]
    assert [values[0] for values in sampler.ends.values() if values is not None] == [final[number] for number in whole]
    curves = [DIGITS.students[student].curves[0] for student in sampler.drawn]
    for number, rungs in sampler.rungs.items():
        assert rungs == {epoch: curves[number][epoch - 1] for epoch in (20, 40) if epoch + 20 <= expected[number]}
    assert found.volumes == sorted(found.volumes)
    assert found.at(np.array([0.0, found.epochs[0], 99.0])).tolist() == [0.0, found.volumes[0], found.volumes[-1]]


def test_workers_are_asynchronous_and_all_that_runs_is_counted() -> None:
    """Unstopped, eight workers finish together: eight students for each eight trainings spent."""
    (found,) = runs(DIGITS, NONE, 1, 20)
    assert found.epochs[:16] == pytest.approx([8.0] * 8 + [16.0] * 8)
    (stopping,) = runs(DIGITS, COUNT, 1, 20)
    assert stopping.started > found.started
    assert stopping.stopped > 0
    assert {8.0, 16.0} < set(np.round(stopping.epochs, 6).tolist())


def test_a_student_drawn_again_brings_its_other_seed() -> None:
    class Same(Spender):
        def draw(self, number: int) -> int:
            self.drawn.append(7)
            return 7

    sampler = Same(DIGITS, 0)
    searched(DIGITS, sampler, NONE, 0, 5, workers=1)
    final = [curve[-1] for curve in DIGITS.students[7].curves]
    got = [values[0] for values in sampler.ends.values() if values]
    assert len(final) == 2 and final[0] != final[1]
    assert got[:4] == [final[0], final[1], final[0], final[1]]


@pytest.mark.parametrize("name", SOURCES)
def test_a_student_s_own_parameters_draw_it(name: str) -> None:
    table = load(FOLDER, name)
    for place in range(0, len(table.students), 37):
        found = table.students[table.nearest(table.students[place].drawn)]
        assert found.drawn == table.students[place].drawn
    everything = [(place, curve[-1]) for place, s in enumerate(table.students) for curve in s.curves]
    assert table.hypervolume(everything) == pytest.approx(1.0)
    assert table.hypervolume([]) == 0.0
    assert all(curve.min() >= 0 and curve.max() <= 1 for s in table.students for curve in s.curves)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_is_the_same_each_time(sampler: str) -> None:
    once, again, other = (searched(DIGITS, SAMPLERS[sampler](DIGITS, seed), OURS, seed, 5) for seed in (1, 1, 2))
    assert once == again
    assert once != other


def test_the_rules_on_a_student_that_beats_all_and_on_one_that_all_beat() -> None:
    """The correct ones let the best go on and stop the worst; Syne Tune's, as shipped, errs on one of these streams."""
    names = [arm.name for arm in RULES if arm.make is not None and not arm.name.startswith("coin")]
    got: dict[str, list[bool]] = {name: [] for name in names}
    for arm in RULES:
        for seed in range(20 if arm.name in got else 0):
            assert arm.make is not None
            rule, chance = arm.make(seed), np.random.default_rng(seed)
            for number in range(12):
                rule(8, Peer(number=number, accuracy=0.5 + 0.3 * chance.random(), params=500 + number, macs=900))
            best = rule(8, Peer(number=12, accuracy=0.9, params=400, macs=800))
            worst = rule(8, Peer(number=13, accuracy=0.1, params=10**6, macs=10**6))
            got[arm.name] += [best, not worst]
    right = {name: all(found) for name, found in got.items()}
    wrong = "Syne Tune's MOASHA as shipped"
    assert right == {name: name not in (wrong, OURS.name) for name in names} | {OURS.name: right[OURS.name]}
    assert all(best for best in got[OURS.name][::2])  # an audit spares some of the worst


def test_the_tables_pair_by_seed_and_the_gate_names_what_fails() -> None:
    """Hypervolumes made up: a seed's own level plus each arm's gain; on the second table the project's has none."""
    levels, grid = (0.2, 0.6), np.arange(0, 40, 0.5)
    gains = {NONE.name: 0.0, OURS.name: 0.03, ACCURACY_ONLY.name: -0.1}

    def curves(name: str, compared: Compared) -> list[Curves]:
        gain = 0.0 if name == "second" and compared == PROJECT else gains.get(compared.rule, 0.01)
        runs = []
        for level in levels:
            near = np.abs(grid - 30) <= 4
            runs.append(Curves(np.where(near, level + gain, 9.0), np.where(near, level + gain, 9.0), 40, 10, 0.5))
        return runs

    found = Comparison({(name, arm): curves(name, arm) for name in ("first", "second") for arm in ARMS}, list(grid))
    rows = {line.split(" | ")[0].strip("| "): line for line in found.absolute("epochs", 30).splitlines()}
    assert "| 0.400 ± 0.200 | 0.400 ± 0.200 |" in rows["random: none"]
    assert "| +0.030 ± 0.000 | +0.000 ± 0.000 |" in rows[PROJECT.name]
    against = {line.split(" | ")[0].strip("| "): line for line in found.against("macs", 30).splitlines()}
    assert "| +0.020 ± 0.000 | **-0.010 ± 0.000** |" in against["random: coin 1/3"]
    assert found.gate(30) == [f"second, ours: {OURS.name} is +0.000 ± 0.000 from no stopping"]
    assert "| random: none | 40 | 10 | 2 |" in found.counts()


@pytest.mark.parametrize("gain", [0.03, 0.0])
def test_the_command_prints_what_the_gate_says(
    gain: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gains = {OURS.name: gain, ACCURACY_ONLY.name: -0.1}

    def compared(folder: Path, tables: Sequence[str], seeds: int, trainings: int, *others: Any) -> Comparison:
        grid = np.arange(0, trainings + 4.5, 0.5)
        level = {arm: np.full(len(grid), 0.5 + gains.get(arm.rule, 0.0)) for arm in ARMS}
        curves = {(name, arm): [Curves(level[arm], level[arm], 40, 10, 0.5)] * seeds for name in tables for arm in ARMS}
        return Comparison(curves, grid.tolist())

    monkeypatch.setattr(quality_bench, "compare", compared)
    monkeypatch.setattr("sys.argv", ["quality", "--quick"])
    quality_bench.main()
    lines = capsys.readouterr().out.splitlines()
    gate = [line for line in lines if line.startswith("gate at ")]
    said = ["stopping gains, and accuracy-only ASHA loses, on every table"]
    failed = [
        f"{name}, {sampler}: {OURS.name} is +0.000 ± 0.000 from no stopping"
        for sampler in ("random", "MO-TPE", "ours")
        for name in quality_bench.QUICK
    ]
    assert gate == [f"gate at {budget} trainings: {line}" for budget in (30, 60) for line in (said if gain else failed)]


def test_finished_searches_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = Compared("random", NONE.name)
    monkeypatch.setattr(quality_bench, "ARMS", {arm: NONE})
    first = compare(FOLDER, ["kd_digits_mlp"], 2, 5, finished=tmp_path)
    monkeypatch.setattr(quality_bench, "searched", None)  # would fail if it were called
    again = compare(FOLDER, ["kd_digits_mlp"], 2, 5, finished=tmp_path)
    for one, other in zip(*(found.curves["kd_digits_mlp", arm] for found in (first, again)), strict=True):
        assert (one.epochs == other.epochs).all() and one.started == other.started > 0
    with pytest.raises(TypeError, match="not callable"):
        compare(FOLDER, ["kd_digits_mlp"], 3, 5, finished=tmp_path)


def test_the_picture_has_a_line_for_each_search_that_it_shows(tmp_path: Path) -> None:
    lines = {("a", spent, arm.name): np.ones((3, 5)) for spent in SPENT for arm in SHOWN}
    draw(lines, np.arange(5.0), SPENT, tmp_path / "quality.png")
    assert (tmp_path / "quality.png").stat().st_size > 10_000
    assert set(SHOWN) <= set(ARMS)
