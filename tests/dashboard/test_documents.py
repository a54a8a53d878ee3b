"""Documents through the dashboard, made by a process that needs no model; and what is kept of them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dashboard.conftest import asking, make_run
from tests.dashboard.test_worker import FAKE
from vitscope.dashboard import worker as worker_module
from vitscope.dashboard.documents import Documents, Store
from vitscope.dashboard.worker import MOST_WAITING, Worker
from vitscope.storage.workspace import Workspace


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Worker.__init__, "__defaults__", (FAKE, worker_module.IDLE_S))


@pytest.fixture
def client(workspace: Workspace, fake: None):
    with asking(workspace) as made:
        yield made


def checkpoint(workspace: Workspace, run_id: str, step: int) -> None:
    folder = workspace.run_folder(run_id) / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    link = folder.with_name("last")
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)


def test_a_document_is_asked_for_with_its_options(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    answer = client.get(f"/api/runs/{run.id}/inside/layer/3?at=step-00000040&rows=0:16&of=weight")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["ask"], told["run"], told["key"]) == ("document", run.id, "layer/3")
    assert told["query"] == {"at": "step-00000040", "rows": "0:16", "of": "weight"}
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "private, no-cache"
    plain = client.get(f"/api/runs/{run.id}/inside/layer/3", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.json()["key"] == "layer/3"


def test_one_that_is_known_is_not_sent_again(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    first = client.get(f"/api/runs/{run.id}/inside/structure")
    assert first.headers["etag"].startswith('W/"')
    again = client.get(f"/api/runs/{run.id}/inside/structure", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get(f"/api/runs/{run.id}/inside/filters", headers={"if-none-match": first.headers["etag"]})
    assert other.status_code == 200  # another one is another
    assert other.headers["etag"] != first.headers["etag"]


def test_it_is_computed_once_until_the_run_goes_on(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    checkpoint(workspace, run.id, 10)

    def made_at(key: str = "layers", **query: str) -> int:
        return client.get(f"/api/runs/{run.id}/inside/{key}", params=query).json()["made_at"]

    first = made_at()
    assert made_at() == first
    assert made_at(at="best") != first
    assert made_at("overview") != made_at("overview")  # tells of the run as it is now
    checkpoint(workspace, run.id, 20)
    second = made_at()
    assert second != first
    snapshots = workspace.run_folder(run.id) / "snapshots"
    snapshots.mkdir()
    third = made_at()
    assert third != second
    time.sleep(0.01)
    (snapshots / "step-00000030.npz").touch()
    assert made_at() != third


def test_what_is_kept_outlives_the_server_and_another_program_makes_its_own(
    workspace: Workspace, fake: None, monkeypatch: pytest.MonkeyPatch
):
    run = make_run(workspace)
    path = f"/api/runs/{run.id}/inside/layers"
    with asking(workspace) as client:
        first = client.get(path).json()
    with asking(workspace) as client:
        assert client.get(path).json() == first
    monkeypatch.setattr("vitscope.dashboard.documents.program", lambda: ["another"])
    with asking(workspace) as client:
        assert client.get(path).json() != first


def test_errors_have_their_status_and_are_not_kept(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    for key, status in (("refused", 400), ("early", 409)):
        answer = client.get(f"/api/runs/{run.id}/inside/{key}")
        assert answer.status_code == status
        assert answer.json()["error"]
    assert not (workspace.cache_folder / "inside").exists()


@pytest.mark.parametrize("key", ["%2e%2e", "..%2flayers", "layer/1/2", "LAYER", "layer%2f3%00", "%2e", "a b", "x" * 99])
def test_what_cannot_be_a_key_is_never_asked(client: TestClient, workspace: Workspace, key: str):
    run = make_run(workspace)
    assert client.get(f"/api/runs/{run.id}/inside/{key}").status_code == 404


@pytest.mark.parametrize("query", ["at=../../x", "at=%00", "a/b=1", "image=" + "x" * 200, "at=a%2fb"])
def test_what_cannot_be_an_option_is_never_asked(client: TestClient, workspace: Workspace, query: str):
    run = make_run(workspace)
    assert client.get(f"/api/runs/{run.id}/inside/layers?{query}").status_code == 400


def test_looking_takes_one_thread_while_something_trains(client: TestClient, workspace: Workspace):
    run = make_run(workspace, status="running")
    cores = client.get("/api/session").json()["host_cores"]
    with workspace.lock_run(run.id):
        assert client.get(f"/api/runs/{run.id}/inside/layers").json()["threads"] == 1
    assert client.get(f"/api/runs/{run.id}/inside/structure").json()["threads"] == cores


def test_the_same_question_of_many_is_answered_once(workspace: Workspace):
    run = make_run(workspace)

    async def work(worker: Worker) -> None:
        documents = Documents(workspace, worker, lambda: 1)
        replies = await asyncio.gather(*(documents.get(run.id, "layers", {"sleep": "0.2"}) for _ in range(50)))
        assert len({reply.json["made_at"] for reply in replies}) == 1
        assert documents._asked == {}

    run_with_worker(work)


def test_one_of_many_may_leave_and_when_all_have_left_nothing_is_computed(workspace: Workspace):
    run = make_run(workspace)

    async def work(worker: Worker) -> None:
        documents = Documents(workspace, worker, lambda: 1)
        await worker.ask(ask="echo")
        busy = asyncio.ensure_future(worker.ask(ask="sleep", seconds=0.4))
        same = [asyncio.ensure_future(documents.get(run.id, "layers", {})) for _ in range(3)]
        alone = asyncio.ensure_future(documents.get(run.id, "heads", {"sleep": "60"}))
        await asyncio.sleep(0.1)
        for task in (same[0], alone):
            task.cancel()
        replies = await asyncio.gather(*same, return_exceptions=True)
        assert isinstance(replies[0], asyncio.CancelledError)
        assert replies[1] == replies[2]
        await busy
        assert worker.waiting == 0
        assert await asyncio.wait_for(worker.ask(ask="echo"), 5)

    run_with_worker(work)


def test_what_is_being_computed_is_finished_and_kept_though_all_have_left(workspace: Workspace):
    run = make_run(workspace)

    async def work(worker: Worker) -> None:
        documents = Documents(workspace, worker, lambda: 1)
        await worker.ask(ask="echo")
        query = {"sleep": "0.6"}
        first = asyncio.ensure_future(documents.get(run.id, "layers", query))
        await asyncio.sleep(0.3)
        first.cancel()
        await asyncio.sleep(0.05)
        began = time.time_ns()
        again = await documents.get(run.id, "layers", query)  # a page that is loaded again
        assert again.json["made_at"] - began < 0.55e9  # joined, not begun anew
        gone = asyncio.ensure_future(documents.get(run.id, "heads", query))
        await asyncio.sleep(0.3)
        gone.cancel()
        await asyncio.sleep(1.0)
        assert documents._asked == {}
        began = time.monotonic()
        await documents.get(run.id, "heads", query)
        assert time.monotonic() - began < 0.5

    run_with_worker(work)


async def at_once(work: Any, *arguments: Any) -> Any:
    return work(*arguments)


def test_who_asks_in_the_moment_in_which_the_last_one_leaves_is_answered(workspace: Workspace):
    """A page that is loaded again: its answer is not the cancellation of the one before."""
    run = make_run(workspace)

    async def work(worker: Worker) -> None:
        documents = Documents(workspace, worker, lambda: 1)
        await worker.ask(ask="echo")
        documents._find = lambda *asked: ("name", None)  # type: ignore[method-assign]
        documents._pool.run = at_once  # type: ignore[method-assign, assignment]
        busy = asyncio.ensure_future(worker.ask(ask="sleep", seconds=0.5))
        await asyncio.sleep(0.05)
        first = asyncio.ensure_future(documents.get(run.id, "layers", {}))
        await asyncio.sleep(0.1)
        table = documents._asked["name"]
        first.cancel()
        second = asyncio.ensure_future(documents.get(run.id, "layers", {}))
        await asyncio.wait([first])
        assert documents._asked.get("name") is not table  # nobody can join what is being cancelled
        assert (await asyncio.wait_for(second, 10)).status == 200
        await busy
        assert documents._asked == {}

    run_with_worker(work)


def test_a_picture_that_is_another_by_now_is_looked_at_anew(workspace: Workspace, tmp_path: Path):
    run = make_run(workspace)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"one")

    async def work(worker: Worker) -> None:
        documents = Documents(workspace, worker, lambda: 1)
        query = {"image": "sample:0123456789abcdef", "file": str(picture)}
        first = await documents.get(run.id, "attention", query)
        assert await documents.get(run.id, "attention", query) == first._replace(files=())
        picture.write_bytes(b"another")
        second = await documents.get(run.id, "attention", query)
        assert second.json["made_at"] != first.json["made_at"]
        picture.unlink()
        assert (await documents.get(run.id, "attention", query)).json["made_at"] != second.json["made_at"]

    run_with_worker(work)


@pytest.mark.parametrize("name", ["checkpoints", "snapshots", "manifest.parquet", "config.yaml"])
def test_every_file_that_a_document_is_made_of_counts(workspace: Workspace, name: str):
    run = make_run(workspace)
    documents = Documents(workspace, Worker({}), lambda: 1)
    file = workspace.run_folder(run.id) / name
    names = [documents._name(run.id, "layers", {})]
    file.mkdir() if not file.suffix else file.write_text("first")
    names.append(documents._name(run.id, "layers", {}))
    os.utime(file, (5, 5))
    names.append(documents._name(run.id, "layers", {}))
    assert len(set(names)) == 3


@pytest.mark.parametrize("link", ["best", "last"])
def test_where_best_and_last_point_to_counts(workspace: Workspace, link: str):
    run = make_run(workspace)
    documents = Documents(workspace, Worker({}), lambda: 1)
    folder = workspace.run_folder(run.id) / "checkpoints"
    folder.mkdir()
    names = []
    for target in ("step-1", "step-2", "step-1"):
        (folder / link).unlink(missing_ok=True)
        (folder / link).symlink_to(target)
        os.utime(folder / link, (5, 5), follow_symlinks=False)
        os.utime(folder, (5, 5))
        names.append(documents._name(run.id, "layers", {}))
    assert names[0] == names[2] != names[1]


def test_the_program_and_its_libraries_count(monkeypatch: pytest.MonkeyPatch):
    from importlib import metadata

    from vitscope.dashboard.documents import program

    before = program()
    told = dict(entry.split() for entry in before[2:])
    assert {name: told[name] for name in ("torch", "timm", "numpy", "pillow")} == {
        name: metadata.version(name) for name in ("torch", "timm", "numpy", "pillow")
    }
    real = metadata.version
    for change in (
        lambda: monkeypatch.setattr(metadata, "version", lambda name: "9" if name == "timm" else real(name)),
        lambda: monkeypatch.setattr("vitscope._version.__version__", "0.0.test"),
    ):
        change()
        assert program.__wrapped__() != before
        monkeypatch.undo()
    import vitscope

    source = Path(vitscope.__file__).with_name("data") / "draw.py"  # any of its files: none has to be on a list
    changed = source.stat().st_mtime_ns, source.stat().st_atime_ns
    try:
        os.utime(source, (4e9, 4e9))
        assert program.__wrapped__() != before
    finally:
        os.utime(source, ns=(changed[1], changed[0]))


def test_a_part_of_a_document_is_not_kept(workspace: Workspace):
    run = make_run(workspace)

    async def work(worker: Worker) -> None:
        documents = Documents(workspace, worker, lambda: 1)
        for query, is_kept in (({"partial": "1", "complete": "0"}, False), ({"partial": "1", "complete": "1"}, True)):
            first, second = [await documents.get(run.id, "layers", query) for _ in range(2)]
            assert (first.json["made_at"] == second.json["made_at"]) is is_kept

    run_with_worker(work)


def test_large_answers_are_unpacked_and_summed_beside_the_event_loop(
    client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    run = make_run(workspace)
    on_loop: list[bool] = []

    def spy(real: Any) -> Any:
        def told(*arguments: Any, **more: Any) -> Any:
            try:
                asyncio.get_running_loop()
                on_loop.append(True)
            except RuntimeError:
                on_loop.append(False)
            return real(*arguments, **more)

        return told

    monkeypatch.setattr(gzip, "decompress", spy(gzip.decompress))
    monkeypatch.setattr(hashlib, "blake2b", spy(hashlib.blake2b))
    plain = {"accept-encoding": "identity"}
    path = f"/api/runs/{run.id}/inside/layers?partial=1&complete=0"
    assert client.get(path, headers=plain).json()["is_complete"] is False
    assert len(on_loop) >= 4
    assert not any(on_loop)


def test_too_many_are_told_when_to_come_again(workspace: Workspace, fake: None):
    """Over HTTP: those who are served are served, the others told at once."""
    run = make_run(workspace)
    from tests.dashboard.conftest import BEARER, serve

    async def ask_all(root: str) -> list[Any]:
        import httpx2

        limits = httpx2.Limits(max_connections=200)
        async with httpx2.AsyncClient(base_url=root, headers=BEARER, timeout=60, limits=limits) as client:
            await client.get(f"/api/runs/{run.id}/inside/overview")
            paths = [f"/api/runs/{run.id}/inside/layer/{i}?sleep=0.02" for i in range(3 * MOST_WAITING)]
            return await asyncio.gather(*(client.get(path) for path in paths))

    with serve(workspace) as server:
        answers = asyncio.run(ask_all(server.root))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= MOST_WAITING
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]


def test_who_closes_the_connection_gives_up_the_place_in_the_queue(workspace: Workspace, fake: None):
    run = make_run(workspace)
    import httpx2

    from tests.dashboard.conftest import BEARER, serve, wait_until

    with serve(workspace) as server, httpx2.Client(base_url=server.root, headers=BEARER, timeout=30) as client:
        client.get(f"/api/runs/{run.id}/inside/overview")
        inspector = server.app.state.parts.inspector
        for key in ("layers", "heads", "filters"):
            with pytest.raises(httpx2.ReadTimeout):
                client.get(f"/api/runs/{run.id}/inside/{key}?sleep=1", timeout=0.1)
        wait_until(lambda: inspector.waiting == 0, 5)
        began = time.monotonic()
        client.get(f"/api/runs/{run.id}/inside/overview")
        assert time.monotonic() - began < 2.5  # the first was being computed already, the other two were not


# ---------------------------------------------------------------------------------------------- the store


def test_the_store_gives_up_what_was_not_used_for_longest(tmp_path: Path):
    store = Store(tmp_path / "inside", most_bytes=3_000)
    for i, name in enumerate("abc"):
        store.put(name, name.encode() * 1_000)
        os.utime(tmp_path / "inside" / name, (i, i))
    assert store.get("a") == b"a" * 1_000  # used: now the newest
    store.put("d", b"d" * 1_000)
    assert {f.name for f in (tmp_path / "inside").iterdir()} == {"a", "c", "d"}
    store.put("large", b"x" * 10_000)  # kept alone: it was just asked for
    assert [f.name for f in (tmp_path / "inside").iterdir()] == ["large"]
    assert store.get("nothing") is None


def test_a_disk_that_cannot_be_written_costs_only_time(tmp_path: Path):
    (tmp_path / "inside").write_text("a file where the folder should be")
    store = Store(tmp_path / "inside", 1_000)
    store.put("a", b"x")
    assert store.get("a") is None


def test_what_is_kept_is_what_was_sent(client: TestClient, workspace: Workspace):
    run = make_run(workspace)
    body = client.get(f"/api/runs/{run.id}/inside/layers").content
    (file,) = (workspace.cache_folder / "inside").iterdir()
    assert gzip.decompress(file.read_bytes().partition(b"\n")[2]) == body


def run_with_worker(work: Any) -> None:
    from tests.dashboard.test_worker import with_worker

    with_worker(work)
