"""A PostgreSQL server of the tests' own: on loopback, in a temporary folder, with a password. No tests here."""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

USER, PASSWORD = "searcher", "Swordfish-7/+"
QUOTED = "Swordfish-7%2F%2B"  # as a URL has it
START_SECONDS = 30.0


def programs() -> Path | None:
    """Where PostgreSQL's programs are: Debian keeps the server's out of PATH."""
    kept = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    found = kept[0] if kept else shutil.which("initdb")
    return Path(found).parent if found else None


class Server:
    """Its URLs name databases; `stop` and `start` are a server's restart."""

    def __init__(self, folder: Path):
        found = programs()
        if found is None:
            pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
        self.programs, self.folder = found, folder
        self._as: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            try:
                account = pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL will not run as root, and there is no user `postgres`")
            self._as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(folder, account.pw_uid, account.pw_gid)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        words = ["--pgdata", f"{folder}/data", "--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256"]
        words += ["--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run([self.programs / "initdb", *words], check=True, capture_output=True, **self._as)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._names = (f"studies_{number}" for number in itertools.count())
        self._process: Any = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}"]
        words = [word for setting in [*settings, "fsync=off"] for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *words]
            process = subprocess.Popen(command, stdout=log, stderr=log, **self._as)
        self._process = process
        patience = time.monotonic() + START_SECONDS
        while True:
            try:
                self.run("SELECT 1")
                return
            except sqlalchemy.exc.OperationalError:
                if time.monotonic() > patience or process.poll() is not None:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop it at once; its clients lose their connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def url(self, database: str | None = None) -> str:
        """The URL of a database; of a new one unless it is named."""
        if database is None:
            database = next(self._names)
            self.run(f"CREATE DATABASE {database}")
        return f"postgresql://{USER}:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str) -> list[Any]:
        """What the server answers to its owner."""
        url = self.url("postgres").replace("postgresql://", "postgresql+psycopg://")
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            answer = connection.exec_driver_sql(statement)
            return [tuple(row) for row in answer] if answer.returns_rows else []

    def hang_up(self, url: str) -> None:
        """End every connection to a database, as a lost network does."""
        database = url.rpartition("/")[2]
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
