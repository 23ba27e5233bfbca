"""The benches of stopping: as many students on a table, and whole studies of real trainings at equal epochs."""

from pathlib import Path

import pytest

from bench import like
from bench.quality.samplers import RandomStudents
from bench.quality.tables import FOLDER, load
from bench.stopping import digits as stopping
from bench.stopping.begun import study
from search.driver.stopping import Stopping
from tests.helpers import STUDY


def test_as_many_students_cost_less_with_stopping_and_every_one_is_counted() -> None:
    known = load(FOLDER, "kd_digits_mlp")
    whole, early = (study(known, 3, 12, stopping, RandomStudents(known, 3)) for stopping in (None, Stopping()))
    assert whole.trainings == pytest.approx(12)
    assert (whole.ended, whole.stopped.total()) == (12, 0)
    assert early.ended + early.stopped.total() == early.reached[0] == 12
    assert early.reached[1] == 12 - early.stopped[0]
    saved = early.stopped[0] * 40 / 80 + early.stopped[1] * 20 / 80
    assert early.trainings == pytest.approx(12 - saved) and saved > 0
    assert 0 < early.volume <= whole.volume


def test_real_studies_end_when_their_epochs_are_spent(tmp_path: Path) -> None:
    """The epochs of a student that would need more are spent, but it does not count."""
    chosen = STUDY.changed(stage2=STUDY.stage2.changed(epochs=6), stopping=None)
    images = stopping.opened(chosen, Path("nowhere"), tmp_path)
    workers, frame = images.workers, images.frame(chosen)
    whole, epochs = stopping.searched(chosen, frame, workers, tmp_path)
    assert (len(stopping.values_of(whole)), epochs, whole.trained(), whole.ledger.stopped) == (3, 3 * (1 + 6), 3, 0)
    early, spent = stopping.searched(chosen.changed(stopping=Stopping(audit=0.0)), frame, workers, tmp_path, epochs)
    assert epochs < spent <= epochs + 1, "the epoch that was one too many"
    assert early.trained() == len(stopping.values_of(early)) + early.ledger.stopped and early.ledger.stopped > 0
    assert workers.free() == 1, "the student whose epochs were spent is not heard by the next search"
    short, spent = stopping.searched(chosen, frame, workers, tmp_path, 5)
    assert (stopping.values_of(short), spent, workers.free()) == ([], 6, 1)
    volumes = [stopping.hypervolume(stopping.values_of(search), chosen, frame, 0.05) for search in (whole, early)]
    assert all(0 < volume < 1 for volume in volumes)


def test_a_study_like_another_begins_with_its_front(tmp_path: Path) -> None:
    """The volumes are of the students within the new limit, after each of them."""
    images = stopping.opened(STUDY, Path("nowhere"), tmp_path)
    workers, frame = images.workers, images.frame(STUDY)
    found = like.compared(STUDY.changed(stopping=None), frame, workers, tmp_path, max_params=10**9, students=3)
    assert len(found.warm) == len(found.cold) == 3
    assert found.warm == sorted(found.warm) and found.cold == sorted(found.cold)
    assert found.line > 0 and found.reached(found.warm) is not None, "all of its front is trained again"
