"""The folder that --out names: nothing that is somebody else's is written, moved or removed."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fitnets.errors import InputError
from search import cli
from search.ship import out_folder
from search.ship.out_folder import CARD, EARLIER, FILES, PARTIAL, check, check_writable, write, written
from search.ship.shipper import Shipper
from tests.commands import invoke

RUNS = Path("runs")


def export(text: str) -> dict[str, bytes]:
    """An export's files, less its card."""
    return {name: f"{text} {name}".encode() for name in FILES if name != CARD}


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included, and where links point."""
    return {
        str(path.relative_to(folder)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def own(out: Path) -> None:
    """A folder with files of somebody's own."""
    out.mkdir()
    (out / "README.md").write_text("# My thesis")
    (out / "thesis.tex").write_text("...")


def card_of_another(out: Path) -> None:
    out.mkdir()
    (out / CARD).write_text(json.dumps({"sha256": {"README.md": "0" * 64}, "digest": "0" * 64}))


def listed_by_a_forged_card(out: Path) -> None:
    """Names that lead out of the folder, signed as an export's."""
    out.mkdir()
    write(out, {**export("a"), "x": b""}, {}, RUNS)
    card = json.loads((out / CARD).read_text())
    card["sha256"]["../README.md"] = "0" * 64
    (out / CARD).write_text(json.dumps(card))


def older_export(out: Path) -> None:
    """Of a version whose cards do not say which README is theirs."""
    out.mkdir()
    (out / CARD).write_text(json.dumps({"study": "digits", "sha256": {}}))
    (out / "README.md").write_text("# A student from FitNet Search")


def edited(name: str) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        write(out, export("a"), {"trial": 1}, RUNS)
        (out / name).write_bytes((out / name).read_bytes() + b" ")

    return make


def replaced_by_a_link(out: Path) -> None:
    write(out, export("a"), {"trial": 1}, RUNS)
    shutil.copy(out / "README.md", out.with_name("notes.md"))
    (out / "README.md").unlink()
    (out / "README.md").symlink_to(out.with_name("notes.md"))


def replaced_by_a_folder(out: Path) -> None:
    write(out, export("a"), {"trial": 1}, RUNS)
    (out / "predict.py").unlink()
    (out / "predict.py").mkdir()
    (out / "predict.py" / "mine.py").write_text("")


def not_listed(out: Path) -> None:
    """An export without a predict.py, beside which somebody put theirs."""
    write(out, {name: text for name, text in export("a").items() if name != "predict.py"}, {"trial": 1}, RUNS)
    (out / "predict.py").write_text("mine")


def a_file(out: Path) -> None:
    out.write_text("mine")


def below_a_file(out: Path) -> None:
    out.parent.rmdir()
    out.parent.write_text("mine")


def a_link_to_nothing(out: Path) -> None:
    out.symlink_to(out.with_name("absent"))


def a_link_to_ones_own(out: Path) -> None:
    own(out.with_name("own"))
    out.symlink_to(out.with_name("own"))


def a_circle(out: Path) -> None:
    out.symlink_to(out)


def hidden(out: Path) -> None:
    out.mkdir()
    (out / ".git").mkdir()
    (out / ".git" / "HEAD").write_text("mine")


def partial_is_a_link(out: Path) -> None:
    own(out.with_name("own"))
    out.mkdir()
    (out / PARTIAL).symlink_to(out.with_name("own"))


NOT_OURS = [
    own,
    hidden,
    card_of_another,
    listed_by_a_forged_card,
    older_export,
    *map(edited, FILES),
    replaced_by_a_link,
    replaced_by_a_folder,
    not_listed,
    a_file,
    below_a_file,
    a_link_to_nothing,
    a_link_to_ones_own,
    a_circle,
    partial_is_a_link,
]


@pytest.mark.parametrize("make", NOT_OURS)
def test_what_is_not_an_exports_is_refused_and_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    out = tmp_path / "place" / "out"
    out.parent.mkdir()
    make(out)
    before = content(tmp_path)
    assert before or make in (a_circle, a_link_to_nothing)
    with pytest.raises(InputError, match="choose another folder with --out"):
        check(out, RUNS)
    with pytest.raises(InputError, match="choose another folder with --out"):
        write(out, export("b"), {"trial": 2}, RUNS)
    assert content(tmp_path) == before


@pytest.mark.parametrize("name", ["", "store/student/mine", "logs"])
def test_a_folder_that_a_search_fills_or_empties_is_refused(tmp_path: Path, name: str) -> None:
    runs = tmp_path / "runs"
    (runs / "logs").mkdir(parents=True)
    (runs / "studies.db").write_text("a study")
    with pytest.raises(InputError, match="choose another folder with --out"):
        check(runs / name, runs)
    check(runs / "picked", runs)  # beside them is room


