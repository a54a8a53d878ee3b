"""The recorder: writes what a run tells into the database, from a thread of its own.

Cost in the training thread: one queue append an event (some microseconds; `bench/recording.py` measures it). Rows are
committed at most a quarter of a second after they were told, all that has gathered in one transaction, and are
durable from then on. Before a checkpoint and at the end of the run the recorder waits until everything told before is
committed, so that no checkpoint is ahead of its metrics.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, update

from vitscope import events
from vitscope.errors import RequestError, ViTScopeError
from vitscope.metrics import query
from vitscope.metrics.background import BackgroundObserver, Told, log_warning
from vitscope.metrics.rows import RowMaker, Rows, metric_row
from vitscope.storage import records, runs, schema
from vitscope.storage.database import Database

RETRY_S = (0.25, 5.0)  # first and longest pause between two tries
GIVE_UP_S = 15.0  # how long a recorder that is being closed goes on trying
MAX_NAME = 200
SPLITS = ("train", "val", "test", "")


class Recorder(BackgroundObserver):
    """Observer that records one attempt of a run, which `begin_attempt` has opened.

    It also keeps the run's row true: step, total_steps, epochs, best, test. A database that cannot be written is
    tried again until it can, the rows waiting in memory; that is warned of once.
    """

    def __init__(self, database: Database, run_id: str, attempt: int, warn: Callable[[str], None] = log_warning):
        self._database, self._run_id, self._attempt = database, run_id, attempt
        self._row_maker = RowMaker()
        self._places: records.Places | None = None  # where the batch in work was put by a try that may have failed
        self._closed_at: float | None = None
        if attempt > 1:
            self._restore_best()
        super().__init__("The recorder of metrics", warn)

    def __call__(self, event: events.Event) -> None:
        super().__call__(event)
        if isinstance(event, events.CheckpointStarting | events.RunEnded):
            self.flush()

    def handle(self, batch: Sequence[Told]) -> None:
        """Commit the rows of `batch`, however often it must be tried."""
        rows = Rows()
        for told in batch:
            self._row_maker.add(told, rows)
        self._places = None
        for tries in itertools.count():
            try:
                with self._database.writing() as connection:
                    self._write(connection, rows)
                break
            except ViTScopeError as error:
                if tries == 0:
                    self.stuck(True)
                    self.problem(f"{error} Training goes on: what it records waits in memory until that works again.")
                if not self._pause(tries):
                    lost = f"The last {len(batch):,} events of run {self._run_id} could not be recorded and are lost."
                    self.problem(f"{lost} {error}")
                    break
        self.stuck(False)

    def _write(self, connection: Connection, rows: Rows) -> None:
        key = self._run_id, self._attempt
        if self._places is not None and records.is_appended(connection, *key, rows.batch, self._places):
            return
        self._places = records.append(connection, *key, rows.batch)
        of_run = schema.runs.c.id == self._run_id
        connection.execute(update(schema.runs).where(of_run).values(**rows.run, updated_at=time.time()))

    def _pause(self, tries: int) -> bool:
        """Wait before the next try; False when there should be none, the recorder being closed for long enough."""
        if self._closing.wait(min(RETRY_S[0] * 2 ** min(tries, 5), RETRY_S[1])):
            self._closed_at = self._closed_at or time.monotonic()
            time.sleep(RETRY_S[0])
            return time.monotonic() - self._closed_at < GIVE_UP_S
        return True

    def _restore_best(self) -> None:
        """What the run's row says of its best may be of steps that this attempt does again."""
        run = runs.get_run(self._database, self._run_id)
        if best := query.best(self._database, self._run_id):
            runs.update_run(self._database, self._run_id, best=best.top1, test=best.test_top1)
        elif run.parent is None:  # the best of a run that goes on from another may be the other's
            runs.update_run(self._database, self._run_id, best=None, test=None)


def log(database: Database, run_id: str, name: str, value: float, *, step: int | None = None, split: str = "") -> None:
    """Record a number of one's own in the run's newest attempt, beside whoever else records; committed on return.

    `step` is the run's newest by default. Raises `RequestError` for what is no metric, and for a run not begun yet.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise RequestError(f"Metric name {name!r}: expected a text of 1 to {MAX_NAME} printable characters.")
    if split not in SPLITS:
        raise RequestError(f"Metric '{name}': unknown split '{split}'. Known: train, val, test, or \"\" for none.")
    run, attempts = runs.get_run(database, run_id), runs.list_attempts(database, run_id)
    if not attempts:
        raise RequestError(f"Metric '{name}': run {run_id} has not begun to train; there is nothing to add it to.")
    try:
        number = float(value)
        at = run.step if step is None else int(step)
    except (TypeError, ValueError, OverflowError):
        raise RequestError(f"Metric '{name}': expected a number and a whole step, not {value!r}, {step!r}.") from None
    epoch = at * run.epochs / run.total_steps if run.epochs and run.total_steps else math.nan
    row = metric_row(time.time(), at, epoch, events.Metric(split, name, number))
    with database.writing() as connection:
        records.append(connection, run_id, attempts[-1].attempt, records.Batch(metrics=[row]))
