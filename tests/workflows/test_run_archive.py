"""A run goes to another workspace as one file, whole or not at all."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vitscope
from tests.conftest import TINY, draw_folder
from tests.workflows.test_resume import assert_equal, everything
from tests.workflows.test_trash import everything as files_of
from vitscope.config import merge
from vitscope.errors import Conflict, Interrupted, RequestError, WorkFailed
from vitscope.events import Event, StepsDone
from vitscope.metrics import portable, query
from vitscope.storage import archive, runs
from vitscope.storage.artifacts import point
from vitscope.storage.workspace import Workspace
from vitscope.workflows.load import locate
from vitscope.workflows.plot import plot
from vitscope.workflows.run import Run
from vitscope.workflows.run_export import export_run
from vitscope.workflows.run_import import Imported, import_run
from vitscope.workflows.runs import list_runs, show_run
from vitscope.workflows.trash import delete_runs

OPTIONS = merge(TINY, {"train": {"ema_decay": 0.9}, "record": {"snapshots": True}})


class Made:
    """A trained run: its workspace, its pictures, its archive."""

    def __init__(self, place: Path, options: dict[str, Any], **more: Any):
        self.pictures = draw_folder(place / "pictures", {"apple": 16, "pear": 14, "plum": 10})
        self.workspace = Workspace(place / "here")
        with suppress(Interrupted):
            vitscope.train(self.pictures, workspace=self.workspace, name="花 [red]/x", **copy.deepcopy(options), **more)
        self.run = Run("latest", self.workspace)
        self.file = export_run(self.workspace, self.run.id, place).file
        shutil.rmtree(self.run.folder / "charts", ignore_errors=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"), OPTIONS)


@pytest.fixture
def there(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "far" / "there")


def assert_nothing(workspace: Workspace) -> None:
    """No run in the list, no folder of one, no row of one."""
    assert list_runs(workspace) == []
    assert not workspace.runs_folder.exists() or list(workspace.runs_folder.iterdir()) == []
    if (database := workspace.existing_database) is not None:
        with database.reading() as connection:
            for table in ("vs_runs", "vs_attempts", "vs_metrics", "vs_events"):
                assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0


def test_the_run_is_the_same_there(made: Made, there: Workspace) -> None:
    done = import_run(there, made.file)
    assert done == Imported(made.run.id, "花 [red]/x", True, done.size_bytes, [])
    row, other = (runs.get_run(w.database, made.run.id) for w in (made.workspace, there))
    assert row == other
    here, far = show_run(made.workspace, made.run.id), show_run(there, "latest")
    for key in set(here) - {"folder", "files"}:
        assert far[key] == here[key], key
    assert far["folder"] == str(there.run_folder(row.id))
    assert Run("latest", there).metrics().equals(made.run.metrics())
    assert query.events(there.database, row.id) == query.events(made.workspace.database, row.id)
    assert (
        files_of(there.run_folder(row.id)).items()
        >= {name: content for name, content in files_of(made.run.folder).items() if name != "run.lock"}.items()
    )
    for name in ("best", "last"):
        assert (there.run_folder(row.id) / "checkpoints" / name).is_symlink()


def test_the_model_answers_the_same_there(made: Made, there: Workspace, tmp_path: Path) -> None:
    import_run(there, made.file)
    here, far = (vitscope.evaluate(made.run.id, workspace=w).to_dict() for w in (made.workspace, there))
    shutil.rmtree(made.run.folder / "charts")
    assert far == here
    image = next(made.pictures.rglob("*.png"))
    (here,), (far,) = (vitscope.predict(vitscope.load("latest", w), image) for w in (made.workspace, there))
    assert (here.label, here.probability) == (far.label, far.probability)
    assert plot(["latest"], there, output=tmp_path / "curves.png").file.stat().st_size > 5_000


def test_an_interrupted_run_goes_on_there_to_the_same_end(tmp_path: Path, there: Workspace) -> None:
    whole = Made(tmp_path / "whole", OPTIONS)

    def stop(event: Event) -> None:
        if isinstance(event, StepsDone) and event.records[-1].step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    part = Made(tmp_path / "part", merge(OPTIONS, {"checkpoint": {"every_steps": 2}}), observers=[stop])
    assert part.run.status == "interrupted"
    import_run(there, part.file)
    finished = vitscope.resume(part.run.id, workspace=there)
    assert finished.status == "finished"
    expected = everything(whole.run)
    found = everything(finished)
    assert_equal(found["weights"], expected["weights"])
    assert_equal(found["metrics"], expected["metrics"])


def test_without_its_pictures_it_predicts_and_says_what_resume_needs(tmp_path: Path, there: Workspace) -> None:
    made = Made(tmp_path, OPTIONS)
    other = draw_folder(tmp_path / "elsewhere", {"apple": 3, "pear": 3, "plum": 3})
    (tmp_path / "pictures").rename(tmp_path / "gone")
    (notice,) = import_run(there, made.file).notices
    assert notice.startswith(
        f"None of its 40 pictures is here: an archive holds none, and its manifest names places such as '{tmp_path}"
    )
    assert len(vitscope.predict(vitscope.load("latest", there), other)) == 9
    assert vitscope.evaluate("latest", other, workspace=there).count == 9
    with pytest.raises(RequestError, match="none of the 29 pictures that it learns from is where it was"):
        vitscope.resume("latest", epochs=3, workspace=there)
    assert len(list_runs(there)) == 1
    runs.update_run(there.database, made.run.id, status="interrupted")
    with pytest.raises(RequestError, match=r"none of the 29 pictures.*Bring them back to that place"):
        vitscope.resume(made.run.id, workspace=there)
    assert len(runs.list_attempts(there.database, made.run.id)) == 1
    (tmp_path / "gone").rename(tmp_path / "pictures")
    assert vitscope.resume(made.run.id, epochs=3, workspace=there).status == "finished"


def test_pictures_that_come_with_the_program_are_written(tmp_path: Path, there: Workspace) -> None:
    here = Workspace(tmp_path / "here")
    run = vitscope.train("shapes:count=60,size=32", workspace=here, **copy.deepcopy(TINY))
    file = export_run(here, run.id, tmp_path).file
    shutil.rmtree(here.datasets_folder)
    assert import_run(there, file).notices == []
    assert vitscope.evaluate("latest", workspace=there).skipped == 0


# ---------------------------------------------------------------------------------------------- refused


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_refused_and_nothing_appears(made: Made, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(made.file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "altered.tar").write_bytes(content)
    with pytest.raises(RequestError):
        import_run(Workspace(tmp_path / "there"), tmp_path / "altered.tar")
    assert not (tmp_path / "there").exists()


def rewritten(made: Made, place: Path, rows: Any = None, about: dict[str, Any] | None = None, **files: bytes) -> Path:
    """The archive with other content, and sums that are right."""
    opened = archive.read(made.file)
    content = {entry.path: opened.content(entry.path) for entry in opened.entries}
    if rows is not None:
        content[portable.ROWS] = json.dumps(rows(json.loads(content[portable.ROWS]))).encode()
    content |= {name.replace("__", "/"): data for name, data in files.items()}
    sources = {}
    for number, (path, data) in enumerate(content.items()):
        sources[path] = place / f"part-{number}"
        sources[path].write_bytes(data)
    archive.write(place / "rewritten.tar", {**opened.about, **(about or {})}, sources)
    return place / "rewritten.tar"


def changed(where: str, value: Any) -> Any:
    *parents, last = where.split(".")

    def change(rows: Any) -> Any:
        place = rows
        for name in parents:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("run.id", "../../up"),
        ("run.id", "abc"),
        ("run.status", "running!"),
        ("run.created_at", 1e300),
        ("run.step", -1),
        ("run.step", 2**63),
        ("run.step", "5"),
        ("run.best", float("nan")),
        ("run.best", 7.0),
        ("run.name", None),
        ("run.extra", 1),
        ("attempts.0.attempt", 7),
        ("attempts.0.pid", 2**64),
        ("events.0.attempt", 9),
        ("events.0.seq", 10_000),
        ("events.0.data", "[1]"),
        ("events.0.data", "{"),
        ("events.0.level", "x" * 17),
        ("metrics", 1),
        ("metrics", 10**12),
    ],
)
def test_rows_that_cannot_be_a_runs_are_refused(
    made: Made, there: Workspace, tmp_path: Path, where: str, value: Any
) -> None:
    with pytest.raises(RequestError, match=r"refused: .*Nothing was imported"):
        import_run(there, rewritten(made, tmp_path, changed(where, value)))
    assert not there.root.exists()


def parquet(**columns: Any) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = {"attempt": [1], "seq": [1], "time": [1.0], "step": [1], "epoch": [0.5], "split": ["val"], "name": ["a"]}
    good |= {"value": [0.5]}
    options = {"compression": columns.pop("compression", "none"), "use_dictionary": columns.pop("dictionary", False)}
    rows = {**good, **columns}
    length = max(map(len, rows.values()))
    arrays = [pa.array(rows[f.name] * (length // len(rows[f.name])), f.type) for f in portable._SCHEMA]
    stream = pa.BufferOutputStream()
    pq.write_table(pa.table(arrays, schema=portable._SCHEMA), stream, **options)
    return stream.getvalue().to_pybytes()


BOMB = 2_000_000


@pytest.mark.parametrize(
    ("metrics", "count"),
    [
        (b"", 1),
        (b"PAR1 no PAR1", 1),
        (parquet(compression="zstd"), 1),
        (parquet(attempt=[5]), 1),
        (parquet(seq=[0]), 1),
        (parquet(seq=[2, 1]), 2),
        (parquet(time=[float("inf")]), 1),
        (parquet(step=[-1]), 1),
        (parquet(split=["x" * 17]), 1),
        (parquet(name=["a\0"]), 1),
        (parquet(seq=[1] * BOMB, dictionary=True), BOMB),
        (parquet(), 2),
    ],
)
def test_metrics_that_cannot_be_a_runs_are_refused(
    made: Made, there: Workspace, tmp_path: Path, metrics: bytes, count: int
) -> None:
    file = rewritten(made, tmp_path, changed("metrics", count), **{portable.METRICS: metrics})
    with pytest.raises(RequestError, match=r"refused: metrics.parquet"):
        import_run(there, file)
    assert not there.root.exists()


@pytest.mark.parametrize(
    "pointers",
    [
        {"checkpoints/best": "/etc"},
        {"checkpoints/best": "../../up"},
        {"checkpoints/best": "step-99999999"},
        {"checkpoints/other": "step-00000003"},
        {"../best": "step-00000003"},
        {"checkpoints/best": 5},
        ["checkpoints/best"],
    ],
)
def test_pointers_that_lead_elsewhere_are_refused(made: Made, there: Workspace, tmp_path: Path, pointers: Any) -> None:
    with pytest.raises(RequestError, match="do not lead to checkpoints of the run"):
        import_run(there, rewritten(made, tmp_path, about={"pointers": pointers}))
    assert not there.root.exists()


def test_fault_59_code_in_a_checkpoint_is_never_run(made: Made, there: Workspace, tmp_path: Path) -> None:
    """The state of a checkpoint is a pickle: taking it in opens none, and a resume takes tensors and numbers alone."""

    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    last = (made.run.folder / "checkpoints" / "last").resolve()
    sums = json.loads((last / "sums.json").read_text())
    state = pickle.dumps(Hostile(), protocol=2)
    sums["state.pt"] = hashlib.sha256(state).hexdigest()
    names = {f"run__checkpoints__{last.name}__state.pt": state}
    names |= {f"run__checkpoints__{last.name}__sums.json": json.dumps(sums).encode()}
    import_run(there, rewritten(made, tmp_path, changed("run.status", "interrupted"), **names))
    vitscope.evaluate("latest", workspace=there)
    with pytest.raises(RequestError, match=r"state.pt: holds more than tensors and numbers"):
        vitscope.resume("latest", workspace=there)
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------------------------------------- there already


def test_the_same_again_is_told_and_changes_nothing(made: Made, there: Workspace) -> None:
    import_run(there, made.file)
    before = files_of(there.runs_folder)
    assert not import_run(there, made.file).is_new
    assert files_of(there.runs_folder) == before
    assert not import_run(made.workspace, made.file).is_new


def test_another_state_of_the_run_is_kept(made: Made, there: Workspace) -> None:
    import_run(there, made.file)
    config = there.run_folder(made.run.id) / "config.yaml"
    before = config.read_bytes()
    config.write_bytes(before + b"# mine")
    with pytest.raises(RequestError, match=f"another state: 'config.yaml' differs.*--forever {made.run.id}"):
        import_run(there, made.file)
    assert config.read_bytes() == before + b"# mine"
    config.write_bytes(before)
    vitscope.evaluate("latest", workspace=there)  # adds a figure
    assert not import_run(there, made.file).is_new
    Run("latest", there).log("mine", 1.0)
    with pytest.raises(RequestError, match="in another state: it was trained further"):
        import_run(there, made.file)
    list(delete_runs(there, [made.run.id]))
    with pytest.raises(RequestError, match=f"in the trash.*runs restore {made.run.id}"):
        import_run(there, made.file)
    list(delete_runs(there, [made.run.id], forever=True))
    assert import_run(there, made.file).is_new


def test_a_folder_in_the_way_is_never_touched(made: Made, there: Workspace) -> None:
    folder = there.run_folder(made.run.id)
    there.database.close()
    folder.mkdir(parents=True)
    (folder / "precious.txt").write_text("mine")
    with pytest.raises(RequestError, match=r"a folder without a run.*'precious.txt'.*Move it away"):
        import_run(there, made.file)
    assert [p.name for p in folder.iterdir()] == ["precious.txt"]


def test_a_run_that_is_trained_is_refused(made: Made, tmp_path: Path) -> None:
    with (
        made.workspace.lock_run(made.run.id),
        pytest.raises(Conflict, match=r"being trained.*Export it once it has ended"),
    ):
        export_run(made.workspace, made.run.id, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_has_not_begun_has_nothing(there: Workspace, tmp_path: Path) -> None:
    row = runs.create_run(there.database, name="new", source="digits", model="vit")
    with pytest.raises(RequestError, match="its files are not in"):
        export_run(there, row.id, tmp_path)
    there.run_folder(row.id).mkdir(parents=True)
    with pytest.raises(RequestError, match="has not begun"):
        export_run(there, row.id, tmp_path)
    assert there.live_status(row) == "created"


def test_where_the_archive_goes(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"花-red-x-{made.run.id}.vitscope.tar"
    assert export_run(made.workspace, "latest").file == Path(name)
    assert export_run(made.workspace, "latest", tmp_path).file == tmp_path / name
    assert export_run(made.workspace, "latest", "my.tar").file == Path("my.tar")
    with pytest.raises(RequestError, match="there is no folder nowhere"):
        export_run(made.workspace, "latest", "nowhere/x.tar")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "my.tar"])
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(WorkFailed, match=r"Input/output error. Nothing was exported"):
        export_run(made.workspace, "latest", "other.tar")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "my.tar"])


def test_links_of_ones_own_are_left_out_and_named(tmp_path: Path, there: Workspace) -> None:
    here = Workspace(tmp_path / "here")
    row = runs.create_run(here.database, name="linked", source="digits", model="vit")
    runs.begin_attempt(here.database, row.id, 0)
    checkpoint = here.run_folder(row.id) / "checkpoints" / "step-00000001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(b"x")
    point(checkpoint.with_name("last"), checkpoint)
    (here.run_folder(row.id) / "run.lock").touch()
    (here.run_folder(row.id) / "mine").symlink_to(tmp_path)
    done = export_run(here, row.id, tmp_path)
    assert done.left_out == ["mine"]
    import_run(there, done.file)
    assert sorted(p.name for p in there.run_folder(row.id).iterdir()) == ["checkpoints"]
    assert (there.run_folder(row.id) / "checkpoints" / "last").resolve().name == "step-00000001"


def test_pointer_files_and_copies_that_followed_links_go_along(made: Made, tmp_path: Path, there: Workspace) -> None:
    """As `best` and `last` are where there are no symlinks, and as a copy makes folders of them."""
    for number, change in enumerate((as_file, as_folder)):
        here, far = Workspace(tmp_path / f"here-{number}"), Workspace(tmp_path / f"far-{number}")
        import_run(here, made.file)
        change(here.run_folder(made.run.id) / "checkpoints" / "best")
        import_run(far, export_run(here, made.run.id, tmp_path / f"{number}.tar").file)
        best = [locate(made.run.id, w).path.name for w in (made.workspace, here, far)]
        assert best == best[:1] * 3


def as_file(link: Path) -> None:
    target = link.resolve().name
    link.unlink()
    link.write_text(target)


def as_folder(link: Path) -> None:
    target = link.resolve()
    link.unlink()
    shutil.copytree(target, link)


def test_a_run_whose_process_died_is_exported_as_interrupted(tmp_path: Path, there: Workspace) -> None:
    here = Workspace(tmp_path / "here")
    row = runs.create_run(here.database, name="died", source="digits", model="vit")
    runs.begin_attempt(here.database, row.id, 0)
    here.run_folder(row.id).mkdir(parents=True)
    (here.run_folder(row.id) / "requested.yaml").write_text("seed: 0\n")
    (here.run_folder(row.id) / "run.lock").touch()
    import_run(there, export_run(here, row.id, tmp_path).file)
    assert runs.get_run(there.database, row.id).status == "interrupted"
    assert runs.list_attempts(there.database, row.id)[0].status == "interrupted"


# ---------------------------------------------------------------------------------------------- killed

MOMENTS = {
    "before it unpacks": "archive.Archive.unpack = wrapped(archive.Archive.unpack, after=False)",
    "while it unpacks": "progress = lambda done, total: die() if done > 0.7 * total else None",
    "before the pointers": "run_import._point = wrapped(run_import._point, after=False)",
    "unpacked": "run_import._point = wrapped(run_import._point)",
    "rows inserted": "portable.add = wrapped(portable.add)",
    "renamed, not committed": "Path.rename = wrapped(Path.rename)",
    "committed": "run_import._about_pictures = wrapped(run_import._about_pictures, after=False)",
}
SCRIPT = """
import os, signal, sys
from pathlib import Path
from vitscope.metrics import portable
from vitscope.storage import archive
from vitscope.storage.workspace import Workspace
from vitscope.workflows import run_import

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def wrapped(function, after=True):
    def call(*arguments, **options):
        if not after:
            die()
        function(*arguments, **options)
        die()
    return call

