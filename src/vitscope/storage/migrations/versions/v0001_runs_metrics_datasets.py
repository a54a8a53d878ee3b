"""Runs with their attempts, metrics and events; data sets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "vs_runs",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(8), nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("epochs", sa.Integer),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("total_steps", sa.BigInteger),
        sa.Column("best", sa.Double),
        sa.Column("test", sa.Double),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("parent", sa.String(8)),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_vs_runs_name", "vs_runs", ["name"])
    op.create_table(
        "vs_attempts",
        sa.Column("run_id", sa.String(8), sa.ForeignKey("vs_runs.id", ondelete="CASCADE")),
        sa.Column("attempt", sa.Integer),
        sa.Column("from_step", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "attempt"),
    )
    op.create_table(
        "vs_metrics",
        *recorded(),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.Double),
        sa.Column("split", sa.String(16), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("value", sa.Double),
        *keys(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "vs_events",
        *recorded(),
        sa.Column("step", sa.BigInteger),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        *keys(),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "vs_datasets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("classes", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
    )


def recorded() -> list[sa.Column]:
    return [
        sa.Column("run_id", sa.String(8)),
        sa.Column("attempt", sa.Integer),
        sa.Column("seq", sa.BigInteger),
        sa.Column("time", sa.Double, nullable=False),
    ]


def keys() -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("run_id", "attempt", "seq"),
        sa.ForeignKeyConstraint(
            ["run_id", "attempt"], ["vs_attempts.run_id", "vs_attempts.attempt"], ondelete="CASCADE"
        ),
    ]
