"""The paper's tables, run again: every system end to end on small images of its shape, stopped and continued."""

import json
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fitnets.config import Outcome, Trained
from fitnets.disk.store import Store
from fitnets.nets.cost import cost
from fitnets.paper.nets import nets
from fitnets.paper.recipes import ALTERNATIVES, METHODS, Family, Method, ensemble, teacher
from search.paper import experiments
from search.paper.experiments import SIZES, SMALL_BUDGET, Arm, Experiment, Scale, System, data_of, experiment
from search.paper.forecast import Forecast, forecast
from search.paper.interpretations import TAKEN, seen
from search.paper.picture import draw
from search.paper.runner import FinishedRun, FinishedRuns
from search.paper.table import Comparison, Measured, Seed, row
from search.paper.tested import device_here
from search.read.published import published
from search.ship.test_reads import READINGS
from search.workers.actor import Fault
from search.workers.facts import Facts, Speed
from tests.commands import Crew, invoke
from tests.helpers import REFERENCE

FAMILIES: tuple[Family, ...] = ("paper", "modern")
SHAPES: dict[str, tuple[int, int, int]] = {"mnist": (28, 28, 10), "svhn": (32, 32, 10), "aflw": (16, 16, 2)}


class Counting(Crew):
    """Workers that remember what they were given."""

    submitted: list[int] = []  # noqa: RUF012 (of all instances: the command makes its own)

    def submit(self, number: int, recipe: Any) -> None:
        self.submitted.append(number)
        super().submit(number, recipe)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    """Inline workers for the command, and one epoch of everything; SVHN's nets are heavy, so one method is enough."""
    monkeypatch.setitem(sys.modules, "search.workers.crew", types.SimpleNamespace(RayWorkers=Counting))
    monkeypatch.setattr(Counting, "submitted", [])
    for (system, scale), size in SIZES.items():
        students = tuple((name, METHODS if system != "svhn" else METHODS[-1:]) for name, _ in size.students[:1])
        tiny = experiments._quick(1, 1, 1, students=students, seeds=1)
        monkeypatch.setitem(SIZES, (system, scale), tiny)
    return Counting


def folder(root: Path, system: str) -> Path:
    """Image folders of a system's shape: each class has its own brightness."""
    rows, columns, classes = SHAPES[system]
    draw = np.random.default_rng(0)
    for part, number in (("train", 3), ("test", 1)):
        for label in range(classes):
            place = root / system / part / f"c{label}"
            place.mkdir(parents=True)
            for i in range(number):
                channels = () if system == "mnist" else (3,)
                pixels = draw.integers(0, 100, (rows, columns, *channels)) + 150 * label // classes
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return root


def broken(kind: str, message: str) -> Iterator[Fault]:
    """A training that fails in its first epoch."""
    yield Fault(kind, message, log="")


def tables(runs: Path) -> list[Comparison]:
    return [Comparison.model_validate_json(path.read_text()) for path in sorted((runs / "paper").glob("*.json"))]


