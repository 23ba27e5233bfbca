"""The folder that --out names: only an empty one, a new one, or one that an earlier export wrote is written. No torch.

An export's `card.json` lists its other files with their SHA-256, and holds a digest of its own. A file that is not
listed there, or has changed since, is somebody's own: it is never written, moved or removed. New files are made in
`PARTIAL`, a folder inside, and moved up once they are whole, `card.json` last: what a killed process leaves is not
taken for an export, and the next one removes it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fitnets.errors import InputError
from fitnets.images.printable import listed, shown
from fitnets.values.base import sha256

CARD = "card.json"
FILES = ("student.onnx", "student-float32.onnx", "student.safetensors", "recipe.json", "predict.py", "README.md", CARD)
PARTIAL, EARLIER = ".fitnet-search-partial", "earlier-card.json"
REMEDY = "choose another folder with --out"
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
MOST_NAMED = 3


def check(out: Path, runs: Path) -> None:
    """Raises InputError where an export must not be written into `out`. Writes nothing."""
    try:
        _check_place(out, runs)
        if out.is_dir():
            _check_content(out)
    except OSError as error:
        raise _unwritable(out, error) from error


def check_writable(out: Path) -> None:
    """Raises InputError where this user may not write `out`. Writes nothing."""
    place = _existing(out)
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"`{shown(out)}` cannot be written, because of the rights of `{shown(place)}`: {REMEDY}.")


def write(out: Path, files: Mapping[str, bytes], card: Mapping[str, Any], runs: Path) -> None:
    """Write an export's files and its `card.json`, in the place of an earlier export's.

    Raises InputError as `check` does; then whatever is in `out` is as it was.
    """
    check(out, runs)
    made = {**files, CARD: _signed({**card, "sha256": {name: sha256(content) for name, content in files.items()}})}
    partial = out / PARTIAL
    try:
        earlier = _known(out)
        if not (out / CARD).exists():
            _remove(out, earlier)  # what a process moved up before it was killed
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        for name, content in made.items():
            with (partial / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if (out / CARD).exists():
            (out / CARD).replace(partial / EARLIER)
        _remove(out, earlier)
        for name in made:
            (partial / name).replace(out / name)
        shutil.rmtree(partial)
    except OSError as error:
        raise _unwritable(out, error) from error


def written(out: Path) -> list[str]:
    """The names of the files that the last export wrote into `out`."""
    return sorted(_listed_in(out / CARD))


def _check_place(out: Path, runs: Path) -> None:
    place = Path(os.path.realpath(out))
    for managed in (runs / "store", runs / "logs"):
        if place.is_relative_to(os.path.realpath(managed)):
            raise InputError(f"`{shown(out)}` is in `{shown(managed)}`, where the search removes files: {REMEDY}.")
    if out.is_symlink() and not out.exists():
        raise InputError(f"`{shown(out)}` is a link to `{shown(place)}`, which is not there: {REMEDY}.")
    existing = _existing(out)
    if not existing.is_dir():
        raise InputError(f"`{shown(out)}` cannot be written, because `{shown(existing)}` is a file: {REMEDY}.")


def _existing(out: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    place = Path(os.path.realpath(out))
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _check_content(out: Path) -> None:
    """Raises InputError unless the folder is empty or an earlier export's, whose files are as they were written."""
    present = {path.name: path for path in out.iterdir()}
    partial = present.pop(PARTIAL, None)
    if partial is not None and (partial.is_symlink() or not partial.is_dir()):
        raise InputError(f"`{shown(partial)}` is in the way: {REMEDY}.")
    known = _known(out)
    if present and not known:
        raise InputError(
            f"`{shown(out)}` holds {_named(present)}, not known to be an export's, and is left as it is: {REMEDY}."
        )
    changed = [name for name, digests in known.items() if name in present and not _is_one_of(present[name], digests)]
    if changed:
        raise InputError(f"{_named(changed)} in `{shown(out)}` changed since it was exported, and is kept: {REMEDY}.")
    taken = [name for name in FILES if name in present and name not in known]
    if taken:
        raise InputError(f"{_named(taken)} in `{shown(out)}` is not an export's, and is kept: {REMEDY}.")


def _known(out: Path) -> dict[str, set[str]]:
    """The digests, by name, of the files that exports wrote into `out`, also one that was killed while it did."""
    cards = [_listed_in(card) for card in (out / CARD, out / PARTIAL / CARD, out / PARTIAL / EARLIER)]
    return {name: {card[name] for card in cards if name in card} for card in cards for name in card}


def _listed_in(card: Path) -> dict[str, str]:
    """The digests, by name, of an export's files, its card included; none where this is no card of an export's."""
    if card.is_symlink() or not card.is_file():
        return {}
    content = card.read_bytes()
    try:
        found = json.loads(content)
        whole = _signed({name: value for name, value in found.items() if name != "digest"}) == content
        names = dict(found["sha256"]) if whole else {}
    except (ValueError, AttributeError, KeyError, TypeError):
        return {}
    plain = names and all(PLAIN.fullmatch(name) and isinstance(value, str) for name, value in names.items())
    return {**names, CARD: sha256(content)} if plain else {}


def _signed(card: dict[str, Any]) -> bytes:
    """A card as text, with the digest of everything else in it."""
    return (json.dumps({**card, "digest": sha256(json.dumps(card))}, indent=1) + "\n").encode()


def _remove(out: Path, names: Iterable[str]) -> None:
    for name in names:
        (out / name).unlink(missing_ok=True)


def _is_one_of(path: Path, digests: set[str]) -> bool:
    return path.is_file() and not path.is_symlink() and sha256(path.read_bytes()) in digests


def _named(names: Iterable[str]) -> str:
    return listed([f"`{shown(Path(name))}`" for name in sorted(names)], MOST_NAMED)


def _unwritable(out: Path, error: OSError) -> InputError:
    return InputError(f"`{shown(out)}` cannot be written ({error.strerror or error}): {REMEDY}.")
