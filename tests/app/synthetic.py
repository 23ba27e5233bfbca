"""Storages for the tests of the pages: any number of plausible trials, written directly into Optuna's tables."""

import json
import math
import random
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna

from fitnets.config import Hint, Outcome, Recipe, Report, Training
from fitnets.nets.cost import cost
from fitnets.values.net import Net
from fitnets.values.per_class import PerClass
from fitnets.values.per_image import PerImage
from search.read.candidates import CONFIRMS, SUFFIX, Confirms
from search.read.reader import read
from search.ship.confirmed import run_name
from search.storage.writer import open_storage
from search.study import find_study

START = 1_790_000_000.0
EPOCHS = (3, 5)


def empty(path: Path, name: str = "digits", **about: Any) -> str:
    """A storage with a study that has no trials yet; its URL. `about` replaces the study's attributes."""
    url = f"sqlite:///{path}"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url)
    study = optuna.create_study(study_name=name, storage=storage, directions=["maximize", "minimize", "minimize"])
    teacher_cost = cost(Net.staged((1, 8, 8), 10, ((32,), (48,), (64,)))).model_dump()
    known = {
        "study": find_study("digits").changed(name=name).model_dump(mode="json"),
        "teacher": {"teacher": "t" * 64, "hint_shapes": [[32, 4, 4], [48, 2, 2]], "val_accuracy": 0.9874}
        | teacher_cost,
        "images": {"shape": [1, 8, 8], "classes": list("0123456789"), "train": 1000, "val": 396, "device": "cpu"},
    } | about
    for key, value in known.items():
        study.set_user_attr(key, value)
    storage.remove_session()
    storage.engine.dispose()
    return url


def recipe(rng: random.Random, hinted: bool = True) -> Recipe:
    """A student for 8x8 images: two stages of random depths and widths."""
    base = rng.choice((4, 8, 12, 16))
    later = 4 * max(1, round(base * rng.uniform(1, 3) / 4))
    stages = ((base,) * rng.randint(1, 5), (later,) * rng.randint(1, 5))
    student = Net.staged((1, 8, 8), 10, stages)
    last = len(student.convs)
    training = {"batch": 64, "schedule": "one-cycle"}
    return Recipe(
        student=student,
        hint=Hint(hint=rng.randint(1, 2), guided=rng.randint(1, last - 1)) if hinted else None,
        stage1=Training(epochs=EPOCHS[0], lr=10 ** rng.uniform(-3.5, -1.5), **training) if hinted else None,
        stage2=Training(epochs=EPOCHS[1], lr=10 ** rng.uniform(-3.5, -1.5), **training),
        seed=rng.randrange(10**6),
    ).changed(distill={"tau": rng.uniform(1, 10), "lambda_start": rng.uniform(0.5, 8), "lambda_end": rng.random() / 2})


def trained(number: int, rng: random.Random, student: Recipe | None = None) -> dict[str, Any]:
    """The attributes of a finished trial, as the driver writes them."""
    chosen = student or recipe(rng)
    price = cost(chosen.student)
    accuracy = 0.99 - 0.6 / math.sqrt(price.params / 100) * rng.uniform(0.7, 1.6)
    accuracy = min(0.995, max(0.1, accuracy))
    outcome = Outcome(
        val_accuracy=accuracy,
        best_val_accuracy=accuracy + 0.002,
        hint_r2=0.6 if chosen.hint else None,
        seconds=rng.uniform(1, 4),
        weights_sha256=f"{number:064x}",
        teacher="t" * 64,
        data="d" * 64,
        versions={"torch": "2.13"},
    )
    about = {
        "outcome": outcome.model_dump(mode="json"),
        "classes": classes(random.Random(number), 10).model_dump(mode="json"),
        "right": right(round(396 * accuracy)).model_dump(mode="json"),
    }
    return running(number, rng, chosen, sum(EPOCHS)) | about


def classes(rng: random.Random, count: int) -> PerClass:
    """Predictions for forty images of each class, about nine in ten of them right, as counts."""
    predicted = [[true if rng.random() < 0.9 else rng.randrange(count) for _ in range(40)] for true in range(count)]
    return PerClass.counted([[row.count(other) for other in range(count)] for row in predicted])


def right(count: int, of: int = 396) -> PerImage:
    """This many right images of the 396 that the synthetic studies validate on: the first ones, the easy ones."""
    return PerImage.counted(i < count for i in range(of))


def running(number: int, rng: random.Random, student: Recipe | None = None, epochs: int = 2) -> dict[str, Any]:
    """The attributes of a trial in training, with this many epochs reported."""
    chosen = student or recipe(rng)
    reports = []
    for epoch in range(1, epochs + 1):
        first = epoch <= EPOCHS[0]
        reports.append(
            Report(
                stage="stage 1" if first else "stage 2",
                epoch=epoch if first else epoch - EPOCHS[0],
                epochs=EPOCHS[0] if first else EPOCHS[1],
                loss=1 / epoch,
                hint_r2=1 - 1 / (epoch + 1) if first else None,
                val_accuracy=None if first else 1 - 1 / epoch,
                lam=None if first else 4 / epoch,
                seconds=0.1,
            ).model_dump(mode="json", exclude_none=True)
        )
    return {
        "recipe": chosen.model_dump(mode="json"),
        "cost": cost(chosen.student).model_dump(mode="json"),
        "digest": chosen.digest(),
        "started": START + 2 * number,
        "reports": reports,
    }


