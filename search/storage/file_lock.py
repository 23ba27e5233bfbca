"""A lock on a file, which ends with its process whichever way that ends."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fitnets.errors import InputError

NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def file_locked(path: Path, patience: float, remedy: str) -> Iterator[None]:
    """Hold the lock while the context lasts; `remedy` says what to do where this user may not write the file.

    Raises filelock's Timeout when another process holds it for `patience` seconds, InputError when the file cannot be
    locked. A file system without locks is refused: a lock that only exists as a file would outlive a killed process.
    """
    lock = FileLock(path, timeout=patience, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:  # which one depends on filelock's version
        if isinstance(error, NotImplementedError) or error.errno in NO_LOCKS:
            raise InputError(
                f"`{path}` cannot be locked: the file system of `{path.parent}` has no file locks. Choose a folder on "
                "a local disk with --runs."
            ) from None
        raise InputError(f"`{path}` cannot be locked ({error.strerror}): {remedy}.") from None
    try:
        yield
    finally:
        lock.release()
