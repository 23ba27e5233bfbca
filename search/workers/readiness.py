"""What Ray needs on this machine, checked before it starts: its own errors name neither the cause nor the remedy."""

import os
import shutil
from pathlib import Path

from fitnets.errors import InputError
from search.units import format_bytes

SOCKET = "ray/session_2000-01-01_00-00-00_000000_{pid}/sockets/plasma_store"  # Ray's longest socket, in its folder
MOST_BYTES = 107  # of a socket's path, in Linux
LEAST_FREE = 16_000_000  # bytes for Ray's logs and files while it starts
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def token_file() -> Path | None:
    """Where Ray looks for its token, and writes one; None where the user has no home folder."""
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:  # HOME is not set, and the system has no entry of this user
        return None


def check_ready() -> None:
    """Raises InputError, with the remedy, when Ray cannot start on this machine."""
    if not any(name in os.environ for name in TOKENS) and os.environ.get("RAY_AUTH_MODE", "token").lower() == "token":
        _check_home()
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    _check_temporary(Path(os.environ.get(name, "/tmp")), name)


def _check_home() -> None:
    token, advice = token_file(), "set HOME to a folder that you may write, as `export HOME=/tmp`"
    if token is None:
        raise InputError(
            f"HOME is not set, and user {os.getuid()} has no entry in the system's list of users: Ray keeps a token in "
            f"the home folder, so {advice}."
        )
    if os.access(token, os.R_OK):
        return
    try:
        token.parent.mkdir(parents=True, exist_ok=True)
        _write_in(token.parent)
    except OSError as error:
        raise InputError(
            f"`{token.parent}` cannot be written ({error.strerror}), where Ray keeps a token: {advice}."
        ) from error


def _check_temporary(folder: Path, name: str) -> None:
    other = "/var/tmp" if folder == Path("/tmp") else "/tmp"
    advice = f"set {name} to another folder, as `export {name}={other}`"
    if not folder.is_absolute():
        raise InputError(f"{name} is `{os.environ[name]}`, but Ray needs a path that begins with `/`: {advice}.")
    length = len(os.fsencode(folder.absolute() / SOCKET.format(pid=os.getpid())))
    if length > MOST_BYTES:
        raise InputError(
            f"`{folder}` ({name}) has too long a name: Ray's sockets in it would have {length} characters, and "
            f"{MOST_BYTES} are allowed. For a shorter one, {advice}."
        )
    try:
        (folder / "ray").mkdir(parents=True, exist_ok=True)
        _write_in(folder / "ray")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InputError(
            f"`{folder / 'ray'}` cannot be written ({error.strerror}), where Ray keeps its files: {advice}."
        ) from error
    if free < LEAST_FREE:
        raise InputError(
            f"only {format_bytes(free)} are free in `{folder}`, where Ray keeps its files: make room there, or "
            f"{advice}."
        )


def _write_in(folder: Path) -> None:
    probe = folder / f".writable-{os.getpid()}"
    probe.touch()
    probe.unlink()
