"""Archives of runs of any content, with sums that are right: imported whole, or refused in a paragraph."""

from __future__ import annotations

import io
import json
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from tests.hostile import EXAMPLES, changed, fuzz, mutated, told, values, words
from tests.workflows.test_run_archive import OPTIONS, Made, rewritten
from vitscope.metrics import portable
from vitscope.storage import archive
from vitscope.storage.workspace import Workspace
from vitscope.workflows.run_import import import_run
from vitscope.workflows.runs import list_runs, show_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"), OPTIONS)


class Far:
    """Where archives are brought to: a fresh workspace for each, with things around it that are nobody's business."""

    def __init__(self, around: Path):
        self.around, self.numbers = around, count()
        (around / "precious.txt").write_text("mine")

    def bring(self, file: Path) -> None:
        workspace = Workspace(self.around / f"there-{next(self.numbers)}")
        with told(self.around, workspace.root):
            import_run(workspace, file)
            (run,) = list_runs(workspace)
            assert show_run(workspace, run["id"])["id"] == run["id"]
        if workspace.existing_database is not None:
            listed = {run["id"] for run in list_runs(workspace)}
            folders = {p.name for p in workspace.runs_folder.iterdir()} if workspace.runs_folder.exists() else set()
            assert listed == folders  # all of a run, or nothing
            workspace.database.close()
        shutil.rmtree(workspace.root, ignore_errors=True)


@pytest.fixture
def far(tmp_path: Path) -> Far:
    (tmp_path / "far").mkdir()
    return Far(tmp_path / "far")


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_bytes_are_an_archive_or_told(made: Made, far: Far, tmp_path: Path, examples: int):
    valid = made.file.read_bytes()
    begin = archive.read(made.file).begin

    def check(head: bytes) -> None:
        (tmp_path / "x.tar").write_bytes(head + valid[begin:])
        far.bring(tmp_path / "x.tar")

    fuzz(examples, check, mutated(valid[:begin]) | st.binary(max_size=2_000))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_rows_are_a_runs_or_told(made: Made, far: Far, tmp_path: Path, examples: int):
    valid = json.loads(archive.read(made.file).content(portable.ROWS))
    valid["events"] = valid["events"][:3]

    def check(rows: Any) -> None:
        far.bring(rewritten(made, tmp_path, lambda _: rows))

    fuzz(examples, check, changed(valid))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_files_are_a_runs_or_told(made: Made, far: Far, tmp_path: Path, examples: int):
    """Metrics, manifest, descriptions: what is read of them while a run is brought in, and when it is shown."""
    opened = archive.read(made.file)
    names = [portable.METRICS, "run/manifest.parquet", "run/config.yaml", "run/requested.yaml", "run/environment.json"]
    contents = {name: opened.content(name) for name in names}
    stream = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(contents[portable.METRICS])).slice(0, 5), stream, compression="none")

    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(names))
        content = data.draw(mutated(contents[name]) | mutated(stream.getvalue()) | st.binary(max_size=30))
        far.bring(rewritten(made, tmp_path, **{name.replace("/", "__"): content}))

    fuzz(examples // 2, check, st.data())


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_list_and_names_are_an_archives_or_told(made: Made, far: Far, tmp_path: Path, examples: int):
    pointers = {"checkpoints/best": "step-00000006", "checkpoints/last": "step-00000006"}
    odd = changed(pointers) | st.dictionaries(st.sampled_from(["checkpoints/best", "../x"]) | words, values, max_size=2)
    parts = st.sampled_from(["run", "..", ".", "", "checkpoints", "best", "run.lock", "花"]) | words
    name = st.lists(parts, min_size=1, max_size=3).map("/".join)

    def check(about: Any, path: str, content: bytes) -> None:
        with told(far.around):
            far.bring(rewritten(made, tmp_path, about={"pointers": about}, **{f"run/{path}": content}))

    fuzz(examples, check, odd, name, st.binary(max_size=20))
