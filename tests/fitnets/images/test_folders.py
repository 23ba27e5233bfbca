"""Hostile image folders: nothing outside them is read, nothing hangs, and one printable line names the file."""

import os
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fitnets.config import Data
from fitnets.errors import InputError
from fitnets.images.folders import read_folder
from fitnets.images.sources import read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`cat` and `dog`, four grey images each."""
    for label, name in enumerate(("cat", "dog")):
        for number in range(4):
            picture(tmp_path / "pets" / name / f"{number}.png", 40 * number + label)
    return tmp_path / "pets"


def picture(path: Path, value: int = 0) -> None:
    """An 8x8 image file of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, dtype=np.uint8)).save(path)


def refusal(root: Path) -> str:
    """What a person is told: one line that a terminal shows as it is."""
    with pytest.raises(InputError) as caught:
        read_folder(root, "train", 64)
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize("what", ["file", "class", "part"])
def test_a_link_that_points_out_of_the_folder_is_refused(root: Path, tmp_path: Path, what: str) -> None:
    picture(tmp_path / "outside" / "fox" / "secret.png")
    link = {"file": root / "dog" / "9.png", "class": root / "fox", "part": root / "train"}[what]
    if what == "part":
        picture(tmp_path / "outside" / "cat" / "secret.png")
    link.symlink_to(tmp_path / "outside" / {"file": "fox/secret.png", "class": "fox", "part": ""}[what])
    message = refusal(root)
    assert (
        f"`{link}" in message
        and f"points out of `{root}`: put what it points to in its place, or remove it." in message
    )


def test_links_within_the_folder_and_a_link_to_the_folder_are_followed(root: Path, tmp_path: Path) -> None:
    (root / "dog" / "9.png").symlink_to(root / "cat" / "0.png")
    (tmp_path / "link").symlink_to(root)
    assert len(read_folder(tmp_path / "link", "train", 64).label_N) == 7  # of 9: a fifth of each class is the test


def test_a_link_to_itself_or_to_nothing_is_refused(root: Path) -> None:
    for target in ("9.png", "nothing.png"):
        (root / "dog" / "9.png").symlink_to(target)
        assert refusal(root) == f"`{root}/dog/9.png` is not a regular file: remove it."
        (root / "dog" / "9.png").unlink()
    (root / "fox").symlink_to("fox")
    assert read_folder(root, "train", 64).classes == ("cat", "dog")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(root: Path, kind: str) -> None:
    file = root / "dog" / "9.png"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif os.geteuid() == 0:
        os.mknod(file, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero: it never ends
    else:
        pytest.skip("only root may make a device file")
    assert refusal(root) == f"`{file}` is not a regular file: remove it."
    with pytest.raises(InputError, match="is not a regular file"):
        read(Data(name="pets"), root.parent, "train")


def claiming(columns: int, rows: int) -> bytes:
    """A PNG file of 60 bytes that claims to be so large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9000, 11_000, 60_000])
def test_a_small_file_that_claims_to_be_huge_is_refused(root: Path, side: int) -> None:
    """Above our limit, above Pillow's warning, and above Pillow's error."""
    (root / "dog" / "9.png").write_bytes(claiming(side, side))
    message = refusal(root)
    assert message.startswith(f"`{root}/dog/9.png` is not an image that can be read (") and message.endswith(
        "remove it."
    )
    assert f"{side**2}" in message or f"{side} x {side} pixels" in message


def test_the_content_decides_and_not_the_name(root: Path) -> None:
    picture(root / "cat" / "0.jpg", 7)
    (root / "cat" / "0.jpg").rename(root / "cat" / "9.png")
    assert len(read_folder(root, "train", 64).label_N) == 7


def test_a_format_that_runs_a_program_is_not_read(root: Path) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    (root / "dog" / "9.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    assert "cannot identify image file" in refusal(root)


def test_names_that_would_move_the_cursor_are_printed_as_codes(root: Path) -> None:
    bad = "a\nb\x1b[31m\u202e.png"
    (root / "dog" / bad).write_bytes(b"no image")
    assert r"dog/a\nb\x1b[31m\u202e.png` is not an image" in refusal(root)
    (root / "dog" / bad).unlink()
    picture(root / "dog" / "8.png")
    (root / "dog" / "8.png").rename(root / "dog" / bad)
    assert len(read_folder(root, "train", 64).label_N) == 7, "an image of any name is read"


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "x\u202e", os.fsdecode(b"\xff")])
def test_a_class_whose_name_cannot_be_printed_is_refused(root: Path, name: str) -> None:
    picture(root / "fox" / "0.png")
    (root / "fox").rename(root / name)
    assert refusal(root).endswith("is a class, but a class's name must be printable: rename the folder.")


def test_hidden_files_are_left_out(root: Path) -> None:
    (root / "dog" / "._0.png").write_bytes(b"what other systems leave beside a file")
    assert len(read_folder(root, "train", 64).label_N) == 6


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder that everybody may read, as a user whom permissions bind."""
    with tempfile.TemporaryDirectory() as made:
        place, was = Path(made), os.geteuid()
        place.chmod(0o755)
        yield place
        os.seteuid(was)


@pytest.mark.parametrize("what", ["file", "class"])
def test_what_may_not_be_read_is_named(unprivileged: Path, what: str) -> None:
    for name in ("cat", "dog"):
        for number in range(4):
            picture(unprivileged / name / f"{number}.png")
    closed = unprivileged / "dog" if what == "class" else unprivileged / "dog" / "3.png"
    closed.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    message = refusal(unprivileged)
    assert f"`{closed}`" in message and "Permission denied" in message
    os.seteuid(os.getuid())
    closed.chmod(0o755)


@pytest.mark.parametrize("test", [False, True])
def test_every_folder_is_listed_once(root: Path, monkeypatch: pytest.MonkeyPatch, test: bool) -> None:
    for name in ("cat", "dog") if test else ():
        (root / "train").mkdir(exist_ok=True)
        (root / name).rename(root / "train" / name)
        picture(root / "test" / name / "0.png")
    listed: Counter[Path] = Counter()
    scan = os.scandir

    def counted(path: Path) -> "os._ScandirIterator[str]":
        listed[Path(path)] += 1
        return scan(str(path))

    monkeypatch.setattr(os, "scandir", counted)
    read_folder(root, "test" if test else "train", 64)
    assert set(listed.values()) == {1}
    assert {path.name for path in listed} >= {"cat", "dog"}
