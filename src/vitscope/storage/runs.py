"""Rows of runs and of their attempts. Each function is one transaction."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from sqlalchemy import RowMapping, Select, func, insert, or_, select, update

from vitscope.errors import RequestError, unknown
from vitscope.storage.database import Database
from vitscope.storage.schema import attempts, runs

Status = Literal["created", "running", "finished", "interrupted", "failed"]
RESUMABLE: tuple[Status, ...] = ("created", "interrupted", "failed")

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ALPHABET = _LETTERS + "234567"
_FIXED = {"id", "created_at"}
_MOST_IDS = 500  # named in one query; of more all are read


@dataclass(frozen=True)
class RunRow:
    """A run as stored. Times are Unix seconds; `best` is the best validation top-1 and `test` the test top-1 of that
    same model, both in 0–1; `status` is what was last written: see `Workspace.live_status`."""

    id: str
    name: str
    status: Status
    source: str
    model: str
    created_at: float
    updated_at: float
    epochs: int | None
    step: int
    total_steps: int | None
    best: float | None
    test: float | None
    message: str
    parent: str | None
    deleted_at: float | None = None  # when it was moved to the trash


@dataclass(frozen=True)
class AttemptRow:
    """One process's work on a run, going on from `from_step`."""

    attempt: int
    from_step: int
    status: Status
    started_at: float
    ended_at: float | None
    host: str
    pid: int


_COLUMNS = [runs.c[field.name] for field in fields(RunRow)]


def create_run(
    db: Database,
    *,
    name: str,
    source: str,
    model: str,
    parent: str | None = None,
    epochs: int | None = None,
    total_steps: int | None = None,
    message: str = "",
    prepare: Callable[[str], None] = lambda run_id: None,
) -> RunRow:
    """A new run with an id of its own (8 characters of a–z, 2–7, a letter first).

    `prepare` is given the id before the run is there for others: where it fails, or the process dies, there is none.
    """
    now = time.time()
    row = {"name": name, "source": source, "model": model, "parent": parent, "epochs": epochs}
    row |= {"total_steps": total_steps, "message": message, "step": 0, "created_at": now, "updated_at": now}
    with db.writing() as connection:
        run_id = _new_id()
        while connection.execute(select(runs.c.id).where(runs.c.id == run_id)).first():
            run_id = _new_id()
        prepare(run_id)
        connection.execute(insert(runs).values(id=run_id, status="created", **row))
        return _row(connection.execute(_select().where(runs.c.id == run_id)).mappings().one())


def update_run(db: Database, run_id: str, **values: Any) -> None:
    """Set fields of a run (any of `RunRow` but id and created_at). Raises `RequestError` when there is no such run."""
    if wrong := values.keys() - {c.name for c in _COLUMNS} | values.keys() & _FIXED:
        raise TypeError(f"not to be set on a run: {', '.join(sorted(wrong))}")
    with db.writing() as connection:
        stored = {"updated_at": time.time(), **values}
        changed = connection.execute(update(runs).where(runs.c.id == run_id).values(**stored))
        if changed.rowcount == 0:
            raise _missing(run_id)


def get_run(db: Database, run_id: str) -> RunRow:
    """The run with exactly this id. Raises `RequestError` when there is none."""
    with db.reading() as connection:
        found = connection.execute(_select().where(runs.c.id == run_id)).mappings().first()
    if found is None:
        raise _missing(run_id)
    return _row(found)


def list_runs(db: Database, *, deleted: bool = False) -> list[RunRow]:
    """The runs, newest first; or those in the trash."""
    with db.reading() as connection:
        return [_row(found) for found in connection.execute(_select(deleted)).mappings()]


class Stamp(NamedTuple):
    """By what a run that has changed is told from one that has not. `number` counts runs as they are made."""

    number: int
    id: str
    updated_at: float
    status: Status


def stamps(db: Database, *, beyond: int | None = None, ids: Collection[str] = ()) -> list[Stamp]:
    """Of all runs that are not in the trash; with `beyond` only of those made after that number, and of `ids`."""
    found = select(*(runs.c[name] for name in Stamp._fields)).where(runs.c.deleted_at.is_(None))
    if beyond is not None:
        found = found.where(or_(runs.c.number > beyond, runs.c.id.in_(ids)))
    with db.reading() as connection:
        return [Stamp(*row) for row in connection.execute(found.order_by(runs.c.number))]


def get_runs(db: Database, ids: Collection[str]) -> list[RunRow]:
    """The runs with these ids that are not in the trash, newest first."""
    if len(ids) > _MOST_IDS:
        wanted = frozenset(ids)
        return [row for row in list_runs(db) if row.id in wanted]
    with db.reading() as connection:
        found = connection.execute(_select(deleted=False).where(runs.c.id.in_(ids))).mappings()
        return [_row(row) for row in found]


def first_started(db: Database, ids: Collection[str]) -> dict[str, float]:
    """When each of these runs first began to train, for those that did."""
    began = select(attempts.c.run_id, func.min(attempts.c.started_at)).group_by(attempts.c.run_id)
    if len(ids) <= _MOST_IDS:
        began = began.where(attempts.c.run_id.in_(ids))
    with db.reading() as connection:
        return dict(map(tuple, connection.execute(began)))


