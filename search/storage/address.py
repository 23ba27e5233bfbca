"""Where studies are stored: the URL of an SQLite file or of a PostgreSQL database, and the URL without its password for
printing. No torch, no ray.
"""

import os
import re
import socket
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from fitnets.errors import InputError

DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
HIDDEN = (
    (re.compile(r"(?<=://)([^:/@]*):.*@"), r"\1:***@"),
    (re.compile(r"(?<=://)([^:/@\[]*):(?!\d+(?:[/?]|$))[^@]*$"), r"\1:***"),  # the host was forgotten
    (re.compile(r"([?&](?:ssl)?password=)[^&]*", re.IGNORECASE), r"\1***"),
    (re.compile(r"^(?!.*://).*@"), "***@"),  # no URL, but a password may be in it
    (re.compile(r"(\bpassword\s*=\s*)(?:'[^']*'|[^\s&']+)", re.IGNORECASE), r"\1***"),  # libpq's other form
)


def storage_url(runs: Path, storage: str | None) -> str:
    """The storage's URL: the one given, or the SQLite file under `runs`.

    Raises InputError for another kind of URL, for a folder whose name has characters with a meaning in a URL, and for
    links that lead in a circle.
    """
    if storage is not None:
        address_of(storage)
        return storage
    try:
        path = str((runs / "studies.db").resolve())
    except (OSError, RuntimeError):  # RuntimeError for a circle of links, before Python 3.13
        raise InputError(
            f"`{runs / 'studies.db'}` is a link that leads back to itself: remove it, or choose another folder with "
            "--runs."
        ) from None
    if re.search(r"[?#]|%[0-9A-Fa-f]{2}", path):
        raise InputError(
            f"`--runs` is `{runs}`, but a storage's path must be without ?, # and %: choose another folder."
        )
    return f"sqlite:///{path}"


def shown(url: str) -> str:
    """A storage URL that may be printed: without its password."""
    for pattern, replacement in HIDDEN:
        url = pattern.sub(replacement, url)
    return url


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite storage; None for a server's."""
    address = address_of(url)
    return Path(address.database) if address.drivername == "sqlite" and address.database else None


def address_of(url: str) -> sqlalchemy.URL:
    """A parsed storage URL, with psycopg as PostgreSQL's driver. Raises InputError for other storages."""
    try:
        address = sqlalchemy.make_url(url)
    except (ValueError, SQLAlchemyError):
        raise _wrong_url(url) from None
    if address.drivername not in DRIVERS:
        raise _wrong_url(url)
    if address.drivername == "sqlite" and (address.database in (None, "", ":memory:") or address.query):
        raise _wrong_url(url)
    if url.partition("?")[0].count("@") > 1 and address.drivername != "sqlite":
        raise InputError(f"the storage {shown(url)} has an @ in its password: write it as %40, or set PGPASSWORD.")
    return address.set(drivername=DRIVERS[address.drivername])


def _wrong_url(url: str) -> InputError:
    return InputError(
        f"the storage {shown(url)} is not of the form sqlite:///FILE or postgresql://USER@HOST/DATABASE: "
        "correct --storage, or FITNET_STORAGE."
    )


def connection_args(address: sqlalchemy.URL, settings: str) -> dict[str, Any]:
    """psycopg's arguments: the client gives up on a dead server, and the server on a dead client, in about a minute.

    Arguments in the URL take precedence. `application_name` appears in `pg_stat_activity`, and in the error of a
    driver that is refused.
    """
    given = str(address.query.get("options", ""))
    keepalive = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
    defaults: dict[str, Any] = {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
    }
    return {name: value for name, value in defaults.items() if name not in address.query} | {
        "application_name": f"fitnet-search {os.getpid()}@{socket.gethostname()}",
        "options": f"{given} {keepalive} {settings}".strip(),
    }
