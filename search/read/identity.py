"""Whether a stored study is the one that is asked for: its definition and its images. No torch, no ray."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fitnets.images.printable import shown
from search.read.candidates import Snapshot
from search.study import Study

SHOWN = 12  # digits of a digest that people see
CHANGEABLE = {"trials", "trial_seconds", "max_disk", "gpu_fraction", "teacher.min_accuracy"}
MOST_NAMED = 3  # differences between two definitions, where they are only noted


def changes(stored: Mapping[str, Any], study: Study) -> list[str]:
    """What differs between a stored definition and `study`, a line each; fields added since take their defaults."""
    with suppress(ValidationError):
        stored = Study.model_validate(stored).model_dump(mode="json")
    return differences(stored, study.model_dump(mode="json"))


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two definitions of a study, a line each; the fields of CHANGEABLE are left out."""
    before, after = dict(_flattened(stored)), dict(_flattened(now))
    names = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    return [f"{name}: was {before.get(name)}, is now {after.get(name)}" for name in names if name not in CHANGEABLE]


def _flattened(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flattened(inner, f"{path}.{name}" if path else name)
    else:
        yield path, value


def definition_note(name: str, stored: Mapping[str, Any], study: Study) -> str | None:
    """A line to print when the stored study `name` has another definition than `study` has now; else None.

    It may be a smoke run of it, and --name and --seed may have changed those fields.
    """
    own = {"name": stored.get("name"), "seed": stored.get("seed")}
    found: list[list[str]] = []
    for now in (study, study.smoke()):
        with suppress(ValidationError):
            found.append(changes(stored, now.changed(**own)))
    changed = min(found, key=len, default=[])
    if not changed:
        return None
    more = f"; and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    return (
        f"note: `{name}` was searched with another definition than the study `{study.name}` has now "
        f"({'; '.join(changed[:MOST_NAMED])}{more}): what follows is of the stored one."
    )


def images_line(snapshot: Snapshot) -> str | None:
    """Which images a study was trained on, as a line for people; None before any were read."""
    images = snapshot.images
    if "images" not in images:
        return None
    data_set = snapshot.definition.get("data", {}).get("name")
    folder = f" of `{shown(Path(str(images['data_dir'])))}`" if "data_dir" in images and data_set != "digits" else ""
    counts = {"training": images.get("train"), "validation": images.get("val")}
    known = " and ".join(f"{number:,} {part}" for part, number in counts.items() if isinstance(number, int))
    return f"images{folder}: {known}{', ' if known else ''}digest {str(images['images'])[:SHOWN]}"
