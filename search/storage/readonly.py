"""The readers' way into a storage: it cannot write, and creates nothing."""

from pathlib import Path
from urllib.parse import quote

import sqlalchemy

from search.storage.address import address_of, connection_args, sqlite_path
from search.storage.faults import absent

PATIENCE = 2.0  # seconds that a reader waits for a storage that another program has locked


def engine(url: str) -> sqlalchemy.Engine:
    """A way into the storage that cannot write and creates nothing. Raises InputError when there is no such file."""
    address, path = address_of(url), sqlite_path(url)
    if path is None:
        settings = f"-c default_transaction_read_only=on -c lock_timeout={1000 * PATIENCE:.0f}"
        arguments = connection_args(address, settings)
        return sqlalchemy.create_engine(
            address, connect_args=arguments, isolation_level="REPEATABLE READ", pool_pre_ping=True
        )
    if not path.is_file():
        raise absent(path)
    sealed = "&immutable=1" if at_rest(path) else ""
    return sqlalchemy.create_engine(
        f"sqlite:///file:{quote(str(path))}?mode=ro{sealed}&uri=true", connect_args={"timeout": PATIENCE}
    )


def at_rest(path: Path) -> bool:
    """Whether an SQLite file can be read as it is, because no writer has it open.

    Even a reader of a file in WAL mode would else leave a `-shm` and a `-wal` file beside it, and could not read at all
    in a folder that it may not write.
    """
    with path.open("rb") as file:
        wal = file.read(20)[18:20] == b"\x02\x02"
    return wal and not path.with_name(path.name + "-wal").exists()
