"""Rows of jobs: the newest process that was started for a run. Each function is one transaction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from sqlalchemy import Select, delete, insert, select, update

from vitscope.storage.database import Database
from vitscope.storage.runs import Status
from vitscope.storage.schema import attempts, jobs, runs

__all__ = ["JobRow", "claim", "get", "mark_ended", "mark_stopping", "open_jobs", "run_ids", "started"]


@dataclass(frozen=True)
class JobRow:
    """A job. Times are Unix seconds; `process_started_at` is when `pid` began, as `workflows/processes.py` tells it.

    While its process is just being started, `pid` is the negative number of the process that starts it.

    Its own attempt at the run is number `attempts_before` + 1, if it came that far; `log_offset` is where in the job's
    log its own lines begin; `ended_at` is null until somebody has seen it end.
    """

    run_id: str
    host: str
    pid: int
    process_started_at: float
    attempts_before: int
    log_offset: int
    started_at: float
    stop_requested_at: float | None = None
    ended_at: float | None = None

    @property
    def is_beginning(self) -> bool:
        """Whether its own process is not known yet."""
        return self.pid < 0


_COLUMNS = [jobs.c[field.name] for field in fields(JobRow)]


def claim(db: Database, row: JobRow, instead_of: JobRow | None) -> bool:
    """Store a job in place of the one given (None: of none). False, and nothing done, when another was quicker."""
    with db.writing() as connection:
        found = connection.execute(_select().where(jobs.c.run_id == row.run_id)).mappings().first()
        if (JobRow(**dict(found)) if found is not None else None) != instead_of:
            return False
        connection.execute(delete(jobs).where(jobs.c.run_id == row.run_id))
        connection.execute(insert(jobs).values(**asdict(row)))
    return True


def started(db: Database, claimed: JobRow, pid: int, process_started_at: float) -> JobRow:
    """Write down which process does a claimed job."""
    with db.writing() as connection:
        same = jobs.c.run_id == claimed.run_id, jobs.c.started_at == claimed.started_at
        connection.execute(update(jobs).where(*same).values(pid=pid, process_started_at=process_started_at))
    return replace(claimed, pid=pid, process_started_at=process_started_at)


def get(db: Database, run_id: str) -> JobRow | None:
    """The newest job of a run, or None where there never was one."""
    with db.reading() as connection:
        found = connection.execute(_select().where(jobs.c.run_id == run_id)).mappings().first()
    return JobRow(**dict(found)) if found is not None else None


def open_jobs(db: Database) -> list[JobRow]:
    """Those that nobody has seen end."""
    with db.reading() as connection:
        return [JobRow(**dict(f)) for f in connection.execute(_select().where(jobs.c.ended_at.is_(None))).mappings()]


def run_ids(db: Database) -> frozenset[str]:
    """The runs that have a job."""
    with db.reading() as connection:
        return frozenset(connection.execute(select(jobs.c.run_id)).scalars())


def mark_stopping(db: Database, run_id: str, now: float) -> None:
    """Remember when somebody first asked the run's job to stop."""
    first = jobs.c.run_id == run_id, jobs.c.stop_requested_at.is_(None)
    with db.writing() as connection:
        connection.execute(update(jobs).where(*first).values(stop_requested_at=now))


def mark_ended(db: Database, job: JobRow, now: float, status: Status | None = None, message: str = "") -> bool:
    """Close a job; with `status` also the attempt that it left open, and its run, which takes `message`.

    False when it is not the run's newest job any more, or was closed before; nothing is changed then.
    """
    of_run = runs.c.id == job.run_id
    with db.writing() as connection:
        same = jobs.c.run_id == job.run_id, jobs.c.started_at == job.started_at, jobs.c.ended_at.is_(None)
        if connection.execute(update(jobs).where(*same).values(ended_at=now)).rowcount == 0:
            return False
        if status is not None:
            connection.execute(update(runs).where(of_run).values(status=status, message=message, updated_at=now))
            left_open = attempts.c.run_id == job.run_id, attempts.c.status == "running"
            connection.execute(update(attempts).where(*left_open).values(status=status, ended_at=now))
    return True


def _select() -> Select[*tuple[object, ...]]:
    return select(*_COLUMNS)