progress = lambda done, total: None
{moment}
run_import.import_run(Workspace(sys.argv[1]), sys.argv[2], progress)
"""


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_import_leaves_all_or_nothing(made: Made, there: Workspace, moment: str) -> None:
    there.database.close()
    kept = runs.create_run(there.database, name="kept", source="digits", model="vit")
    script = SCRIPT.format(moment=MOMENTS[moment])
    done = subprocess.run([sys.executable, "-c", script, str(there.root), str(made.file)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    listed = [run["id"] for run in list_runs(there)]
    if moment == "committed":
        assert listed == [made.run.id, kept.id]
        assert not import_run(there, made.file).is_new
    else:
        assert listed == [kept.id]
        assert import_run(there, made.file).is_new
    assert [run["id"] for run in list_runs(there)] == [made.run.id, kept.id]
    assert [p.name for p in there.runs_folder.iterdir()] == [made.run.id]
    files = files_of(there.run_folder(made.run.id))
    assert files == {name: content for name, content in files_of(made.run.folder).items() if name != "run.lock"}


def test_a_killed_export_leaves_no_archive(made: Made, tmp_path: Path) -> None:
    script = "import os, signal, sys\nfrom vitscope.storage.workspace import Workspace\n"
    script += "from vitscope.workflows.run_export import export_run\n"
    script += "def die(done, total):\n    if done > total / 2 + 1000: os.kill(os.getpid(), signal.SIGKILL)\n"
    script += "export_run(Workspace(sys.argv[1]), 'latest', sys.argv[2], die)"
    place = tmp_path / "out.tar"
    done = subprocess.run([sys.executable, "-c", script, str(made.workspace.root), str(place)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not place.exists()


def fail(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_an_import_that_fails_leaves_nothing(made: Made, there: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(WorkFailed, match=r"Input/output error. Nothing was imported"):
        import_run(there, made.file)
    assert_nothing(there)
