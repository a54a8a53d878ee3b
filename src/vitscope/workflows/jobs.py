"""Jobs: runs that are trained by a process of their own, which outlives whoever asked for it.

A job is `vitscope resume RUN` in a session of its own, its output in the run's `job.log`. A run has at most one at a
time. Nobody has to watch: whoever looks next (`settle`) sees a job whose process is gone and writes down how it ended.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

from vitscope.errors import Conflict, RequestError, ViTScopeError, WorkFailed
from vitscope.storage import jobs, runs
from vitscope.storage.workspace import Workspace
from vitscope.workflows.processes import began_at, is_the_same
from vitscope.workflows.stop import signal_name
from vitscope.workflows.train import begin, request

LOG = "job.log"
OWN_LOG = "train.log"  # of whoever trains, in a terminal too
LOG_LINES = 200
TOLD_LINES = 5  # of the log, as the message of a job that failed
_TAIL_BYTES = 65_536
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
STOP_S = 30.0  # for a step and a checkpoint, once it was asked to stop; who asks again later is more than asking

_exit_codes: dict[int, int] = {}  # of our own children, by pid
_beginning: set[tuple[str, float]] = set()  # claims of this process for which it is starting one
_asked: dict[tuple[int, float], tuple[int, float]] = {}  # process → the signal that it was sent, and when that began


def prepare(
    source: str, *, recipe: str | None = None, name: str | None = None, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `start` takes. Raises `RequestError` for an unknown option, a wrong type or a value out of bounds."""
    top = {key: value for key, value in (("recipe", recipe), ("name", name)) if value is not None}
    return request(source, None, (), {**(options or {}), **top})


def check(requested: Mapping[str, Any], workspace: Workspace) -> None:
    """Raise `RequestError` for what training would refuse before it begins: names, data, model, whatever is wrong.

    Imports torch, and looks at every picture: that takes as long as there are many.
    """
    from vitscope.data.sources import open_source
    from vitscope.workflows.recipe import with_recipe
    from vitscope.workflows.resolve import check_init, resolve

    c = with_recipe(requested)  # names first: they are quick, and told even where the rest takes too long
    for source in (c.data.source, c.data.val, c.data.test):
        if source is not None:
            open_source(source, workspace)
    check_init(c.model, workspace)
    resolve(requested, workspace)


def start(requested: Mapping[str, Any], workspace: Workspace) -> str:
    """Commit a new run and have a process train it; gives the run's id."""
    row = begin(requested, workspace)
    _launch(row.id, workspace)
    return row.id


def resume(workspace: Workspace, run_id: str) -> None:
    """Have a process go on with a run. Raises `Conflict` for one that is at work, or finished."""
    row = runs.get_run(workspace.database, run_id)
    status = workspace.live_status(row)
    if row.status == "finished":
        raise Conflict(f"Run {row.name} ({row.id}) is finished: there is nothing to go on with.")
    if status == "running" or workspace.is_locked(run_id):
        raise Conflict(f"Run {row.name} ({row.id}) is being trained already.")
    _launch(run_id, workspace)


def stop(workspace: Workspace, run_id: str) -> None:
    """Ask whoever trains a run to finish the step, save and end. Raises `Conflict` where nobody here does.

    Who asks again after `STOP_S` has it end at once, without saving, as the second Ctrl-C does; and after as long again
    it is killed: a step that never ends answers to nothing else.
    """
    row, job = runs.get_run(workspace.database, run_id), jobs.get(workspace.database, run_id)
    pid = _worker(workspace, row, job)
    if job is not None:
        jobs.mark_stopping(workspace.database, run_id, time.time())
    try:
        _ask(pid, job.stop_requested_at if job is not None and job.pid == pid else None)
    except (ProcessLookupError, psutil.NoSuchProcess):
        raise Conflict(f"Run {row.name} ({row.id}): its process has just ended.") from None
    except PermissionError:
        raise Conflict(f"Run {row.name} ({row.id}) belongs to another user's process (pid {pid}).") from None


