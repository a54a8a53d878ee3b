"""A storm of SIGKILLs at random moments, while pages look on; the end is a calm run's (faults 41, 51, 52, 76).

The moments are drawn from `$VITSCOPE_STORM_SEED` (printed); the long form strikes `$VITSCOPE_STORM_KILLS` times and
leaves its figures as JSON in the folder `$VITSCOPE_STORM_FIGURES`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.workflows.onlooker import Onlooker
from tests.workflows.struck import Attempt, Moment, Struck
from tests.workflows.test_kill import finished
from tests.workflows.test_resume import ALL_LEVERS, MEASURED, OTHER_LEVERS, assert_equal
from tests.workflows.test_signals import Command
from vitscope.config import merge
from vitscope.errors import RequestError
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.training.checkpoint import Checkpoints, damaged
from vitscope.workflows.load import load

SEED, KILLS, FIGURES = "VITSCOPE_STORM_SEED", "VITSCOPE_STORM_KILLS", "VITSCOPE_STORM_FIGURES"

LEVERS = {
    "model": {"registers": 2},
    "data": {"cache": "on"},
    "train": {"batch_size": 4, "epochs": 8},
    "record": {"snapshots": True},
    "checkpoint": {"every_steps": 3, "keep": 2},
}
MUON = merge(ALL_LEVERS, LEVERS)
SCHEDULE_FREE = merge(OTHER_LEVERS, LEVERS, {"augment": {"cutmix": 1.0, "repeats": 2}, "model": {"patch_drop": 0.25}})
ADAMW = merge(
    MUON,
    {"optim": {"name": "adamw"}, "record": {"charts": True, "tensorboard": True}},
    {"data": {"sampling": "balanced"}, "train": {"class_weights": "none"}},
)

# What is struck, and how often; `starting` is before the first step, `ending` after the last.
AIMS = {"epoch": 5, "checkpoint": 4, "evaluation": 3, "starting": 1, "ending": 1, "export": 2, "dashboard": 1}


class Storm:
    """Runs of one kind, struck until there were enough strikes and the last of them is at its end."""

    def __init__(self, source: Path, folder: Path, options: dict[str, Any], seed: int):
        self.source, self.folder, self.options, self.draw = source, folder, options, random.Random(seed)
        self.kills, self.figures, self.aims = Counter[str](), Counter[str](), dict(AIMS)
        print(f"The moments are drawn from {SEED}={seed}.")
        calm = Attempt(source, folder / "calm", options, None).until(None)
        assert calm.code == 0
        self.spans = {doing: max(spans) for doing, spans in calm.spans.items()}
        self.calm = finished(folder / "calm", only_run(folder / "calm"))
        self.calm_tensors = tensors(folder / "calm")

    def strike(self, wanted: int) -> None:
        while self.kills.total() < wanted:
            place = self.folder / f"run-{self.figures['runs']}"
            with Onlooker(place) as onlooker:
                self.one_run(place, onlooker, wanted)
                assert onlooker.has_seen_all(Workspace(place), only_run(place))
            assert {*onlooker.answered} == {200}, onlooker.answered
            self.figures["runs"] += 1
            self.figures["answers"] += onlooker.answered.total()
            self.figures["streams"] += onlooker.streams

    def one_run(self, place: Path, onlooker: Onlooker, wanted: int) -> None:
        """One run, struck again and again, to its end."""
        rows: dict[Any, Any] = {}
        while True:
            aim = self.aim() if self.kills.total() < wanted else ""
            run_id = only_run(place)
            if aim == "dashboard":
                onlooker.strike()
                self.kills[aim] += 1
            elif aim == "export":
                if run_id and Checkpoints(Workspace(place).run_folder(run_id) / "checkpoints").best is not None:
                    self.strike_export(place, run_id)
            else:
                struck = Attempt(self.source, place, self.options, run_id or None).until(self.moment(aim))
                rows = assert_sound(place, struck, rows)
                self.figures["attempts"] += 1
                if struck.code == 0:
                    break
                assert struck.code == -signal.SIGKILL, struck
                self.kills[struck.doing] += 1
                if is_finished(place):  # it had said so before it was struck
                    break
        self.figures["rows"] += len(rows)
        self.assert_calm(place, rows)

    def aim(self) -> str:
        return self.draw.choices([*self.aims], [*self.aims.values()])[0]

    def moment(self, aim: str) -> Moment | None:
        if not aim:
            return None
        return Moment(aim, self.draw.randint(1, 2), self.draw.uniform(0, 1.2 * self.spans.get(aim, 0.2)))

    def strike_export(self, place: Path, run_id: str) -> None:
        """Kill `vitscope export`; what it leaves is a whole model or none, and it can be done again."""
        output = place.parent / f"exported-{self.kills['export']}"
        command = Command(place, "export", run_id, "--to", "safetensors", "-o", str(output))
        told_before = len(command.text)
        word, rest_s = self.draw.choice(["Exporting", "Proving"]), self.draw.uniform(0, self.spans.get("export", 0.5))
        while word not in command.text[told_before:] and command.process.is_alive():
            time.sleep(0.005)
        time.sleep(rest_s)
        with suppress(ProcessLookupError):
            command.interrupt(signal.SIGKILL)
        if command.exit_code() == 0:  # it was quicker
            self.spans["export"] = rest_s
        else:
            self.kills["export"] += 1
            with suppress(RequestError):
                assert_equal(load(output).module.state_dict(), load(run_id, place).module.state_dict())
            again = Command(place, "export", run_id, "--to", "safetensors", "-o", str(output))
            assert again.exit_code() == 0, again.text
        assert_equal(load(output).module.state_dict(), load(run_id, place).module.state_dict())

    def assert_calm(self, place: Path, rows: dict[Any, Any]) -> None:
        """Weights and numbers are those of the run that nobody struck, bit for bit, each row once."""
        assert_equal(finished(place, only_run(place)), self.calm)
        assert_equal(tensors(place), self.calm_tensors)
        counted = Counter((step, split, name) for step, split, name in counting(place))
        assert {*counted.values()} == {1}
        expected = self.calm["metrics"]
        for (attempt, seq), (step, epoch, split, name, value) in rows.items():  # superseded ones too
            if name not in MEASURED:
                assert expected[step, split, name] == (epoch, value), (attempt, seq)
        assert list(Workspace(place).runs_folder.glob("*/checkpoints/.*")) == []


def only_run(place: Path) -> str:
    """The run's id; "" before there is one."""
    if (database := Workspace(place).existing_database) is None:
        return ""
    found = runs.list_runs(database)
    assert len(found) <= 1
    return found[0].id if found else ""


