"""A trash for runs, jobs, and an index to what epochs are judged by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("vs_runs", sa.Column("deleted_at", sa.Double))
    op.create_table(
        "vs_jobs",
        sa.Column("run_id", sa.String(8), sa.ForeignKey("vs_runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process_started_at", sa.Double, nullable=False),
        sa.Column("attempts_before", sa.Integer, nullable=False),
        sa.Column("log_offset", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("stop_requested_at", sa.Double),
        sa.Column("ended_at", sa.Double),
    )
    evaluated = sa.text("split IN ('val', 'test')")
    op.create_index(
        "ix_vs_metrics_evaluated",
        "vs_metrics",
        ["run_id", "name"],
        sqlite_where=evaluated,
        postgresql_where=evaluated,
    )
