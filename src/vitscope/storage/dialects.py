"""What differs between SQLite and PostgreSQL: connecting, beginning a transaction, migrating alone."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Select, Table, create_engine, event, insert, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from vitscope.errors import RequestError, WorkFailed
from vitscope.storage.network import network_file_system

WRITES = "vs_writes"  # execution option of a connection: its transaction is going to write
MIGRATION_LOCK_S = 60.0
_ADVISORY_LOCK = 0x76697473  # any constant; PostgreSQL's locks of this kind are plain numbers


def parse(text: str | URL) -> URL:
    """The URL of a database that we can use. Raises `RequestError` for any other."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise RequestError(
            f"Database '{text}' is not a URL. Expected postgresql://user:password@host/name or sqlite:///path/to/file.db."
        ) from None
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise RequestError(f"Database '{url}': '{backend}' is not supported; use postgresql:// or sqlite:///.")
    if url.database in (None, "", ":memory:"):
        raise RequestError(
            f"Database '{url}': a database in memory is lost with the process; name a file, sqlite:///path/to/file.db."
        )
    return url.set(drivername="sqlite")


def engine(url: URL, busy_timeout_s: float) -> Engine:
    """An engine whose connections keep the promises of the store; nothing is connected yet."""
    return _sqlite(url, busy_timeout_s) if url.get_backend_name() == "sqlite" else _postgresql(url)


def _sqlite(url: URL, busy_timeout_s: float) -> Engine:
    made = create_engine(url, connect_args={"timeout": busy_timeout_s})

    @event.listens_for(made, "connect")
    def connected(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None  # the driver would begin transactions at moments of its own
        dbapi.execute("PRAGMA foreign_keys=ON")
        dbapi.execute("PRAGMA synchronous=FULL")  # in WAL mode: a commit is on the disk when it returns

    @event.listens_for(made, "begin")
    def begun(connection: Connection) -> None:
        # A transaction that first reads and then writes would fail at once, without waiting, where another wrote
        # in between; taking the write lock at its start waits for its turn.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return made


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except ImportError:
        raise RequestError("PostgreSQL needs its driver: pip install 'vitscope[postgresql]'.") from None


def insert_tuples(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows given in the order of the table's columns, none of which needs conversion.

    For thousands of rows this takes under half the time of SQLAlchemy's own way, which prepares each as a mapping.
    """
    statement = str(insert(table).compile(dialect=connection.dialect))
    names = table.columns.keys()
    parameters = rows if connection.dialect.positional else [dict(zip(names, row, strict=True)) for row in rows]
    connection.exec_driver_sql(statement, parameters)  # type: ignore[arg-type]


def fetch_tuples(
    connection: Connection, query: Select[*tuple[Any, ...]], size: int
) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows of a query as plain tuples, `size` at a time; for columns none of which needs conversion.

    For a million rows this takes three quarters of the time of SQLAlchemy's own way, which makes an object of each.
    """
    with connection.execute(query) as result:
        cursor = result.cursor
        while cursor is not None and (rows := cursor.fetchmany(size)):
            yield rows


def has_its_journal(connection: Connection) -> bool:
    """Whether the database is in the journal mode that the place of its file asks for (it may have been moved)."""
    if connection.dialect.name != "sqlite":
        return True
    is_wal = connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    return is_wal == (network_file_system(Path(str(connection.engine.url.database)).parent) is None)


def _set_journal(made: Engine) -> None:
    """A write-ahead log, or, told, a rollback journal where several machines may share the file."""
    file = Path(str(made.url.database))
    shared = network_file_system(file.parent)
    statement = f"PRAGMA journal_mode={'DELETE' if shared else 'WAL'}"
    made.dispose()  # the log can only be given up when nobody has it open, an idle connection of ours neither
    raw = made.raw_connection()
    try:
        raw.cursor().execute(statement)  # not possible inside a transaction
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error
    finally:
        raw.close()
    if shared:
        logging.getLogger("vitscope").warning(
            f"{file}: lies on a network file system ({shared}), where SQLite's write-ahead log is not safe: it is off "
            "for this database, so that whoever reads and whoever writes wait for each other. A --workspace on a disk "
            "of this machine is faster; for several machines take --database postgresql://…."
        )


@contextmanager
def alone(made: Engine) -> Iterator[Connection]:
    """A write transaction that no other process's migration overlaps. SQLite's journal is chosen before it."""
    if made.dialect.name == "sqlite":
        with _file_lock(Path(str(made.url.database))):
            _set_journal(made)
            with made.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
                yield connection
    else:
        with made.connect() as connection, connection.begin():
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            yield connection


@contextmanager
def _file_lock(database: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(database.with_name(f".{database.name}.lock"), timeout=MIGRATION_LOCK_S):
            yield
    except Timeout:
        raise WorkFailed(
            f"{database}: another process has been preparing this database for over a minute. Try again later."
        ) from None
    except PermissionError:
        raise RequestError(
            f"{database}: its folder cannot be written. Make it writable or choose another --workspace."
        ) from None