def is_finished(place: Path) -> bool:
    run_id = only_run(place)
    return bool(run_id) and runs.get_run(Workspace(place).database, run_id).status == "finished"


def counting(place: Path) -> Iterator[tuple[int, str, str]]:
    """What counts of the run's numbers: (step, split, name), as often as it is there."""
    from vitscope.metrics import query

    frame = query.frame(Workspace(place).database, only_run(place))
    yield from zip(frame["step"].tolist(), frame["split"].tolist(), frame["name"].tolist(), strict=True)


def tensors(place: Path) -> dict[str, Any]:
    """Every tensor of the checkpoints `last` and `best`, read from their files."""
    folder = Workspace(place).run_folder(only_run(place)) / "checkpoints"
    found = {
        f"{name}/{file.name}": load_file(file)
        for name in ("last", "best")
        for file in sorted((folder / name).glob("*.safetensors"))
    }
    assert len(found) >= 2
    return found


def assert_sound(place: Path, struck: Struck, before: dict[Any, Any]) -> dict[Any, Any]:
    """Nothing that was there is gone or changed, what was called saved is whole; gives all rows that are there now."""
    file = place / "vitscope.db"
    if not file.exists():
        assert struck.doing == "starting"
        return before
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "vs_metrics" not in tables:  # struck while the database was made
            assert struck.doing == "starting"
            return before
        query = "SELECT attempt, seq, step, epoch, split, name, value FROM vs_metrics"
        now = {(attempt, seq): tuple(row) for attempt, seq, *row in connection.execute(query)}
    assert before.items() <= now.items()
    if struck.saved:  # what was told before a checkpoint is committed before it is written
        losses = {step for step, split, name in counting(place) if (split, name) == ("train", "loss")}
        assert losses >= {*range(1, struck.saved + 1)}
        checkpoints = Checkpoints(Workspace(place).run_folder(only_run(place)) / "checkpoints")
        assert checkpoints.last is not None
        assert checkpoints.last.name[:13] >= f"step-{struck.saved:08d}"
        assert [damaged(checkpoint) for checkpoint in checkpoints.all()] == [None] * len(checkpoints.all())
    return now


def test_fault_41_a_squall(pictures: Path, tiny: dict, tmp_path: Path):
    """The storm's short form: some kills of a run with every lever and of its export, while a dashboard looks on."""
    storm = Storm(pictures, tmp_path, merge(tiny, MUON), seed=4)
    del storm.aims["dashboard"]  # a server and its process for models take seconds to begin
    storm.strike(8)
    assert storm.kills.total() >= 8
    print(dict(storm.kills), dict(storm.figures))


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("name", "options", "workers"), [("muon", MUON, 0), ("schedule-free", SCHEDULE_FREE, 1), ("adamw", ADAMW, 4)]
)
def test_fault_41_a_storm(pictures: Path, tiny: dict, tmp_path: Path, name: str, options: dict[str, Any], workers: int):
    seed = int(os.environ.get(SEED) or random.SystemRandom().randrange(10**6))
    began = time.monotonic()
    storm = Storm(pictures, tmp_path, merge(tiny, options, {"data": {"workers": workers}}), seed)
    storm.strike(int(os.environ.get(KILLS) or 120) // 3)
    figures = {"storm": name, "workers": workers, "seed": seed, "kills": dict(storm.kills), **storm.figures}
    figures |= {"all_kills": storm.kills.total(), "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(figures))
    place = Path(os.environ.get(FIGURES) or tmp_path)
    place.mkdir(parents=True, exist_ok=True)
    (place / f"storm-{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    assert storm.kills.keys() >= {"epoch", "checkpoint", "evaluation", "export", "dashboard"}
