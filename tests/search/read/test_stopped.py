"""What a reader sees of stopping: stops, epochs saved, audits, and the bound on false stops."""

import io
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search import results
from search.read.candidates import Candidate, Snapshot
from search.read.progress import pace, shifts, standing
from search.read.reader import read
from search.read.row import row
from search.read.stopped import describe, false_stop_bound, stops
from tests.app import synthetic


def snapshot(tmp_path: Path, rows: list[tuple[str, dict[str, Any]]], **about: Any) -> Snapshot:
    url = synthetic.empty(tmp_path / "studies.db", **about)
    synthetic.fill(tmp_path / "studies.db", rows)
    return read(url, "digits")


def example() -> list[tuple[str, dict[str, Any]]]:
    """Two trained, one of them audited and far from the front; stops at two rungs; a twin; one over the limits."""
    rng = random.Random(0)
    good, bad = synthetic.trained(0, rng), synthetic.trained(4, rng)
    good["outcome"]["val_accuracy"], bad["outcome"]["val_accuracy"] = 0.99, 0.2
    bad["cost"] = {name: 10 * value for name, value in good["cost"].items()}
    rungs = [synthetic.at_rung(2, 0, 0.9, goes_on=True), synthetic.at_rung(3, 1, 0.9, goes_on=True)]
    late = synthetic.stopped(2, rng, 3)
    late["rungs"].insert(0, synthetic.at_rung(2, 4, 0.5, goes_on=True))
    twin = {name: value for name, value in late.items() if name != "rungs"} | {"same_as": 2}
    audit = [synthetic.at_rung(2, 5, 0.1, goes_on=True, audited=True)]
    audit.append(synthetic.at_rung(3, 6, 0.1, goes_on=True, audited=True))
    over = {"recipe": good["recipe"], "cost": good["cost"], "infeasible": True}
    return [
        ("COMPLETE", good | {"rungs": rungs}),
        ("PRUNED", synthetic.stopped(1, rng)),
        ("PRUNED", late),
        ("PRUNED", twin),
        ("COMPLETE", bad | {"rungs": audit}),
        ("PRUNED", over),
    ]


def test_stops_are_counted_once_and_by_rung(tmp_path: Path) -> None:
    rows = snapshot(tmp_path, example()).candidates
    assert [c.state for c in rows] == ["complete", "pruned", "pruned", "pruned", "complete", "infeasible"]
    assert [c.stopped_at for c in rows] == [None, 2, 3, 3, None, None]
    assert [c.audited for c in rows] == [False, False, False, False, True, False]
    assert [c.on_front for c in rows] == [True, False, False, False, False, False]
    found = stops(rows)
    assert found is not None
    assert [(r.epoch, r.reached, r.stopped) for r in found.rungs] == [(2, 4, 1), (3, 3, 1)]
    assert (found.students, found.epochs_saved) == (2, 3 + 2)
    assert (found.audited, found.false) == (1, 0)
    assert found.bound == pytest.approx(0.95)
    assert describe(found) == (
        "stopped early: 1 of 4 after epoch 2, 1 of 3 after epoch 3; 5 epochs saved. 1 is audited (trained to the end "
        "although to be stopped), 0 of them on the front: at most 95% of the stops are false, at 95% confidence"
    )


def test_an_audited_student_on_the_front_is_a_false_stop(tmp_path: Path) -> None:
    rows = example()
    rows[4][1]["outcome"]["val_accuracy"] = 0.995
    found = stops(snapshot(tmp_path, rows).candidates)
    assert found is not None and (found.audited, found.false, found.bound) == (1, 1, 1.0)


def test_a_study_without_stops_says_nothing_of_them(tmp_path: Path) -> None:
    rows = [("COMPLETE", synthetic.trained(0, random.Random(0)))]
    found = snapshot(tmp_path, rows)
    assert stops(found.candidates) is None
    assert "stopped" not in printed(found)


def test_audits_that_have_not_ended_prove_nothing(tmp_path: Path) -> None:
    rows = example()
    running = synthetic.running(4, random.Random(0)) | {"rungs": rows[4][1]["rungs"]}
    found = stops(snapshot(tmp_path, [*rows[:4], ("RUNNING", running)]).candidates)
    assert found is not None and (found.audited, found.bound) == (0, 1.0)
    assert describe(found).endswith(
        "5 epochs saved. None was audited (trained to its end although it was to be stopped)"
    )


def printed(found: Snapshot) -> str:
    out = io.StringIO()
    results.print_results(found, Console(file=out, width=200))
    return out.getvalue()


def test_the_results_tell_of_the_stops_and_each_row_has_its_own(tmp_path: Path) -> None:
    found = snapshot(tmp_path, example())
    text = printed(found)
    assert "2 trained, 3 stopped early, 0 running, 0 failed; 1 over the limits and never trained." in text
    assert "stopped early: 1 of 4 after epoch 2, 1 of 3 after epoch 3; 5 epochs saved." in text
    rows = json.loads(json.dumps([c.row() for c in found.candidates]))
    assert [(row["state"], row["stopped_at"], row["audited"], row["val_accuracy"] is None) for row in rows[:5]] == [
        ("complete", None, False, False),
        ("pruned", 2, False, True),
        ("pruned", 3, False, True),
        ("pruned", 3, False, True),
        ("complete", None, True, False),
    ]


@pytest.mark.parametrize(("wanted", "word"), [(5, "finished"), (6, "stopped")])
def test_stopped_students_count_as_begun_and_those_over_the_limits_do_not(
    tmp_path: Path, wanted: int, word: str
) -> None:
    found = snapshot(tmp_path, example(), study={"trials": wanted})
    assert standing(found).word(time.time()) == word
    going = pace(found)
    assert going is not None and going.left == wanted - 5
    assert [(s.trial, s.state) for s in shifts(found, time.time())] == [
        (0, "complete"),
        (1, "pruned"),
        (2, "pruned"),
        (4, "complete"),
    ]


@pytest.mark.parametrize("text", ["3", '[{"epoch": "x"}]', "[[]]", "{"])
def test_rungs_of_another_version_are_left_out(tmp_path: Path, text: str) -> None:
    about = {name: json.dumps(value) for name, value in synthetic.stopped(1, random.Random(0)).items()}
    found = row(1, "PRUNED", None, None, about | {"rungs": text, "stopped_at": text})
    assert isinstance(found, Candidate)
    assert (found.state, found.rungs, found.stopped_at) == ("pruned", (), None)


@pytest.mark.parametrize(("false", "audits"), [(0, 1), (0, 59), (2, 20), (19, 20)])
def test_the_bound_is_where_so_few_false_stops_have_a_chance_of_one_in_twenty(false: int, audits: int) -> None:
    bound = false_stop_bound(false, audits)
    chance = sum(math.comb(audits, k) * bound**k * (1 - bound) ** (audits - k) for k in range(false + 1))
    assert chance == pytest.approx(0.05)


def test_the_bound_without_evidence_is_one() -> None:
    assert (false_stop_bound(0, 0), false_stop_bound(3, 3)) == (1.0, 1.0)


@pytest.mark.parametrize("wrong", [(-1, 3, 0.95), (4, 3, 0.95), (0, 3, 1.0), (0, 3, 0.0)])
def test_counts_that_cannot_be_are_refused(wrong: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match=f"{wrong[0]} false stops among {wrong[1]} audits"):
        false_stop_bound(*wrong)