def _ask(pid: int, first_asked_at: float | None) -> None:
    key, now = (pid, began_at(pid)), time.monotonic()
    sent, since = _asked.get(key, (0, now))
    if not sent and first_asked_at is not None:  # by a dashboard that has been started anew since
        sent, since = signal.SIGTERM, now - (time.time() - first_asked_at)
    if sent and now - since < STOP_S:
        number = sent if sent == signal.SIGTERM else 0  # a second SIGINT would disturb how it ends
    else:
        number, since = {0: signal.SIGTERM, signal.SIGTERM: signal.SIGINT}.get(sent, _KILL), now
    _asked[key] = (number or sent, since)
    if number:
        os.kill(pid, number)


def log(workspace: Workspace, run_id: str, lines: int = LOG_LINES) -> str | None:
    """The last lines of what a run's jobs have printed; without a job of what training wrote down itself, else None."""
    folder = workspace.run_folder(run_id)
    file = next((folder / name for name in (LOG, OWN_LOG) if (folder / name).is_file()), None)
    return _tail(file, 0, lines) if file is not None else None


def starting(workspace: Workspace) -> frozenset[str]:
    """The runs of which a process on this machine has been started, and has not said anything of the run yet."""
    if (database := workspace.existing_database) is None:
        return frozenset()
    begun_at = {job.run_id: job.started_at for job in jobs.open_jobs(database) if _is_here(job) and is_alive(job)}
    rows = runs.get_runs(database, begun_at) if begun_at else []
    return frozenset(row.id for row in rows if row.status != "running" and row.updated_at < begun_at[row.id])


def settle(workspace: Workspace) -> list[str]:
    """Close the jobs of this machine whose process is gone, and mark failed what it left open; gives those runs."""
    if (database := workspace.existing_database) is None:
        return []
    settled = []
    for job in jobs.open_jobs(database):
        if _is_here(job) and not is_alive(job) and _close(workspace, job):
            settled.append(job.run_id)
    return settled


def _is_here(job: jobs.JobRow) -> bool:
    return job.host == socket.gethostname()


def is_alive(job: jobs.JobRow) -> bool:
    """Whether the job's process is there; another one that was given its number is not it. Of one that is just being
    started: whether that still goes on."""
    if job.pid == -os.getpid():
        return (job.run_id, job.started_at) in _beginning
    return is_the_same(abs(job.pid), job.process_started_at)


# ---------------------------------------------------------------------------------------------- beginning


def _launch(run_id: str, workspace: Workspace) -> None:
    database, file = workspace.database, workspace.run_folder(run_id) / LOG
    before = jobs.get(database, run_id)
    if before is not None and before.ended_at is None and before.host == socket.gethostname() and is_alive(before):
        raise Conflict(f"Run {run_id} has been given to a process already (pid {abs(before.pid)}).")
    attempts = runs.list_attempts(database, run_id)
    claimed = jobs.JobRow(
        run_id=run_id,
        host=socket.gethostname(),
        pid=-os.getpid(),  # until there is one of its own
        process_started_at=began_at(os.getpid()),
        attempts_before=attempts[-1].attempt if attempts else 0,
        log_offset=file.stat().st_size if file.exists() else 0,
        started_at=time.time(),
    )
    key = (run_id, claimed.started_at)
    _beginning.add(key)  # before the row: whoever sees that must not take it for given up
    try:
        if not jobs.claim(database, claimed, instead_of=before):
            raise Conflict(f"Run {run_id} has just been given to another process.")
        process = _begin(claimed, workspace, file)
    finally:
        _beginning.discard(key)
    threading.Thread(target=_wait, args=(process, workspace), name=f"vitscope-job-{run_id}", daemon=True).start()


def _begin(claimed: jobs.JobRow, workspace: Workspace, file: Path) -> subprocess.Popen[bytes]:
    """The process of a claimed job, written down. Where that cannot be, there is none, and the claim is given up."""
    process: subprocess.Popen[bytes] | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as output:
            process = _spawn(claimed.run_id, workspace, output)
        jobs.started(workspace.database, claimed, process.pid, began_at(process.pid))
    except BaseException as error:
        if process is not None:  # nobody would know of it, and nobody wait for its end
            process.kill()
            process.wait()
        message = f"The process that was to train it could not be started: {error}"
        message = message if message.endswith(".") else f"{message}."
        with suppress(ViTScopeError):  # else whoever looks next sees that nobody begins it any more
            jobs.mark_ended(workspace.database, claimed, time.time(), "failed", message)
        if isinstance(error, (OSError, psutil.Error, ViTScopeError)):
            raise WorkFailed(message) from None
        raise
    return process