def at_rung(epoch: int, order: int, accuracy: float, *, goes_on: bool, audited: bool = False) -> dict[str, Any]:
    """An arrival at a rung, as the driver writes it."""
    counts = {"dominators": 0 if goes_on and not audited else 2, "better": 0 if goes_on and not audited else 3}
    verdict = counts | {"goes_on": goes_on, "audited": audited, "peers": order + 4}
    return {"epoch": epoch, "order": order, "accuracy": accuracy} | verdict


def stopped(number: int, rng: random.Random, epoch: int = 2) -> dict[str, Any]:
    """The attributes of a trial that was stopped after this epoch of stage 2."""
    about = running(number, rng, epochs=EPOCHS[0] + epoch)
    rungs = [at_rung(epoch, number, 0.5, goes_on=False)]
    return about | {"rungs": rungs, "stopped_at": {"epoch": epoch, "seconds": 0.5}}


def fill(path: Path, rows: Iterable[tuple[str, dict[str, Any]]], name: str = "digits") -> None:
    """Append trials, each a state of Optuna's and its attributes."""
    with sqlite3.connect(path) as db:
        study = db.execute("SELECT study_id FROM studies WHERE study_name = ?", (name,)).fetchone()[0]
        number = db.execute("SELECT COUNT(*) FROM trials WHERE study_id = ?", (study,)).fetchone()[0]
        trial_id = db.execute("SELECT COALESCE(MAX(trial_id), 0) FROM trials").fetchone()[0]
        trials, attributes = [], []
        for state, attrs in rows:
            trial_id += 1
            ended = None if state in ("RUNNING", "WAITING") else _moment(number + 1)
            trials.append((trial_id, number, study, state, _moment(number), ended))
            attributes += [(trial_id, key, json.dumps(value)) for key, value in attrs.items()]
            number += 1
        db.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)", trials)
        db.executemany("INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (?, ?, ?)", attributes)
    db.close()


def study(path: Path, trials: int, seed: int = 0, **about: Any) -> str:
    """A storage with this many trials: about 85 % trained, 10 % over the limits and 5 % failed."""
    url = empty(path, **about)
    rng = random.Random(seed)
    rows: list[tuple[str, dict[str, Any]]] = []
    for number in range(trials):
        kind = rng.random()
        attrs = trained(number, rng)
        if kind < 0.8:
            rows.append(("COMPLETE", attrs))
        elif kind < 0.9:
            rows.append(("PRUNED", {"recipe": attrs["recipe"], "cost": attrs["cost"], "infeasible": True}))
        elif kind < 0.95:
            rows.append(("FAIL", running(number, rng) | {"reason": f"Diverged: loss is nan in epoch {number % 3}"}))
        else:
            rows.append(("COMPLETE", trained(number, rng, recipe(rng, hinted=False))))
    fill(path, rows)
    return url


def confirm(
    path: Path, runs: Sequence[tuple[int, Sequence[float | str]]], seeds: int = 3, name: str = "digits"
) -> None:
    """Runs with fresh seeds of this study's students: of each trial, the accuracies of its first runs.

    Instead of an accuracy, `failed`, or `running`.
    """
    students = {c.trial: c for c in read(f"sqlite:///{path}", name).candidates}
    confirms = Confirms(study=name, trials=tuple(trial for trial, _ in runs), seeds=seeds)
    about = find_study("digits").changed(name=name + SUFFIX, trials=seeds * len(runs))
    empty(path, name + SUFFIX, study=about.model_dump(mode="json"), **{CONFIRMS: confirms.model_dump(mode="json")})
    for trial, found in runs:
        for run, result in enumerate(found):
            add_run(path, students[trial].recipe, run_name(trial, run), result, name)


def add_run(path: Path, student: Recipe, run: str, result: float | str, name: str = "digits") -> None:
    """One more run with a fresh seed."""
    attrs = trained(0, random.Random(0), student.changed(seed=zlib.crc32(run.encode()))) | {"name": run}
    if isinstance(result, float):
        attrs["outcome"] |= {"val_accuracy": result, "best_val_accuracy": result}
    else:
        attrs = {key: value for key, value in attrs.items() if key != "outcome"}
        attrs |= {"reason": "Diverged: loss is nan"} if result == "failed" else {}
    state = {"failed": "FAIL", "running": "RUNNING"}.get(str(result), "COMPLETE")
    fill(path, [(state, attrs)], name + SUFFIX)


def _moment(number: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(START + 2 * number, UTC).replace(tzinfo=None).isoformat(sep=" ")
