"""Studies and their fresh runs in one zip file, small enough to keep with the documents: no images, weights or tables.

    python -m bench.front STUDY [STUDY ...] [--runs runs] [--out docs/cifar10/front.zip]

`make cifar10-front` unpacks it and opens every page of the studies, without training anything. To go on with them, or
to pick a student, takes the runs folder itself. The path of this machine's images is left out. Printed are the fronts,
as tables in Markdown.
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import optuna

from bench.hardware import table
from search.read.candidates import SUFFIX, Candidate
from search.read.reader import read
from search.ship.confirmed import stored_confirmation
from search.ship.sure.confirmed_table import interval
from search.storage.address import storage_url
from search.units import format_accuracy, format_count, format_stages

NAME = "studies.db"
DATA = "data"


def copied(names: list[str], source: str, target: str) -> None:
    """Copy studies, and the fresh runs of those that have them, from one storage to another, which is new."""
    stored = set(optuna.get_all_study_names(source))
    for name in names:
        for each in (name, name + SUFFIX):
            if each == name or each in stored:
                optuna.copy_study(from_study_name=each, from_storage=source, to_storage=target)
                study = optuna.load_study(study_name=each, storage=target)
                study.set_user_attr("images", study.user_attrs["images"] | {"data_dir": DATA})


def front_table(url: str, name: str) -> str:
    """A study's front in Markdown, the smallest student first: by its fresh runs, where there are some."""
    snapshot = read(url, name)
    found = stored_confirmation(url, snapshot)
    if found is None:
        students = [(c, [_accuracy(c)]) for c in snapshot.front()]
    else:
        candidates = {c.trial: c for c in snapshot.candidates}
        confirmed = [(candidates[each.trial], interval(found, each).replace("+-", "±")) for each in found.front()]
        students = [(c, [mean, _accuracy(c)]) for c, mean in confirmed]
    lines = [[_student(c), *accuracies, *_costs(c.cost.params, c.cost.macs), _hint(c)] for c, accuracies in students]
    teacher = snapshot.teacher
    unknown = [""] if found else []
    accuracies = [f"{format_accuracy(teacher['val_accuracy'])}{' (one run)' if found else ''}", *unknown]
    lines.append(["its teacher", *accuracies, *_costs(teacher["params"], teacher["macs"]), ""])
    columns = ["accuracy", "the search said"] if found else ["accuracy (one run)"]
    return table(["student", *columns, "parameters", "multiply-adds", "guided <- hint"], lines)


def _student(c: Candidate) -> str:
    shortcuts = ", shortcuts" if any(conv.shortcut for conv in c.recipe.student.convs) else ""
    return f"{c.trial}: {format_stages(c.recipe.student.stages).replace(' |', ',')}{shortcuts}"


def _accuracy(c: Candidate) -> str:
    assert c.outcome is not None
    return format_accuracy(c.outcome.val_accuracy)


def _hint(c: Candidate) -> str:
    return f"{c.recipe.hint.guided} <- {c.recipe.hint.hint}" if c.recipe.hint else ""


def _costs(*costs: int) -> list[str]:
    return [format_count(cost) for cost in costs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/cifar10/front.zip"))
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        url = f"sqlite:///{path}"
        copied(given.studies, storage_url(given.runs, None), url)
        with zipfile.ZipFile(given.out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as whole:
            whole.write(path, NAME)
        print("\n\n".join(front_table(url, name) for name in given.studies))
    print(f"{given.out}: {given.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
