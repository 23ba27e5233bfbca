"""Studies and their fresh runs in one zip file, small enough to keep with the documents: no images, weights or tables.

    python -m bench.front STUDY [STUDY ...] [--runs runs] [--out docs/cifar10/front.zip]

Unpacked into a folder, `python -m app --runs FOLDER` shows every page of the studies without training anything. To go
on with them, or to pick a student, takes the runs folder itself. The path of this machine's images is left out.
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import optuna

from search.read.candidates import SUFFIX
from search.storage.address import storage_url

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
        copied(given.studies, storage_url(given.runs, None), f"sqlite:///{path}")
        with zipfile.ZipFile(given.out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as whole:
            whole.write(path, NAME)
    print(f"{given.out}: {given.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
