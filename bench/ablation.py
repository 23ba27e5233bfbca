"""What each part of the `cifar10` study's recipe is worth, at equal CPU-seconds.

    python -m bench.ablation --data DIR [--runs runs] [--study cifar10] [--seeds 3] [--epochs 8] [--part NAME ...]

One student of the study's space is trained as the study trains, and then without one part at a time. A variant gets as
many epochs of stage 2 as take the same CPU-seconds, by a timed epoch of each; evaluation counts, the teacher's tables
do not: they are filled before. The teacher is the study's own, from `--runs`, or is trained there. One thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.hardware import table, versions
from fitnets.config import Data, Hint, Precision, Recipe
from fitnets.values.net import Net
from search.study import Study, find_study
from search.workers.trainer import Trainer

STAGES = ((16,), (32, 32), (64, 64), (128,))
ADAMW_RATES = (3e-3, 1e-2, 3e-2)  # as much tuning as Muon had
SEED = 2000  # not used by a search


def recipe_for(
    study: Study, shape: tuple[int, int, int], classes: int, hints: int, epochs: int, native: Precision
) -> Recipe:
    """The student in the middle of the study's settings, with so many epochs of stage 2.

    `native`: the precision in which this processor trains fastest.
    """
    frame = study.frame(shape, classes, hints, native)
    stages = STAGES[: study.space.stages]
    student = study.space.student(frame, stages, study.space.dense)
    return Recipe(
        student=student,
        hint=Hint(hint=min(4, hints), guided=len(student.convs) // 2),
        stage1=study.stage1,
        distill=study.distill.changed(tau=2.0, lambda_start=4.0, lambda_end=1.0),
        stage2=study.stage2.changed(epochs=epochs),
        precision=frame.precision,
    )


def parts(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe with one part replaced, by the part's name; float32 for bf16 where the recipe has bf16."""

    def net(**changes: Any) -> Recipe:
        old = recipe.student
        shortcuts = any(conv.shortcut for conv in old.convs)
        settings: dict[str, Any] = {"pieces": old.convs[0].pieces, "norm": old.norm, "shortcuts": shortcuts} | changes
        return recipe.changed(student=Net.staged(old.input, old.classes, old.stages, **settings))

    def both(**changes: Any) -> Recipe:
        assert recipe.stage1 is not None
        return recipe.changed(stage1=recipe.stage1.changed(**changes), stage2=recipe.stage2.changed(**changes))

    adamw = {rate: both(optimizer="adamw", lr=rate, schedule="one-cycle") for rate in ADAMW_RATES}
    bf16 = {"float32, not bf16": recipe.changed(precision="float32")} if recipe.precision == "bf16" else {}
    return {f"AdamW {rate:g}, not Muon": variant for rate, variant in adamw.items()} | {
        "cosine, not linear": both(schedule="cosine"),
        "batch 125, not 250": both(batch=125),
        "batch 500, not 250": both(batch=500),
        "no shortcuts": net(shortcuts=False),
        "maxout, not ReLU (AdamW 1e-2)": adamw[ADAMW_RATES[1]].changed(student=net(pieces=2).student),
        "no normalisation (AdamW 3e-3)": adamw[ADAMW_RATES[0]].changed(student=net(norm="none").student),
        "no hints: stage 2 alone": recipe.without_hints(),
        "labels alone": recipe.backpropagation(),
        **bf16,
    }


