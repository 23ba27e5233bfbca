"""Does the two-stage procedure help? One student, retrained with new seeds in five ways.

    python -m bench.baselines digits --max-params 10000 --runs runs --seeds 5

Takes the most accurate student within the limit from a finished study, and prints mean and standard deviation of the
validation accuracy of: backpropagation, KD, and hints with stage 2 of equal length; and backpropagation and KD over as
many epochs as both stages together. The student's settings were chosen by the search for hints with KD.
"""

import argparse
import statistics
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fitnets.config import Recipe
from search.read.budget import Budget, fitting
from search.read.reader import read
from search.storage.address import storage_url
from search.study import Study
from search.units import format_count, format_stages
from search.workers.trainer import Trainer

FIRST_SEED = 1000  # not used by the search


def variants(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe in five ways."""
    assert recipe.stage1 is not None
    both = recipe.stage1.epochs + recipe.stage2.epochs
    longer = recipe.changed(stage2=recipe.stage2.changed(epochs=both))
    return {
        "backpropagation": recipe.backpropagation(),
        "KD": recipe.without_hints(),
        "hints, then KD": recipe,
        "backpropagation, as long as both stages": longer.backpropagation(),
        "KD, as long as both stages": longer.without_hints(),
    }


def epochs(recipe: Recipe) -> str:
    """The lengths of the stages."""
    return f"{recipe.stage1.epochs} + {recipe.stage2.epochs}" if recipe.stage1 else str(recipe.stage2.epochs)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("study")
    parser.add_argument("--max-params", type=int, default=10_000)
    parser.add_argument("--trial", type=int, help="this student instead of the most accurate within the limit")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    snapshot = read(storage_url(options.runs, None), options.study)
    study = Study.model_validate(snapshot.definition)
    within = fitting(snapshot.candidates, Budget(max_params=options.max_params))
    candidate = next(c for c in within if options.trial in (None, c.trial))
    recipe = candidate.recipe
    trainer = Trainer(study.data, snapshot.images["data_dir"], str(options.runs / "store"), "cpu", 1)
    facts = trainer.facts()
    teacher = study.resolved_teacher(facts.shape, len(facts.classes), facts.native)
    for _ in trainer.train_teacher(teacher):
        pass
    accuracy = trainer.open_teacher(teacher, None).val_accuracy
    pair = f"{recipe.hint.guided} <- {recipe.hint.hint}" if recipe.hint else "-"
    print(
        f"Trial {candidate.trial}: {format_stages(recipe.student.stages)}, {candidate.cost.params:,} parameters,",
        end=" ",
    )
    print(f"{format_count(candidate.cost.macs)} multiply-adds, hint {pair}.")
    print(f"\n| training | epochs | validation accuracy, n={options.seeds} |\n|---|---|---|")
    print(f"| teacher ({format_count(snapshot.teacher['params'])} parameters) | | {accuracy:.2%} (n=1) |")
    for name, variant in variants(recipe).items():
        runs = [trainer.trained(variant.changed(seed=FIRST_SEED + i)).outcome for i in range(options.seeds)]
        scores = [outcome.val_accuracy for outcome in runs]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        print(f"| {name} | {epochs(variant)} | {statistics.fmean(scores):.2%} ± {100 * spread:.2f} |")
        sys.stdout.flush()
    versions = f"Python {sys.version.split()[0]}, torch {version('torch')}"
    print(f"\n{facts.val} validation images; one CPU thread, {versions}, {datetime.now(UTC).date()};", end=" ")
    print(f"`python -m bench.baselines {' '.join(sys.argv[1:])}`")


if __name__ == "__main__":
    main()