def find_run(db: Database, ref: str, *, deleted: bool = False) -> RunRow:
    """The run that `ref` names: an id, `latest`, a name (the newest of that name) or the beginning of one id only.

    `deleted` looks among those in the trash, which otherwise are not seen. Raises `RequestError` with the closest
    match, or with the runs that an ambiguous beginning could mean.
    """
    prefix = ref.strip().lower()
    tries = [runs.c.id == prefix, runs.c.name == ref]
    where = " in the trash" if deleted else ""
    with db.reading() as connection:
        if prefix == "latest" and not deleted:
            if newest := connection.execute(_select(deleted).limit(1)).mappings().first():
                return _row(newest)
            raise RequestError("There is no run yet. Start one with 'vitscope train SOURCE'.")
        for condition in tries:
            if found := connection.execute(_select(deleted).where(condition).limit(1)).mappings().first():
                return _row(found)
        begun = _select(deleted).where(runs.c.id.startswith(prefix, autoescape=True)).limit(6)
        matches = [_row(m) for m in connection.execute(begun).mappings()] if prefix else []
        if len(matches) == 1:
            return matches[0]
        if matches:
            named = ", ".join(f"{m.id} ({m.name})" for m in matches[:5]) + (", …" if len(matches) > 5 else "")
            raise RequestError(f"'{ref}' is the beginning of several runs{where}: {named}. Give more of the id.")
        known = [_row(found) for found in connection.execute(_select(deleted).limit(500)).mappings()]
        elsewhere = [connection.execute(_select(not deleted).where(c).limit(1)).mappings().first() for c in tries]
    if other := next((_row(found) for found in elsewhere if found is not None), None):
        what = f"Run {other.name} ({other.id}) is"
        raise RequestError(
            f"{what} not in the trash."
            if deleted
            else f"{what} in the trash. Bring it back with: vitscope runs restore {other.id}"
        )
    if deleted and not known:
        raise RequestError(f"There is no run '{ref}' in the trash: it is empty.")
    names = [k.name for k in known if k.name.isprintable() and len(k.name) <= 60]  # others would spoil the sentence
    advice = f"See 'vitscope runs list{' --deleted' if deleted else ''}'."
    raise unknown(f"run{where}", ref, [*names, *(k.id for k in known)], advice)


def remove_run(db: Database, run_id: str) -> None:
    """Erase a run's row and all that it recorded; nothing happens when there is none."""
    with db.writing() as connection:
        connection.execute(runs.delete().where(runs.c.id == run_id))


def begin_attempt(db: Database, run_id: str, from_step: int) -> int:
    """Open the run's next attempt (1, 2, …), which goes on from the checkpoint of `from_step`; the run is running.

    What earlier attempts recorded after `from_step` is superseded from now on. Attempts that never ended, their
    process having died, are marked interrupted. Raises `RequestError` for a run that is not there, or in the trash.
    """
    now = time.time()
    of_run = attempts.c.run_id == run_id
    with db.writing() as connection:
        there = update(runs).where(runs.c.id == run_id, runs.c.deleted_at.is_(None))
        changed = connection.execute(there.values(status="running", step=from_step, message="", updated_at=now))
        if changed.rowcount == 0:
            raise _missing(run_id)
        connection.execute(update(attempts).where(of_run, attempts.c.status == "running").values(status="interrupted"))
        attempt = (connection.execute(select(func.max(attempts.c.attempt)).where(of_run)).scalar() or 0) + 1
        connection.execute(
            insert(attempts).values(
                run_id=run_id,
                attempt=attempt,
                from_step=from_step,
                status="running",
                started_at=now,
                host=socket.gethostname(),
                pid=os.getpid(),
            )
        )
    return attempt


def end_attempt(db: Database, run_id: str, attempt: int, status: Status, message: str | None = None) -> None:
    """Close an attempt; the run takes its status, and `message`, where given, says why."""
    now = time.time()
    said = {} if message is None else {"message": message}
    with db.writing() as connection:
        connection.execute(
            update(attempts)
            .where(attempts.c.run_id == run_id, attempts.c.attempt == attempt)
            .values(status=status, ended_at=now)
        )
        connection.execute(update(runs).where(runs.c.id == run_id).values(status=status, updated_at=now, **said))


def list_attempts(db: Database, run_id: str) -> list[AttemptRow]:
    """The attempts of a run, in order."""
    columns = [attempts.c[field.name] for field in fields(AttemptRow)]
    with db.reading() as connection:
        found = connection.execute(select(*columns).where(attempts.c.run_id == run_id).order_by(attempts.c.attempt))
        return [AttemptRow(**dict(row)) for row in found.mappings()]


def _select(deleted: bool | None = None) -> Select[*tuple[Any, ...]]:
    """Runs, newest first: those in the trash, those that are not, or (None) all."""
    found = select(*_COLUMNS).order_by(runs.c.number.desc())
    if deleted is None:
        return found
    return found.where(runs.c.deleted_at.is_not(None) if deleted else runs.c.deleted_at.is_(None))


def _row(found: RowMapping) -> RunRow:
    return RunRow(**dict(found))


def _new_id() -> str:
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(7))


def _missing(run_id: str) -> RequestError:
    return RequestError(f"There is no run with the id '{run_id}' (any more). See 'vitscope runs list'.")