def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written \(File name too long"):
        check(tmp_path / ("x" * 300), RUNS)


def test_a_folder_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda place, mode: False)  # root may write everywhere
    for out in (tmp_path, tmp_path / "new" / "out"):
        with pytest.raises(InputError, match="cannot be written"):
            check_writable(out)


@pytest.mark.parametrize("there", ["nothing", "empty", "link to an empty one"])
def test_a_new_or_empty_folder_is_written(tmp_path: Path, there: str) -> None:
    out = tmp_path / "deep" / "out"
    if there == "empty":
        out.mkdir(parents=True)
    if there.startswith("link"):
        (tmp_path / "deep" / "real").mkdir(parents=True)
        out.symlink_to(tmp_path / "deep" / "real")
    check(out, RUNS)
    write(out, export("a"), {"trial": 1}, RUNS)
    assert {path.name for path in out.iterdir()} == set(FILES) == set(written(out))
    assert {name: (out / name).read_bytes() for name in export("a")} == export("a")
    assert json.loads((out / CARD).read_text())["trial"] == 1


def test_the_current_folder_is_written_where_it_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(), export("a"), {"trial": 1}, RUNS)
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_an_earlier_export_gives_way_and_what_was_added_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, {**export("a"), "labels.txt": b"of an older version"}, {"trial": 1}, RUNS)
    (out / "notes.txt").write_text("mine")
    (out / "thumbnails").mkdir()
    (out / "README.md").unlink()  # a file that is gone cannot be lost
    write(out, export("b"), {"trial": 2}, RUNS)
    assert {path.name for path in out.iterdir()} == {*FILES, "notes.txt", "thumbnails"}
    assert {name: (out / name).read_bytes() for name in export("b")} == export("b")
    assert (out / "notes.txt").read_text() == "mine"
    assert set(written(out)) == set(FILES)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("after", range(22))
def test_a_kill_at_any_moment_leaves_no_half_that_looks_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, again: bool
) -> None:
    """Before each step that changes the disk; the next export goes on from what is left."""
    out, steps = tmp_path / "out", 0
    if again:
        write(out, export("a"), {"trial": 1}, RUNS)
        (out / "notes.txt").write_text("mine")
    before = content(out) if again else {}

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def do(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps > after:
                raise Killed
            return step(*arguments, **options)

        return do

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "mkdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        patch.setattr(os, "fsync", counted(os.fsync))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        with suppress(Killed):
            write(out, export("b"), {"trial": 2}, RUNS)
    left = {name: text for name, text in (content(out) if out.exists() else {}).items() if PARTIAL not in name}
    if CARD in left:  # then everything that it lists is there, and is its own
        trial = json.loads(left[CARD])["trial"]
        assert {name: left[name] for name in export("")} == export("a" if trial == 1 else "b")
        assert trial == 2 or left == before
    write(out, export("c"), {"trial": 3}, RUNS)
    assert {name: (out / name).read_bytes() for name in export("c")} == export("c")
    assert {path.name for path in out.iterdir()} == {*FILES, *(["notes.txt"] if again else [])}
    assert EARLIER not in content(out)


def test_pick_refuses_ones_own_folder_before_it_exports(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing names it: the default is `picked`."""
    runs = tmp_path / "runs"
    shutil.copytree(finished[1], runs)
    own(tmp_path / "picked")
    before = content(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Shipper, "exported", lambda *_: pytest.fail("it went on"))
    for words in (("pick", finished[0]), ("pick", finished[0], "--out", "."), ("pick", finished[0], "--out", runs)):
        result = invoke(*words, "--runs", runs)
        assert result.exit_code == cli.WRONG_INPUT
        assert "README.md" in result.stderr or "studies.db" in result.stderr or "runs" in result.stderr
        assert "choose another folder with --out" in result.stderr.replace("\n", " ")
        assert content(tmp_path) == before


def test_pick_lists_what_it_wrote_and_nothing_else(finished: tuple[Path, Path], tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    shutil.copytree(finished[1], runs)
    words = ("pick", finished[0], "--runs", runs, "--out", out)
    assert invoke(*words).exit_code == cli.OK
    (out / "thesis.tex").write_text("mine")
    result = invoke(*words)
    assert result.exit_code == cli.OK, result.output
    float32 = sorted(set(FILES) - {"student-float32.onnx"})  # which goes along with an int8 file alone
    assert result.stdout.splitlines()[-1] == f"written to {out}/: {', '.join(float32)}"
    assert (out / "thesis.tex").read_text() == "mine"
    assert out_folder.written(out) == float32
