"""Results: the front against brute force, states as the search leaves them, and a reader that never writes."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from fitnets.config import Cost, Outcome
from fitnets.errors import DiskError, InputError
from fitnets.nets.cost import cost
from search.driver.loop import DIRECTIONS
from search.driver.registration import recording_the_end
from search.read.candidates import Candidate, State, as_csv, marked
from search.read.reader import read
from search.storage.address import storage_url
from search.storage.faults import StorageLost
from search.storage.writer import open_storage
from search.workers.protocol import Stopped
from tests.commands import invoke
from tests.helpers import RECIPE, STUDY
from tests.search.read.test_pareto import brute

OUTCOME = Outcome(
    val_accuracy=0.75,
    best_val_accuracy=0.8,
    hint_r2=0.5,
    seconds=3.0,
    weights_sha256="0" * 64,
    teacher="t",
    data="d",
    versions={},
)
FEW = st.integers(0, 4)


def candidate(trial: int, accuracy: float, params: int, macs: int, state: State = "complete") -> Candidate:
    """A row with these objectives."""
    price = Cost(params=params, weights=params, macs=macs, weight_bytes=4 * params, peak_activation_bytes=4)
    return Candidate(
        trial=trial,
        name=None,
        state=state,
        on_front=False,
        recipe=RECIPE,
        cost=price,
        outcome=OUTCOME.changed(val_accuracy=accuracy) if state == "complete" else None,
        reports=(),
        reason=None,
    )


@settings(max_examples=100)
@given(st.lists(st.tuples(FEW, st.integers(1, 5), st.integers(1, 5), st.booleans()), max_size=15))
def test_candidates_on_the_front_are_the_finished_ones_that_none_dominates(
    rows: list[tuple[int, int, int, bool]],
) -> None:
    states: list[State] = ["complete", "running"]
    candidates = [candidate(i, a / 4, p, m, states[not done]) for i, (a, p, m, done) in enumerate(rows)]
    done = [c for c in candidates if c.state == "complete"]
    wanted = {done[i].trial for i in brute([(-a / 4, p, m) for a, p, m, finished in rows if finished])}
    assert {c.trial for c in marked(candidates) if c.on_front} == wanted


def test_equal_students_are_both_on_the_front() -> None:
    pair = marked([candidate(0, 0.5, 10, 10), candidate(1, 0.5, 10, 10), candidate(2, 0.5, 11, 10)])
    assert [c.on_front for c in pair] == [True, True, False]


def stored(folder: Path) -> str:
    """A study with a trial in every state, as the search leaves them."""
    url = storage_url(folder, None)
    storage = open_storage(url)
    study = optuna.create_study(study_name="tiny", storage=storage, directions=DIRECTIONS)
    study.set_user_attr("study", STUDY.model_dump(mode="json"))
    price = cost(RECIPE.student)
    about: dict[str, Any] = {"recipe": RECIPE.model_dump(mode="json"), "cost": price.model_dump(mode="json")}
    outcome = {"outcome": OUTCOME.model_dump(mode="json")}
    news = {"reports": [{"stage": "stage 1", "epoch": 1, "epochs": 2, "loss": 0.5, "hint_r2": 0.25, "seconds": 1.5}]}
    got: list[tuple[TrialState, dict[str, Any]]] = [
        (TrialState.COMPLETE, about | outcome | news | {"name": "theirs", "started": 12.5}),
        (TrialState.RUNNING, about | news),
        (TrialState.FAIL, about | {"reason": "Diverged: nan"}),
        (TrialState.PRUNED, about | {"infeasible": True}),
        (TrialState.PRUNED, about | news),
        (TrialState.WAITING, {}),
        (TrialState.FAIL, {"recipe": {"of": "another version"}}),
    ]
    for state, attributes in got:
        values = [OUTCOME.val_accuracy, 3.0, 4.0] if state == TrialState.COMPLETE else None
        study.add_trial(create_trial(state=state, values=values, user_attrs=attributes))
    storage.remove_session()
    storage.engine.dispose()
    return url


def test_a_driver_tells_of_its_end_however_it_ends(tmp_path: Path) -> None:
    url = stored(tmp_path)
    storage = open_storage(url)
    assert read(url, "tiny").stopped is None
    for ends in (KeyboardInterrupt, InputError, None):
        with nullcontext() if ends is None else pytest.raises(ends), recording_the_end("tiny", storage):
            assert read(url, "tiny").stopped is None, "it runs again"
            if ends is not None:
                raise ends
        assert read(url, "tiny").stopped == pytest.approx(time.time(), abs=5)


def test_a_driver_tells_why_it_ended(tmp_path: Path) -> None:
    url = stored(tmp_path)
    storage = open_storage(url)
    with pytest.raises(Stopped), recording_the_end("tiny", storage):
        raise Stopped("5 trials in a row failed: lower the learning rate.")
    assert read(url, "tiny").reason == "5 trials in a row failed: lower the learning rate."
    with pytest.raises(ZeroDivisionError), recording_the_end("tiny", storage):
        assert read(url, "tiny").reason is None, "it runs again"
        raise ZeroDivisionError("division by zero")
    assert read(url, "tiny").reason == "ZeroDivisionError: division by zero"
    assert read(url, "tiny").stopped is None, "its trials may be the cause"
    with pytest.raises(KeyboardInterrupt), recording_the_end("tiny", storage):
        raise KeyboardInterrupt
    assert read(url, "tiny").reason is None


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (InputError("`lr` is 90: choose 0.1 or less"), "said"),
        (DiskError("`runs` cannot be written: make room on that disk and run the same command again."), "said"),
        (Stopped("Ray's process has died: run the same command again, and it goes on."), "said"),
        (Stopped("5 trials in a row failed in the same way", repeats=True), "change"),
        (OSError(24, "Too many open files"), "change"),
        (StorageLost("the storage failed"), "again"),
        (KeyError("x"), "again"),
    ],
)
def test_a_driver_tells_what_to_do_about_its_end(tmp_path: Path, error: Exception, advice: str) -> None:
    url = stored(tmp_path)
    with pytest.raises(type(error)), recording_the_end("tiny", open_storage(url)):
        raise error
    assert read(url, "tiny").advice == advice


def test_a_study_deleted_while_its_driver_ran_hides_no_reason(tmp_path: Path) -> None:
    storage = open_storage(stored(tmp_path))
    with pytest.raises(Stopped, match="was deleted"), recording_the_end("tiny", storage):
        optuna.delete_study(study_name="tiny", storage=storage)
        raise Stopped("the study was deleted")


def test_what_is_left_out_of_the_results_is_told(tmp_path: Path) -> None:
    study = optuna.load_study(study_name="tiny", storage=open_storage(stored(tmp_path)))
    values, theirs = [0.9, 3.0, 4.0], {"recipe": {"of": "another version"}}
    study.add_trial(create_trial(state=TrialState.COMPLETE, values=values, user_attrs=theirs))
    for form in ("table", "json", "csv"):
        result = invoke("results", "digits", "--name", "tiny", "--runs", tmp_path, "--format", form)
        assert result.exit_code == 0
        assert "trial 7 is left out: its recipe is another version's" in result.stderr
        assert "left out" not in result.stdout


def test_states_are_the_contracts(tmp_path: Path) -> None:
    snapshot = read(stored(tmp_path), "tiny")
    assert {c.trial: c.state for c in snapshot.candidates} == {
        0: "complete",
        1: "running",
        2: "failed",
        3: "infeasible",
        4: "pruned",
    }
    assert [c.on_front for c in snapshot.candidates] == [True, False, False, False, False]
    first, running, failed = snapshot.candidates[:3]
    assert (first.name, first.outcome, first.started) == ("theirs", OUTCOME, 12.5)
    assert first.recipe == RECIPE and first.cost == cost(RECIPE.student)
    assert running.reports[0].hint_r2 == 0.25
    assert failed.reason == "Diverged: nan"
    assert [c.trial for c in snapshot.front()] == [0]
    assert {row.trial for row in snapshot.unread} == {5, 6}
    assert snapshot.definition == STUDY.model_dump(mode="json")


def test_rows_have_the_contracts_keys_in_every_state(tmp_path: Path) -> None:
    wanted = {"trial", "state", "val_accuracy", "params", "macs", "on_front", "depth", "widths", "hint_layer"}
    wanted |= {"guided_layer", "tau", "lambda_start", "lambda_end", "seconds", "recipe"}
    rows = [c.row() for c in read(stored(tmp_path), "tiny").candidates]
    for row in rows:
        assert wanted <= set(row)
    assert [row["val_accuracy"] for row in rows] == [0.75, None, None, None, None]
    assert [row["seconds"] for row in rows] == [3.0, 1.5, 0, 0, 1.5]
    assert len({tuple(row) for row in rows}) == 1, "every row has the same keys in the same order"
    assert as_csv(rows).count("\n") == 6
    assert as_csv([]) == ""


def test_a_recipe_without_hints_has_no_layers() -> None:
    row = candidate(0, 0.5, 1, 1).changed(recipe=RECIPE.without_hints()).row()
    assert (row["hint_layer"], row["guided_layer"]) == (None, None)


def test_a_missing_storage_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no study storage at"):
        read(storage_url(tmp_path / "runs", None), "tiny")
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_another_name_is_refused_with_those_there_are(tmp_path: Path) -> None:
    url = stored(tmp_path)
    with pytest.raises(InputError, match="has no study `digits`: it has tiny"):
        read(url, "digits")


def test_reading_writes_nothing(tmp_path: Path) -> None:
    url = stored(tmp_path)
    optuna.storages.RDBStorage(url).engine.dispose()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".db"}
    for _ in range(2):
        read(url, "tiny")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".db"} == before


@pytest.mark.parametrize("name", ["with space", "50%", "ü", "a:b@c"])
def test_writer_and_reader_agree_on_odd_folder_names(tmp_path: Path, name: str) -> None:
    """Characters that mean something in a URL."""
    url = stored(tmp_path / name)
    assert (tmp_path / name / "studies.db").is_file()
    assert len(read(url, "tiny").candidates) == 5