@pytest.mark.parametrize(("system", "recipe"), [("mnist", "paper"), ("svhn", "modern"), ("aflw", "paper")])
def test_a_system_end_to_end(tmp_path: Path, counting: type[Counting], system: System, recipe: str) -> None:
    data = folder(tmp_path / "data", system)
    runs = tmp_path / "runs"
    result = invoke("paper", system, "--data", data, "--runs", runs, "--recipe", recipe, "--workers", 1)
    assert result.exit_code == 0, result.output
    (table,) = tables(runs)
    teacher, *students = table.rows
    assert [one.method for one in students] == list(METHODS if system != "svhn" else METHODS[-1:])
    assert {one.family for one in table.rows} == {recipe}
    for one in table.rows:
        net = nets()[one.name]
        assert (one.weights, one.macs) == (net.weights, net.macs)
        known = [p for p in published(system) if (p.of.name, p.method) == (one.name, one.method)]
        assert one.paper_error == (pytest.approx(100 * (1 - known[0].test_accuracy)) if known else None)
        assert len(one.test_errors) == 1 and 0 <= one.test_errors[0] <= 100
    extra = [result for result in table.differs if "extra" in result]
    assert len(extra) == (system == "svhn"), "the paper trains on SVHN's extra images too"
    assert not any("JPEG" in result for result in table.differs)
    assert teacher.speedup == 1.0 and all(one.speedup is not None for one in students)
    assert table.test_images == SHAPES[system][2]
    readings = [json.loads(line) for line in (runs / READINGS).read_text().splitlines()]
    begun, ended = (
        [row["weights_sha256"] for row in readings if ("accuracy" in row) == over] for over in (False, True)
    )
    assert len(set(begun)) == len(begun) == len(table.rows) and ended == begun


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "muon"])
def test_the_teachers_row_names_its_recipe_whatever_its_optimiser(
    tmp_path: Path, counting: type[Counting], monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    def other(*arguments: Any) -> Trained:
        made = teacher(*arguments)
        relu = tuple(conv.changed(pieces=1) for conv in made.net.convs)  # what Muon needs: ReLU and normalisation
        training = made.training.changed(optimizer=optimizer, weight_decay=0.0)
        return made.changed(net=made.net.changed(convs=relu, norm="batch"), training=training)

    monkeypatch.setattr("fitnets.paper.recipes.teacher", other)
    data = folder(tmp_path / "data", "aflw")
    result = invoke("paper", "aflw", "--data", data, "--runs", tmp_path / "runs", "--recipe", "modern")
    assert result.exit_code == 0, result.output
    (table,) = tables(tmp_path / "runs")
    assert table.experiment.teacher.training.optimizer == optimizer
    assert {one.family for one in table.rows} == {"modern"}


def test_the_same_command_trains_only_what_is_missing(tmp_path: Path, counting: type[Counting]) -> None:
    words = ("paper", "mnist", "--data", folder(tmp_path / "data", "mnist"), "--runs", tmp_path / "runs")
    assert invoke(*words).exit_code == 0
    assert counting.submitted == [0, 1, 2]
    (before,) = tables(tmp_path / "runs")
    assert invoke(*words).exit_code == 0
    assert counting.submitted == [0, 1, 2]
    done = sorted((tmp_path / "runs/paper/done").iterdir())
    lost = FinishedRun.model_validate_json(done[0].read_text())
    done[0].unlink()
    assert lost.outcome is not None
    assert invoke(*words).exit_code == 0
    number = next(n for n, run in enumerate(before.experiment.runs()) if run[2] == lost.recipe)
    assert counting.submitted == [0, 1, 2, number]
    (after,) = tables(tmp_path / "runs")
    assert [one.test_errors for one in after.rows] == [one.test_errors for one in before.rows]
    done[0].unlink()
    result = invoke(*words, "--dry-run")
    assert "1 of 3 runs to train on 1 slot(s): teacher 0 s" in result.output
    assert not done[0].exists()


def test_a_run_without_its_weights_counts_as_missing(tmp_path: Path) -> None:
    kept = FinishedRuns(tmp_path, Store(tmp_path / "store"))
    recipe = experiment("mnist", "quick", ("modern",), 1, "float32").arms[0].recipe
    sha = "0" * 64
    outcome = Outcome(
        val_accuracy=0.5,
        best_val_accuracy=0.5,
        hint_r2=None,
        seconds=1.0,
        weights_sha256=sha,
        teacher="t",
        data="d",
        versions={},
    )
    kept.put("a", FinishedRun(recipe=recipe, outcome=outcome), b"weights")
    assert kept.get("a") == FinishedRun(recipe=recipe, outcome=outcome)
    kept.store.remove("student", sha)
    assert kept.get("a") is None
    kept.put("b", FinishedRun(recipe=recipe, outcome=None), None)
    assert kept.get("b") is not None, "a training that diverged has no weights to lose"


def test_a_training_that_diverges_counts_as_guessing(
    tmp_path: Path, counting: type[Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Counting, seconds: float) -> Any:
        assert self._running is not None
        number, _ = self._running
        if number == 0:
            self._running = (number, broken("Diverged", "the loss became nan"))
        return Crew.wait(self, seconds)

    monkeypatch.setattr(Counting, "wait", fails)
    data = folder(tmp_path / "data", "mnist")
    result = invoke("paper", "mnist", "--data", data, "--runs", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    (table,) = tables(tmp_path / "runs")
    assert [one.diverged for one in table.rows] == [0, 1, 0, 0]
    assert table.rows[1].test_errors == (90.0,) and table.rows[1].speedup is None


def test_another_failure_ends_the_command_after_the_others(
    tmp_path: Path, counting: type[Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Counting, seconds: float) -> Any:
        assert self._running is not None
        if self._running[0] == 0:
            self._running = (0, broken("RuntimeError", "out of memory"))
        return Crew.wait(self, seconds)

    monkeypatch.setattr(Counting, "wait", fails)
    result = invoke("paper", "mnist", "--data", folder(tmp_path / "data", "mnist"), "--runs", tmp_path / "runs")
    assert result.exit_code == 1
    assert "1 of 3 runs failed; mnist/fitnet by backpropagation, seed 0: RuntimeError: out of memory" in " ".join(
        result.output.split()
    )
    assert len(list((tmp_path / "runs/paper/done").iterdir())) == 2


def test_images_of_another_shape_are_refused_before_anything_is_timed(tmp_path: Path, counting: type[Counting]) -> None:
    data = folder(tmp_path / "data", "aflw")
    for path in (data / "aflw").glob("*/*/*.png"):
        Image.open(path).resize((12, 16)).save(path)
    result = invoke("paper", "aflw", "--data", data, "--runs", tmp_path / "runs", "--dry-run")
    assert result.exit_code == 2
    assert (
        f"the images of `aflw` in `{data}` are (3, 16, 12) with 2 classes, but the paper's `aflw/teacher` takes "
        "(3, 16, 16) and tells 2 classes apart: put such images there"
    ) in " ".join(result.output.split())


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_trained(
    tmp_path: Path, counting: type[Counting]
) -> None:
    (out := tmp_path / "out").write_text("a file, not a folder")
    data = folder(tmp_path / "data", "aflw")
    result = invoke("paper", "aflw", "--data", data, "--runs", tmp_path / "runs", "--out", out)
    assert result.exit_code == 2
    assert f"`{out}` cannot be written" in result.output and "another folder with --out" in result.output
    assert counting.submitted == []


def test_a_table_that_cannot_be_written_is_told_in_words_of_out(tmp_path: Path, counting: type[Counting]) -> None:
    data, out = folder(tmp_path / "data", "aflw"), tmp_path / "out"
    (out / "aflw-quick-modern.json").mkdir(parents=True)
    result = invoke("paper", "aflw", "--data", data, "--runs", tmp_path / "runs", "--out", out)
    assert result.exit_code == 2
    assert "aflw-quick-modern.json` cannot be written" in result.output and "--out" in result.output
    assert len(list((out / "done").iterdir())) == 3, "every run is kept"


@pytest.mark.parametrize("name", ["aflw-quick-modern.json", "aflw-quick-modern.png"])
def test_a_file_that_is_no_table_of_ours_is_left_as_it_is(tmp_path: Path, counting: type[Counting], name: str) -> None:
    data, out = folder(tmp_path / "data", "aflw"), tmp_path / "out"
    out.mkdir()
    for theirs in (name, ".writable"):
        (out / theirs).write_text("mine")
    result = invoke("paper", "aflw", "--data", data, "--runs", tmp_path / "runs", "--out", out)
    assert result.exit_code == 2
    assert "is not a table of this command's: choose another folder with --out" in " ".join(result.output.split())
    assert [(out / theirs).read_text() for theirs in (name, ".writable")] == ["mine", "mine"]
    assert counting.submitted == []


def test_a_dry_run_trains_nothing(tmp_path: Path, counting: type[Counting]) -> None:
    data = folder(tmp_path / "data", "mnist")
    result = invoke("paper", "mnist", "--data", data, "--runs", tmp_path / "runs", "--dry-run")
    assert result.exit_code == 0
    assert "3 of 3 runs to train" in result.output
    assert counting.submitted == []
    assert not (tmp_path / "runs/paper").exists()


SECONDS = Speed(train_step=1.0, forward=0.0)


def expected(*arms: Arm, missing: Sequence[int], retrain: bool = False, has: bool = True) -> Forecast:
    """For 90 + 10 images, where a training step takes a second an image, and a pass over it none."""
    facts = Facts(shape=(3, 32, 32), classes=("a",), train=90, val=10, images="", device="cpu", native="float32")
    planned = experiment("cifar10", "full", ("paper",), 1, "float32")
    planned = planned.changed(arms=arms, teacher=planned.teacher.changed(retrain=retrain))
    return forecast(planned, facts, missing, has, lambda net, batch, precision: SECONDS)


def test_a_forecast_counts_the_hints_stage_the_label_hints_and_the_training_on_all_images() -> None:
    arms = {arm.method: arm for arm in experiment("cifar10", "full", ("paper",), 1, "float32").arms}
    once = {method: arm.changed(recipe=arm.recipe.changed(retrain=False)) for method, arm in arms.items()}
    tried: tuple[Method, ...] = ("hints", "labels, labels", "labels, KD")
    hints, labels, kd, joint, plain = expected(
        *(once[name] for name in (*tried, "joint, labels", "backpropagation")), missing=range(5)
    ).runs
    assert joint == plain == 500 * 90
    assert 500 * 90 < hints == labels == kd < 2 * 500 * 90, "the same layers are guided"
    assert expected(arms["backpropagation"], missing=[0]).runs == (500 * (90 + 100),)
    stopped = once["KD"].recipe.changed(stage2=once["KD"].recipe.stage2.changed(until=20))
    assert expected(once["KD"].changed(recipe=stopped), missing=[0]).runs == (20 * 90,)


def test_a_forecast_is_of_what_is_missing() -> None:
    arms = experiment("cifar10", "full", ("paper",), 1, "float32").arms[:3]
    left = expected(*arms, missing=[1])
    assert [seconds > 0 for seconds in left.runs] == [False, True, False]
    assert "1 of 3 runs to train" in left.line([1], 2) and left.teacher == 0
    assert expected(*arms, missing=[], has=False).teacher == 474 * 90
    assert expected(*arms, missing=[], has=False, retrain=True).teacher == 474 * (90 + 100)


@pytest.mark.parametrize("system", ["mnist", "cifar10", "cifar100", "svhn", "aflw", "figure2"])
def test_what_is_taken_where_the_paper_contradicts_itself_is_told_with_the_papers_recipe(system: System) -> None:
    for scale in ("quick", "full"):
        got = {
            families: " ".join(experiment(system, scale, families, 1, "float32").differs)
            for families in (("paper",), ("modern",), ("paper", "modern"))
        }
        for reading in TAKEN[system]:
            assert reading in got["paper",] and reading in got["paper", "modern"]
            assert reading not in got["modern",]
        own = data_of(system, scale, "paper")
        both = own == data_of(system, scale, "modern")
        assert "drawn at random" in got["paper",] or "a tenth of each class" in got["paper",]
        assert ("on the modern recipe's images" in got["paper", "modern"]) is not both
        assert f"not on its own ({seen(own)})" in got["paper", "modern"] or both


def test_what_networks_see_in_words() -> None:
    assert seen(data_of("cifar10", "full", "paper")) == "GCN and ZCA, flips"
    assert seen(data_of("cifar10", "full", "modern")) == "standardised, shifts by up to 4, flips"
    assert seen(data_of("svhn", "full", "paper")) == "local contrast normalisation"


@pytest.mark.parametrize("scale", ["quick", "full"])
@pytest.mark.parametrize("system", ["mnist", "cifar10", "cifar100", "svhn", "aflw", "figure2"])
def test_every_experiment_is_a_value(system: System, scale: Scale) -> None:
    planned = experiment(system, scale, ("paper", "modern"), None, "bf16")
    assert Experiment.model_validate_json(planned.model_dump_json()) == planned
    runs = planned.runs()
    assert len({recipe.digest() for _, _, recipe in runs}) == len(runs) == len(planned.arms) * planned.seeds
    assert {recipe.precision for arm, _, recipe in runs if arm.family == "paper"} == {"float32"}
    assert planned.data == data_of(system, scale, "modern")


def test_the_methods_differ_in_nothing_but_the_losses_and_the_start() -> None:
    for family in FAMILIES:
        labels, kd, hints = (arm.recipe for arm in experiment("mnist", "full", (family,), 1, "float32").arms)
        assert hints.hint is not None and hints.without_hints() == kd
        assert labels.distill.lambda_start == labels.distill.lambda_end == 0
        assert labels.changed(distill=kd.distill) == kd


def test_the_small_figure_2_holds_its_budget() -> None:
    arms = experiment("figure2", "quick", ("modern",), 1, "float32").arms
    depths = [arm.recipe.student.depth for arm in arms if arm.method == "hints"]
    assert depths == [5, 7, 9, 11, 13]
    for arm in arms:
        assert cost(arm.recipe.student).macs == pytest.approx(SMALL_BUDGET, rel=0.03)


def test_figure_2_as_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")  # in the group `dev`, and the extra `paper`
    planned = experiment("figure2", "quick", ("paper", "modern"), 1, "float32")
    net = planned.teacher.net
    seed = Seed(test=Measured(test_accuracy=0.99, seconds=1.0), val_accuracy=0.99, train_seconds=1.0)
    rows = [row("mnist/teacher", "teacher", "modern", net, [seed], net, 1.0)]
    rows += [row(a.name, a.method, a.family, a.recipe.student, [seed, seed], net, 1.0) for a in planned.arms]
    comparison = Comparison(
        experiment=planned,
        rows=tuple(rows),
        differs=(),
        train_images=1,
        test_images=1,
        machine="here",
        versions={"torch": "2"},
        made="now",
    )
    assert draw(comparison, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_no_picture(
    tmp_path: Path, counting: type[Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    data = folder(tmp_path / "data", "aflw")
    result = invoke("paper", "aflw", "--data", data, "--runs", tmp_path / "runs")
    assert result.exit_code == 0
    assert "fitnet-search[paper]" in result.output
    assert [path.suffix for path in (tmp_path / "runs/paper").iterdir() if path.is_file()] == [".json"]


def test_the_papers_recipe_is_the_references() -> None:
    """The reference's `defaults_cifar_fitnet`, word by word."""
    printed = REFERENCE["defaults_cifar_fitnet"]
    recipe = next(a.recipe for a in experiment("cifar10", "full", ("paper",), 1, "bf16").arms if a.method == "hints")
    for training in (recipe.stage1, recipe.stage2):
        assert training is not None and training.lr_scale is not None and training.max_norm is not None
        assert (training.optimizer, training.lr, training.batch) == ("rmsprop", printed["lr"], printed["batch"])
        assert training.lr_scale.conv == printed["lr_scale"]["conv_W"] == printed["lr_scale"]["conv_b"]
        scales = (training.lr_scale.dense, training.lr_scale.output, training.lr_scale.regressor)
        assert scales == tuple(printed["lr_scale"][name] for name in ("fc", "softmax", "regressor"))
        norms, limits = training.max_norm, printed["max_norm"]
        assert norms.convs == (limits["conv_filter_l2"],) and norms.regressor == limits["regressor_filter_l2"]
        assert (norms.dense, norms.output) == (limits["fc_col_l2"], limits["softmax_col_l2"])
        assert (training.patience, training.epochs, training.keep) == (100, 500, "best")
        assert training.weight_decay == 0
    assert (recipe.init, recipe.init_range) == (printed["init"]["dist"], printed["init"]["range"])
    distill = recipe.distill
    assert (distill.tau, distill.lambda_start, distill.lambda_end) == (3, 4, 1)
    assert not distill.tau_squared and distill.soften_student
    assert recipe.hint is not None and (recipe.hint.regressor, recipe.hint.scale) == ("paper", "paper")
    assert recipe.retrain and recipe.precision == "float32"
    figure = experiment("figure2", "full", ("paper",), 1, "bf16").arms
    assert not any(arm.recipe.retrain for arm in figure), "section 4.1: not retrained"


@pytest.mark.parametrize("system", ["cifar10", "svhn", "mnist"])
def test_the_papers_teachers_are_trained_as_the_reference_says(system: System) -> None:
    printed = REFERENCE["datasets"][system]["teacher"]["train"]
    training = (one := teacher(system, "paper", 500)).training
    assert (training.optimizer, training.nesterov, training.lr, training.batch) == ("sgd", False, printed["lr"], 128)
    ramp = training.momentum_ramp
    assert ramp is not None and f"{training.momentum:g} -> {ramp.to:g}" == " ".join(printed["momentum"].split()[:3])
    assert f"by epoch {ramp.by}" in printed["momentum"]
    assert one.dropout is not None and (one.dropout.keep_input, one.dropout.keep) == (0.8, 0.5)
    assert (one.init, one.init_range) == ("uniform", 0.005)
    assert training.last == printed.get("epochs", 500)
    assert (training.patience == 100) is ("100 epochs" in printed.get("stop", ""))
    assert one.retrain is (system == "cifar10"), "474 epochs on all 50,000"


def test_ensembles_of_teachers_differ_in_their_seeds() -> None:
    one = teacher("mnist", "modern", 3)
    several = ensemble(one, 3)
    assert [member.seed for member in several.members] == [0, 1, 2]
    assert all(member.changed(seed=0) == one for member in several.members)
    retrained = teacher("cifar10", "paper", 3)
    assert retrained.retrain and not any(member.retrain for member in ensemble(retrained, 2).members)


def test_the_alternatives_are_tried_on_the_papers_net() -> None:
    arms = experiment("cifar10", "full", ("paper",), 1, "float32").arms
    tried = [arm for arm in arms if arm.method in ALTERNATIVES]
    assert [arm.method for arm in tried] == list(ALTERNATIVES)
    assert {arm.name for arm in tried} == {"cifar10/fitnet4"}
    hints = next(arm for arm in arms if arm.name == "cifar10/fitnet4" and arm.method == "hints").recipe
    for arm in tried:
        assert arm.recipe.hint is None and arm.recipe.guided == hints.guided == 11
        assert (arm.recipe.stage1 is None) is arm.method.startswith("joint")
        assert (arm.recipe.distill.lambda_start == 0) is arm.method.endswith("labels")
        assert arm.recipe.stage2 == hints.stage2


def test_figure_2_with_both_recipes_and_the_alternatives(
    tmp_path: Path, counting: type[Counting], monkeypatch: pytest.MonkeyPatch
) -> None:
    deepest = experiments.ALTERNATIVES_ON
    monkeypatch.setattr(experiments, "SMALL_FIGURE_2", {deepest: experiments.SMALL_FIGURE_2[deepest]})
    data = folder(tmp_path / "data", "mnist")
    result = invoke("paper", "figure2", "--data", data, "--runs", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    (table,) = tables(tmp_path / "runs")
    teacher, *students = table.rows
    assert teacher.name == "mnist/teacher"
    wanted = [("paper", method) for method in (*METHODS, *ALTERNATIVES)] + [("modern", method) for method in METHODS]
    assert [(one.family, one.method) for one in students] == wanted
    assert "one teacher for both recipes" in result.output


def test_a_second_command_on_the_same_table_is_refused(tmp_path: Path, counting: type[Counting]) -> None:
    data = folder(tmp_path / "data", "mnist")
    with Store(tmp_path / "runs/store").claimed("paper", "mnist-quick") as mine:
        assert mine
        result = invoke("paper", "mnist", "--data", data, "--runs", tmp_path / "runs")
    assert result.exit_code == 2
    assert "another command trains mnist, quick" in result.output
    assert counting.submitted == []


def test_jpeg_images_are_called_so(tmp_path: Path, counting: type[Counting]) -> None:
    data = folder(tmp_path / "data", "aflw")
    for path in (data / "aflw").glob("*/*/*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    assert invoke("paper", "aflw", "--data", data, "--runs", tmp_path / "runs").exit_code == 0
    (table,) = tables(tmp_path / "runs")
    assert any("aflw from JPEG files" in got for got in table.differs)


@pytest.mark.parametrize(
    ("workers", "gpu", "wanted"), [("cuda:0", False, "cpu"), ("cuda:0", True, "cuda:0"), ("cpu", True, "cpu")]
)
def test_a_head_without_a_gpu_tests_what_gpus_trained(
    workers: str, gpu: bool, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    assert device_here(workers) == wanted
