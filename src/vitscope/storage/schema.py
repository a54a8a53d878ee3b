"""The tables. Their growth over time is in `migrations/`; a test holds the two equal.

Every name begins with `vs_`, so that the tables can live in a database that others use too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

HEAD = "0002"  # the newest migration; revisions are four digits and count up
VERSION_TABLE = "vs_alembic_version"

metadata = MetaData()


class Words(TypeDecorator[str]):
    """Text from people and file systems, which may hold what no database takes: NUL and undecodable bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


runs = Table(
    "vs_runs",
    metadata,
    Column("number", Integer, primary_key=True),  # the order of creation, whatever the clock does
    Column("id", String(8), nullable=False, unique=True),
    Column("name", Words, nullable=False, index=True),
    Column("status", String(16), nullable=False),
    Column("source", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("created_at", Double, nullable=False),  # Unix seconds, as every time here
    Column("updated_at", Double, nullable=False),
    Column("epochs", Integer),
    Column("step", BigInteger, nullable=False),
    Column("total_steps", BigInteger),
    Column("best", Double),
    Column("test", Double),
    Column("message", Words, nullable=False),
    Column("parent", String(8)),  # no foreign key: a parent may be deleted, the lineage stays known
    Column("deleted_at", Double),  # set: the run is in the trash
    sqlite_autoincrement=True,
)

attempts = Table(
    "vs_attempts",
    metadata,
    Column("run_id", String(8), ForeignKey("vs_runs.id", ondelete="CASCADE")),
    Column("attempt", Integer),
    Column("from_step", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("host", Words, nullable=False),
    Column("pid", BigInteger, nullable=False),
    PrimaryKeyConstraint("run_id", "attempt"),
)

jobs = Table(  # the newest process that was started for a run, apart from whoever asked for it
    "vs_jobs",
    metadata,
    Column("run_id", String(8), ForeignKey("vs_runs.id", ondelete="CASCADE"), primary_key=True),
    Column("host", Words, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("process_started_at", Double, nullable=False),  # as the system tells it: a pid may be used again
    Column("attempts_before", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),  # where in job.log its own lines begin
    Column("started_at", Double, nullable=False),
    Column("stop_requested_at", Double),
    Column("ended_at", Double),  # null: nobody has seen it end yet
)


def _recorded(name: str, *columns: Column[Any]) -> Table:
    """A table of what an attempt records; `seq` counts its rows."""
    return Table(
        name,
        metadata,
        Column("run_id", String(8)),
        Column("attempt", Integer),
        Column("seq", BigInteger),
        Column("time", Double, nullable=False),
        *columns,
        PrimaryKeyConstraint("run_id", "attempt", "seq"),
        ForeignKeyConstraint(["run_id", "attempt"], ["vs_attempts.run_id", "vs_attempts.attempt"], ondelete="CASCADE"),
        sqlite_with_rowid=False,  # the key is the storage order: a run's rows lie together, in the order of recording
    )


metrics = _recorded(
    "vs_metrics",
    Column("step", BigInteger, nullable=False),
    Column("epoch", Double),
    Column("split", String(16), nullable=False),
    Column("name", String(200), nullable=False),
    Column("value", Double),  # null: NaN
)

# What epochs are judged by, found without reading what every step recorded: the best of a run, and sparklines. A query
# must say it in these words for the index to be used.
EVALUATED = text("vs_metrics.split IN ('val', 'test')")
Index(
    "ix_vs_metrics_evaluated",
    metrics.c.run_id,
    metrics.c.name,
    sqlite_where=text("split IN ('val', 'test')"),
    postgresql_where=text("split IN ('val', 'test')"),
)

events = _recorded(
    "vs_events",
    Column("step", BigInteger),
    Column("kind", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("text", Words, nullable=False),
    Column("data", Text, nullable=False),  # JSON
)

datasets = Table(
    "vs_datasets",
    metadata,
    Column("name", Words, primary_key=True),
    Column("source", Words, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("classes", Text, nullable=False),  # JSON
    Column("created_at", Double, nullable=False),
    Column("manifest", Words, nullable=False),
)
