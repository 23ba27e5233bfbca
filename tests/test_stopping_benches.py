"""The benches of stopping: as many students on a table, and whole studies of real trainings at equal epochs."""

from pathlib import Path

import pytest

from bench import stopping
from bench.begun import study
from bench.quality_tables import FOLDER, load
from search.driver.stopping import Stopping
from search.workers.inline import InlineWorkers
from tests.helpers import STUDY


def test_as_many_students_cost_less_with_stopping_and_every_one_is_counted() -> None:
    known = load(FOLDER, "kd_digits_mlp")
    whole, early = study(known, 3, 12, None), study(known, 3, 12, Stopping())
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
    workers = InlineWorkers()
    facts = workers.open(chosen.data, Path("nowhere"), tmp_path)
    taught = workers.teach(chosen.resolved_teacher(facts.shape, len(facts.classes)), lambda report: None)
    frame = chosen.frame(facts.shape, len(facts.classes), len(taught.hint_shapes))
    values, epochs, begun, stopped = stopping.searched(chosen, frame, workers, tmp_path, None)
    assert (len(values), epochs, begun, stopped) == (3, 3 * (1 + 6), 3, 0)
    early = stopping.searched(chosen.changed(stopping=Stopping(audit=0.0)), frame, workers, tmp_path, epochs)
    assert epochs < early[1] <= epochs + 1, "the epoch that was one too many"
    assert early[2] == len(early[0]) + early[3] and early[3] > 0
    assert workers.free() == 1, "the student whose epochs were spent is not heard by the next search"
    short = stopping.searched(chosen, frame, workers, tmp_path, 5)
    assert short[:2] == ([], 6) and workers.free() == 1
    volumes = [stopping.hypervolume(found, chosen, frame, 0.1) for found in (values, early[0])]
    assert all(0 < volume < 1 for volume in volumes)