def _spawn(run_id: str, workspace: Workspace, output: IO[bytes]) -> subprocess.Popen[bytes]:
    # -P: a folder named like a package, where the person happens to be, is not imported.
    command = [sys.executable, "-P", "-m", "vitscope", "--workspace", str(workspace.root), "resume", run_id]
    database = workspace.whereabouts["database"]  # not on the command line, which everybody can read: a password
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # neither Ctrl-C nor a closed terminal reaches it
        env={**os.environ, "PYTHONUNBUFFERED": "1", **({"VITSCOPE_DATABASE": database} if database else {})},
    )


def _wait(process: subprocess.Popen[bytes], workspace: Workspace) -> None:
    _exit_codes[process.pid] = process.wait()
    with suppress(ViTScopeError):  # the next who looks will see it
        settle(workspace)


# ---------------------------------------------------------------------------------------------- ending


def _close(workspace: Workspace, job: jobs.JobRow) -> bool:
    database, now = workspace.database, time.time()
    try:
        row = runs.get_run(database, job.run_id)
    except RequestError:  # erased meanwhile
        return False
    attempts = runs.list_attempts(database, job.run_id)
    newest = attempts[-1] if attempts and attempts[-1].attempt > job.attempts_before else None
    if newest is None:
        return _close_early(workspace, job, row)
    is_own = newest.attempt == job.attempts_before + 1 and (newest.host, newest.pid) == (job.host, job.pid)
    if not is_own or row.status != "running":  # others went on with it, or it said itself how it ended
        return jobs.mark_ended(database, job, now)
    if workspace.is_locked(job.run_id):  # somebody trains it, whatever is thought of the process
        return False
    if job.stop_requested_at is not None:
        return jobs.mark_ended(
            database, job, now, "interrupted", f"Stopped before it had saved. {_message(workspace, job)}"
        )
    return jobs.mark_ended(database, job, now, "failed", _message(workspace, job))


def _close_early(workspace: Workspace, job: jobs.JobRow, row: runs.RunRow) -> bool:
    """Of a job that never came as far as to begin training."""
    database, now = workspace.database, time.time()
    if workspace.is_locked(job.run_id):  # whoever started it died before writing down which process it is
        return False
    if row.status == "failed" and row.updated_at >= job.started_at:
        return jobs.mark_ended(database, job, now)
    if job.stop_requested_at is not None:
        return jobs.mark_ended(database, job, now, "interrupted", "Stopped before it began to train.")
    return jobs.mark_ended(database, job, now, "failed", _message(workspace, job))


def _message(workspace: Workspace, job: jobs.JobRow) -> str:
    code = _exit_codes.get(job.pid)
    how = "ended without a word"
    if code is not None and code < 0:
        how = f"was killed ({signal_name(-code)})"
    elif code:
        how = f"ended with exit code {code}"
    said = _tail(workspace.run_folder(job.run_id) / LOG, job.log_offset, TOLD_LINES)
    lines = " | ".join(line.strip() for line in said.splitlines() if line.strip())
    return f"Its process {how}. The end of its log: {lines}" if lines else f"Its process {how}; its log is empty."


def _worker(workspace: Workspace, row: runs.RunRow, job: jobs.JobRow | None) -> int:
    """The process on this machine that trains a run. Raises `Conflict`."""
    title, attempts = f"Run {row.name} ({row.id})", runs.list_attempts(workspace.database, row.id)
    if workspace.live_status(row) == "running" and attempts:
        newest = attempts[-1]
        if newest.host != socket.gethostname():
            raise Conflict(f"{title} is being trained on {newest.host}: stop it there.")
        if newest.pid == workspace.holder_pid(row.id):  # else the lock is held by one that is just beginning
            return newest.pid
    is_open = job is not None and job.ended_at is None and job.host == socket.gethostname() and is_alive(job)
    if job is not None and is_open and not job.is_beginning:
        return job.pid
    if is_open or workspace.is_locked(row.id):
        raise Conflict(f"{title} is just beginning. Try again in a moment.")
    raise Conflict(f"{title} is not being trained.")


def _tail(file: Path, offset: int, lines: int) -> str:
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            begin_ = max(offset, size - _TAIL_BYTES)
            stream.seek(begin_)
            text = stream.read().decode("utf-8", "replace")
    except OSError:
        return ""
    kept = text.splitlines()[-lines:]
    return "\n".join(kept)