def data_parts(data: Data, epochs: int) -> dict[str, Data]:
    """The images with one part of their views replaced, by the part's name; the teacher stays the study's."""
    plans = max(2, epochs // 4 * 2)
    return {
        "random flips": data.changed(flips="random"),
        f"{plans} view plans, not {epochs}": data.changed(plans=plans),
    }


def seconds_of(call: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the CPU-seconds it took."""
    began = time.process_time()
    return call(), time.process_time() - began


def with_equal_cost(trainer: Trainer, base: Recipe, variant: Recipe) -> Recipe:
    """The variant with as many epochs of stage 2 as cost what the base costs."""

    def costs(recipe: Recipe) -> tuple[float, float]:
        """CPU-seconds of stage 1 and of an epoch of stage 2."""
        short = recipe.changed(stage2=recipe.stage2.changed(epochs=1), seed=SEED)
        whole = seconds_of(partial(trainer.trained, short))[1]
        alone = seconds_of(partial(trainer.trained, short.without_hints()))[1] if recipe.hint else whole
        return max(0.0, whole - alone), alone

    (before, epoch), (other_before, other_epoch) = costs(base), costs(variant)
    epochs = max(1, round((before + base.stage2.epochs * epoch - other_before) / other_epoch))
    return variant.changed(stage2=variant.stage2.changed(epochs=epochs))


def fill_hints(trainer: Trainer, recipe: Recipe) -> None:
    """The tables of stage 1 in the recipe's precision, by a short training that counts for nothing."""
    trainer.trained(recipe.changed(stage2=recipe.stage2.changed(epochs=1), seed=SEED - 1))


def fill(trainer: Trainer, recipe: Recipe, epochs: int) -> None:
    """The teacher's logits of so many epochs."""
    assert trainer.teacher is not None
    for epoch in range(1, epochs + 1):
        trainer.teacher.logits(trainer.images, epoch, trainer.store, recipe.precision)


def main() -> None:
    """Print a line for each part as it ends, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--study", default="cifar10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8, help="of stage 2, as the study trains")
    parser.add_argument("--part", action="append", help="only this part; may be repeated")
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = find_study(options.study)
    trainer = Trainer(study.data, str(options.data), str(options.runs / "store"), "cpu", 1)
    facts = trainer.facts()
    teacher = study.resolved_teacher(facts.shape, len(facts.classes), facts.native)
    for report in trainer.train_teacher(teacher):
        print(f"teacher {report.epoch}/{report.epochs}", flush=True)
    opened = trainer.open_teacher(teacher, None)
    base = recipe_for(study, facts.shape, len(facts.classes), len(opened.hint_shapes), options.epochs, facts.native)
    tried = [(name, variant, study.data) for name, variant in parts(base).items()]
    tried += [(name, base, data) for name, data in data_parts(study.data, options.epochs).items()]
    chosen = [each for each in tried if not options.part or each[0] in options.part]
    rows, scores = list[list[str]](), dict[str, list[float]]()
    filled = set[tuple[Data, Precision]]()
    for name, variant, data in [("as the study trains", base, study.data), *chosen]:
        trainer.images = replace(trainer.images, data=data)
        for precision in sorted({base.precision, variant.precision}):
            if (data, precision) not in filled:
                fill_hints(trainer, base.changed(precision=precision))
                filled.add((data, precision))
        recipe = with_equal_cost(trainer, base, variant) if variant != base else base
        fill(trainer, recipe, recipe.stage2.epochs)
        again = [recipe.changed(seed=SEED + i) for i in range(options.seeds)]
        runs = [seconds_of(partial(trainer.trained, each)) for each in again]
        scores[name] = [result.outcome.val_accuracy for result, _ in runs]
        first = scores["as the study trains"]
        gaps = [own - theirs for own, theirs in zip(scores[name], first, strict=True)]
        error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else float("nan")
        epochs = f"{recipe.stage1.epochs if recipe.hint and recipe.stage1 else 0} + {recipe.stage2.epochs}"
        seconds = statistics.fmean(seconds for _, seconds in runs)
        gap = "" if not rows else f"{statistics.fmean(gaps):+.2%} ± {error:.2%}"
        rows.append([name, epochs, f"{seconds:.0f}", f"{statistics.fmean(scores[name]):.2%}", gap])
        print(" | ".join(rows[-1]), flush=True)
    print(f"\n{versions('torch')}; n={options.seeds} seeds, {facts.val} validation images")
    print(f"teacher {opened.val_accuracy:.2%}\n")
    print(table(["part", "epochs", "CPU s", "validation", "difference ± its standard error"], rows))


if __name__ == "__main__":
    main()
