"""The database: opened with the schema this program knows, read and written in transactions.

A row is acknowledged once the transaction that wrote it has ended without an error, and is never lost after that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from vitscope.errors import RequestError
from vitscope.storage import dialects
from vitscope.storage.explain import explain
from vitscope.storage.schema import HEAD, VERSION_TABLE


class Database:
    """SQLite or PostgreSQL behind one URL. Threads may share it; so may a forked child, which connects anew.

    Opening brings the schema up to date. Raises `RequestError` or `WorkFailed`, the database being untouched, when it
    is not a database, from a newer version, read-only, locked for longer than `busy_timeout_s`, or out of reach.
    """

    def __init__(self, url: str | URL, busy_timeout_s: float = 30.0):
        self.url = dialects.parse(url)
        self._busy_timeout_s = busy_timeout_s
        self._engine, self._pid = dialects.engine(self.url, busy_timeout_s), os.getpid()
        self._inherited: list[Engine] = []
        try:
            with self.reading() as connection:
                version = self._version(connection)
                is_settled = dialects.has_its_journal(connection)
            if version != HEAD or not is_settled:
                self._migrate()
        except BaseException:
            self.close()
            raise

    @classmethod
    def at(cls, file: Path, busy_timeout_s: float = 30.0) -> Database:
        """The SQLite database in a file, whatever characters its path holds."""
        return cls(URL.create("sqlite", database=str(file)), busy_timeout_s)

    @property
    def engine(self) -> Engine:
        if self._pid != os.getpid():
            # After a fork the connections are still the parent's: kept from the garbage collector, which would close
            # them (for SQLite that can end in a damaged file), and never used.
            self._inherited.append(self._engine)
            self._engine, self._pid = dialects.engine(self.url, self._busy_timeout_s), os.getpid()
        return self._engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout."""
        with self.told(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, committed (and on the disk) when the block ends, undone by an exception in it."""
        options = {dialects.WRITES: True}
        with self.told(), self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close the idle connections; using the database again opens new ones."""
        if self._pid == os.getpid():
            self._engine.dispose()

    @contextmanager
    def told(self) -> Iterator[None]:
        """What goes wrong inside for reasons that lie in the database is raised as `ViTScopeError`, in words."""
        try:
            yield
        except DBAPIError as error:
            told = explain(self.url, error)
            if told is None:
                raise
            raise told from error

    def _version(self, connection: Connection) -> str | None:
        """The schema's revision, None where there is no schema. Raises `RequestError` for one we do not know."""
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        if version is not None and not (version.isdigit() and len(version) == len(HEAD) and version <= HEAD):
            raise RequestError(
                f"{self.url.render_as_string(hide_password=True)}: written by a newer vitscope (schema {version}; this "
                f"program knows {HEAD}). Nothing was changed. Update vitscope, or choose another --workspace."
            )
        return version

    def _migrate(self) -> None:
        with self.told(), dialects.alone(self.engine) as connection:
            if self._version(connection) != HEAD:  # else another process was quicker
                from vitscope.storage.migrations import upgrade

                upgrade(connection)
