"""`search.run --like OTHER`: a new study begins with another one's front, and never sees its values."""

import itertools
import math
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import moocore
import pytest

from fitnets.nets.cost import cost
from search.driver.like import Like, Theirs, most_volume, rebuilt
from search.driver.sampling.proposals import Known
from search.read.candidates import Snapshot
from search.read.reader import read
from search.ship.confirmed import stored_confirmation
from search.space import params_of, recipe_of, suggest
from search.storage.address import storage_url
from search.workers.inline import InlineWorkers
from tests.app import synthetic
from tests.commands import inline_crews, invoke, study_file
from tests.helpers import STUDY
from tests.search.driver.test_loop import FRAME


@pytest.fixture
def runs(finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder with a finished study; workers in this process."""
    inline_crews(monkeypatch)
    shutil.copytree(finished[1], tmp_path / "runs")
    return tmp_path / "runs"


class Draws:
    """Suggests numbers in the middle or at an end of their range."""

    def __init__(self, share: float):
        self.share = share

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return low + step * round(self.share * (high - low) / step)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low + self.share * (high - low)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices[0]


def students(number: int) -> list[Any]:
    """Recipes of growing cost, as drawn from the study's space."""
    return [recipe_of(suggest(Draws(i / max(1, number - 1)), STUDY.space), STUDY.space, FRAME) for i in range(number)]


def test_a_new_study_begins_with_the_others_front(runs: Path, tmp_path: Path) -> None:
    url = storage_url(runs, None)
    other = read(url, STUDY.name)
    file = study_file(tmp_path / "second", STUDY.changed(name="second", trials=len(other.front()) + 1))
    result = invoke("run", file, "--runs", runs, "--like", STUDY.name)
    assert result.exit_code == 0, result.output
    second = read(url, "second")
    front = [c for c in second.candidates if c.name is not None]
    assert sorted(c.name or "" for c in front) == sorted(f"like:{STUDY.name}:{c.trial}" for c in other.front())
    assert {c.trial for c in front} == set(range(len(front))), "they come before the sampler's first draw"
    own = {c.trial: c.recipe for c in other.candidates}
    for student in front:
        assert student.recipe.student == own[int((student.name or "").split(":")[2])].student
    finished = [c for c in second.candidates if c.state == "complete"]
    assert len(finished) == len(other.front()) + 1
    assert read(url, STUDY.name) == other


def test_a_study_that_stopped_before_its_first_student_begins_with_the_stored_front(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option need not be given again."""
    number = len(read(storage_url(runs, None), STUDY.name).front())
    file = study_file(tmp_path / "second", STUDY.changed(name="second", trials=number))

    def interrupted(self: Any, number: int, recipe: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(InlineWorkers, "submit", interrupted)
        result = invoke("run", file, "--runs", runs, "--like", STUDY.name)
    assert result.exit_code == 130
    assert f"--like {STUDY.name}" in result.output, "the command that continues it is complete"
    assert invoke("run", file, "--runs", runs).exit_code == 0
    names = [c.name or "" for c in read(storage_url(runs, None), "second").candidates]
    assert len(set(names)) == number
    assert all(name.startswith(f"like:{STUDY.name}:") for name in names)


def confirm(runs: Path, *accuracies: float) -> list[int]:
    """Fresh runs of the finished study's three students, the cheapest first; their numbers in that order."""
    candidates = read(storage_url(runs, None), STUDY.name).candidates
    trials = [c.trial for c in sorted(candidates, key=lambda c: (c.cost.params, c.cost.macs))]
    found = [(trial, [mean - 0.01, mean, mean + 0.01]) for trial, mean in zip(trials, accuracies, strict=True)]
    synthetic.confirm(runs / "studies.db", found, name=STUDY.name)
    return trials


@pytest.mark.parametrize(
    ("means", "on_front"), [((0.9, 0.8, 0.7), [0]), ((0.7, 0.8, 0.9), [0, 2]), ((0.7, 0.9, 0.8), [0, 1])]
)
def test_where_the_other_study_is_confirmed_the_means_decide(
    runs: Path, tmp_path: Path, means: tuple[float, ...], on_front: list[int]
) -> None:
    """Two of the three students cost the same."""
    trials = confirm(runs, *means)
    url = storage_url(runs, None)
    other = read(url, STUDY.name)
    like = Like.of(other, stored_confirmation(url, other), 8)
    assert {(t.name, round(t.accuracy, 6)) for t in like.front} == {
        (f"like:{STUDY.name}:{trials[i]}", means[i]) for i in on_front
    }
    assert all(t.accuracy != single for t in like.front for single in accuracies_of(other)), "no single run's"
    file = study_file(tmp_path / "second", STUDY.changed(name="second", trials=len(on_front)))
    assert invoke("run", file, "--runs", runs, "--like", STUDY.name).exit_code == 0
    names = [c.name for c in read(url, "second").candidates]
    assert sorted(name or "" for name in names) == sorted(t.name for t in like.front)


def accuracies_of(study: Snapshot) -> list[float]:
    """Of its single runs."""
    return [c.outcome.val_accuracy for c in study.candidates if c.outcome]


def test_a_driver_that_dies_midway_leaves_exactly_the_rest_to_the_next_one(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies when it gives the second to a worker: the first is trained, the others have not begun."""
    path, rng = runs / "studies.db", random.Random(0)
    synthetic.empty(path, "source")
    for i, theirs in enumerate(front_of(8)):
        about = synthetic.trained(i, rng, theirs.recipe)
        about["outcome"]["val_accuracy"] = theirs.accuracy
        synthetic.fill(path, [("COMPLETE", about)], "source")
    url = storage_url(runs, None)
    names = {f"like:source:{c.trial}" for c in read(url, "source").front()}
    assert len(names) >= 3
    file = study_file(tmp_path / "second", STUDY.changed(name="second", trials=len(names) + 1))
    submit, submitted = InlineWorkers.submit, list[int]()

    class Crash(BaseException):
        """The driver dies."""

    def dies(self: Any, number: int, recipe: Any) -> None:
        submitted.append(number)
        if submitted == [0, 1]:
            raise Crash
        submit(self, number, recipe)

    monkeypatch.setattr(InlineWorkers, "submit", dies)
    with pytest.raises(Crash):
        invoke("run", file, "--runs", runs, "--like", "source")
    before = read(url, "second").candidates
    assert [c.state for c in before] == ["complete", "running"]
    assert invoke("run", file, "--runs", runs).exit_code == 0
    after = read(url, "second").candidates
    assert submitted == [0, 1, *range(1, len(names) + 1)], "the second again, then the rest, then the sampler's first"
    assert [c.recipe for c in after[:2]] == [c.recipe for c in before]
    assert sorted(c.name or "" for c in after[:-1]) == sorted(names), "each once"
    assert after[-1].name is None
    assert {c.state for c in after} == {"complete"}


def test_the_sampler_sees_no_value_of_the_other_study(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    add = Known.add

    def noted(self: Known, number: int, params: Any, costs: Any, accuracy: Any, rungs: Any) -> None:
        seen.append(accuracy)
        add(self, number, params, costs, accuracy, rungs)

    monkeypatch.setattr(Known, "add", noted)
    file = study_file(tmp_path / "second", STUDY.changed(name="second", trials=6))
    assert invoke("run", file, "--runs", runs, "--like", STUDY.name).exit_code == 0
    own = [c.outcome.val_accuracy for c in read(storage_url(runs, None), "second").candidates if c.outcome]
    assert seen and len(seen) < len(own)
    assert seen == own[: len(seen)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--like", "nothing"], "nothing"),
        (["--like", "../x"], "`--like` is `../x`"),
        (["--like", STUDY.name], "began without `--like tiny`, which only a new study can take"),
    ],
)
def test_wrong_input_is_one_line(finished: tuple[Path, Path], runs: Path, words: list[str], says: str) -> None:
    result = invoke("run", finished[0], "--runs", runs, "--trials", 9, *words)
    assert result.exit_code == 2
    assert says in result.output


def test_another_number_of_stages_is_refused_before_anything_starts(runs: Path, tmp_path: Path) -> None:
    three = STUDY.changed(name="three", space=STUDY.space.changed(stages=3))
    result = invoke("run", study_file(tmp_path / "three", three), "--runs", runs, "--like", STUDY.name)
    assert result.exit_code == 2
    assert "whose students have 2 stages, but this space has 3" in result.output


def test_students_are_clipped_to_the_space_and_those_over_the_limits_left_out() -> None:
    recipes = students(6)
    front = [Theirs(str(i), recipe, 0.9) for i, recipe in enumerate(recipes)]
    limit = sorted(cost(r.student).params for r in recipes)[3]
    study = STUDY.changed(max_params=limit)
    other = Snapshot(study="other", definition={}, teacher={}, images={}, candidates=())
    chosen = Like(other, front, 8).students(study, FRAME)
    assert chosen
    for _, recipe in chosen:
        assert cost(recipe.student).params <= limit
        assert recipe == recipe_of(params_of(recipe, STUDY.space, FRAME), STUDY.space, FRAME)


def test_students_below_the_least_accuracy_are_left_out_where_others_are_above() -> None:
    front = front_of(6)
    middle = sorted(t.accuracy for t in front)[2]
    names = [{name for name, _ in rebuilt(front, STUDY.changed(min_accuracy=a), FRAME, 8)} for a in (middle, 0.999)]
    assert names == [{t.name for t in front if t.accuracy >= middle}, {t.name for t in front}]


def front_of(number: int) -> list[Theirs]:
    """Different students; each that costs more is more accurate, those of a middling cost by little."""
    distinct = list({recipe.digest(): recipe for recipe in students(number)}.values())
    distinct.sort(key=lambda recipe: cost(recipe.student).macs)
    return [Theirs(str(i), recipe, 0.5 + 0.4 * (i / len(distinct)) ** 0.3) for i, recipe in enumerate(distinct)]


def volume(chosen: Iterable[Theirs], front: list[Theirs]) -> float:
    """As in `most_volume`, written down again."""
    rows = {
        t.name: (-t.accuracy, *(math.log(getattr(cost(t.recipe.student), n)) for n in ("params", "macs")))
        for t in front
    }
    lows, highs = ([pick(column) for column in zip(*rows.values(), strict=True)] for pick in (min, max))
    points = [
        [(x - low) / (high - low) for x, low, high in zip(rows[t.name], lows, highs, strict=True)] for t in chosen
    ]
    return float(moocore.hypervolume(points, ref=[1.1] * 3))


def test_the_chosen_students_hold_most_of_the_fronts_hypervolume() -> None:
    front = front_of(12)
    chosen = most_volume(front, 3)
    best = max(volume(three, front) for three in itertools.combinations(front, 3))
    assert volume(chosen, front) > 0.95 * best
    for number in range(1, 4):  # greedy: none that was left out would have added more
        added = [volume([*chosen[: number - 1], one], front) for one in front if one not in chosen[: number - 1]]
        assert volume(chosen[:number], front) == pytest.approx(max(added))


def test_a_short_front_is_taken_whole_and_an_empty_one_is_empty() -> None:
    front = front_of(3)
    assert sorted(most_volume(front, 8)) == sorted(front)
    assert most_volume(front[:1], 8) == front[:1]
    assert most_volume([], 8) == []
