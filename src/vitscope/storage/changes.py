"""Whether anybody has written to the database since one last asked."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from vitscope.storage.database import Database


class Changes:
    """Tells it for next to nothing. For one thread at a time. Raises as `Database` does where it cannot be asked."""

    def __init__(self, database: Database):
        self._database = database
        self._connection: Connection | None = None
        self._version: int | None = None

    def seen(self) -> bool:
        """True the first time; on PostgreSQL, which has no word for it, always."""
        with self._database.told():
            if self._database.engine.dialect.name != "sqlite":
                return True
            if self._connection is None:
                self._connection = self._database.engine.connect()
            with self._connection.begin():  # of its own: one left open would see no change, and hold the log
                before = self._version
                self._version = self._connection.exec_driver_sql("PRAGMA data_version").scalar()
        return before is None or before != self._version

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError):  # it may be broken: that is why it is closed
                connection.close()
