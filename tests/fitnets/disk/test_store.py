"""The store: whole entries or none, damage found and repaired, several writers at once."""

import errno
import multiprocessing
import multiprocessing.synchronize
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fitnets.disk.store import MANIFEST, Store, code_version, key
from fitnets.errors import InputError

FILES = {"a.bin": b"\x00\x01", "b.txt": b"text"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


def leftovers(store: Store) -> list[str]:
    """Names of unfinished or damaged entries."""
    return [path.name for path in store.root.rglob("*") if path.name.startswith(".")]


def test_what_is_put_is_got(store: Store) -> None:
    assert store.get("kind", "d1") is None
    assert store.put("kind", "d1", FILES) == store.root / "kind" / "d1"
    assert store.get("kind", "d1") == FILES
    assert store.get("kind", "d2") is None
    assert store.get("other", "d1") is None
    assert leftovers(store) == []


def test_the_first_entry_stays(store: Store) -> None:
    store.put("kind", "d", FILES)
    store.put("kind", "d", {"a.bin": b"other"})
    assert store.get("kind", "d") == FILES


@pytest.mark.parametrize("damage", ["content", "missing", "manifest", "no manifest", "not json", "truncated"])
def test_a_damaged_entry_reads_as_absent_and_is_replaced(store: Store, damage: str) -> None:
    folder = store.put("kind", "d", FILES)
    if damage == "content":
        (folder / "a.bin").write_bytes(b"\x00\x02")
    elif damage == "truncated":
        (folder / "b.txt").write_bytes(b"te")
    elif damage == "missing":
        (folder / "a.bin").unlink()
    elif damage == "manifest":
        (folder / MANIFEST).write_text('{"a.bin": "00"}')
    elif damage == "no manifest":
        (folder / MANIFEST).unlink()
    else:
        (folder / MANIFEST).write_text("{")
    assert store.get("kind", "d") is None
    store.put("kind", "d", FILES)
    assert store.get("kind", "d") == FILES
    assert leftovers(store) == []


@pytest.mark.parametrize("text", ["[]", "3", "null", '"a.bin"', '["a.bin"]', '{"../../secret": "00"}'])
def test_a_manifest_of_another_form_reads_as_absent(store: Store, text: str) -> None:
    folder = store.put("kind", "d", FILES)
    (folder / MANIFEST).write_text(text)
    assert store.get("kind", "d") is None


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/etc", "a b", ".hidden", "a\n", "-rf", "ü"])
def test_names_that_are_not_plain_are_refused(store: Store, name: str) -> None:
    for kind, digest in ((name, "d"), ("kind", name)):
        with pytest.raises(ValueError, match="not a plain name"):
            store.get(kind, digest)
        with pytest.raises(ValueError, match="not a plain name"):
            store.put(kind, digest, FILES)


def test_a_folder_that_cannot_be_written_is_the_users_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be written .*--runs"):
        Store(tmp_path / "file" / "store").put("kind", "d", FILES)
    assert Store(tmp_path / "file" / "store").get("kind", "d") is None


def test_a_write_that_fails_leaves_no_entry(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(InputError, match="No space left"):
            store.put("kind", "d", FILES)
    assert store.get("kind", "d") is None
    assert leftovers(store) == []
    store.put("kind", "d", FILES)
    assert store.get("kind", "d") == FILES


def _write(root: str, name: int, gate: "multiprocessing.synchronize.Barrier") -> None:
    for entry in range(15):
        gate.wait()
        Store(Path(root)).put("kind", f"d{entry}", {"who": bytes([name]) * 20_000, "also": bytes([name]) * 10})


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_that_write_the_same_entries_leave_whole_ones(store: Store, damaged: bool) -> None:
    for entry in range(15 * damaged):
        (store.put("kind", f"d{entry}", FILES) / "a.bin").unlink()
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(2)
    writers = [context.Process(target=_write, args=(str(store.root), name, gate)) for name in (1, 2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    for entry in range(15):
        files = store.get("kind", f"d{entry}")
        assert files is not None
        assert files["who"][:10] == files["also"], "an entry mixes two writers"
    assert leftovers(store) == []


def test_keys_depend_on_every_part_and_on_the_code() -> None:
    assert key(a=1, b="x") == key(b="x", a=1)
    assert len({key(a=1), key(a=2), key(b=1), key(a="1"), key(a=[1]), key(a=1, b=None)}) == 6
    assert len(code_version()) == 64


def test_entries_are_listed_and_removed(store: Store) -> None:
    assert store.names("kind") == []
    for name in ("b-2", "a-1", "b-1"):
        store.put("kind", name, FILES)
    (store.root / "kind" / ".making-x").mkdir()
    assert store.names("kind") == ["a-1", "b-1", "b-2"]
    assert store.names("kind", "b-") == ["b-1", "b-2"]
    store.remove("kind", "b-1")
    store.remove("kind", "b-1")
    store.remove("absent", "b-1")
    assert store.names("kind") == ["a-1", "b-2"]
    assert store.get("kind", "b-1") is None
    assert not (store.root / "kind" / "b-1").exists()
    with pytest.raises(ValueError, match="is not a plain name"):
        store.remove("kind", "..")


def test_an_entry_that_is_half_removed_reads_as_absent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fitnets.disk.store.shutil.rmtree", lambda *arguments, **options: None)
    folder = store.put("kind", "d", FILES)
    store.remove("kind", "d")
    assert (folder / "a.bin").exists()
    assert store.get("kind", "d") is None


HOLDING = """
import sys, time
from pathlib import Path
from fitnets.disk.store import Store
with Store(Path(sys.argv[1])).claimed("kind", "d") as mine:
    print(mine, flush=True)
    time.sleep(600)
"""


def test_a_claim_is_one_process_at_a_time_and_ends_with_it_even_when_it_is_killed(store: Store) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "True\n"
        began = time.monotonic()
        with store.claimed("kind", "d") as mine, store.claimed("kind", "other") as others:
            assert (mine, others) == (False, True)
        assert time.monotonic() - began < 1.0, "a claim never waits"
        assert leftovers(store) == [".claim-d"], "whoever was refused leaves the holder's lock alone"
        holder.kill()
    with store.claimed("kind", "d") as mine, store.claimed("kind", "d") as again:
        assert (mine, again) == (True, False)
    assert leftovers(store) == []


@pytest.mark.parametrize("fault", [errno.ENOLCK, errno.ENOSYS, errno.ENOSPC])
def test_where_the_disk_holds_no_lock_everybody_may(store: Store, fault: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr("fcntl.flock", refuse)
    with store.claimed("kind", "d") as mine, store.claimed("kind", "d") as another:
        assert (mine, another) == (True, True)
