"""The process beside the dashboard: it may be slow, die or be overrun, and the dashboard goes on."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from vitscope.dashboard import worker as worker_module
from vitscope.dashboard.worker import MOST_WAITING, TooMany, Worker

FAKE = (sys.executable, str(Path(__file__).with_name("fake_child.py")))
WARM = Worker.warm  # as it is, without the fixture that has nobody warmed
WHERE = {"workspace": "/w", "database": "postgresql://me:secret@host/db"}


def with_worker(work: Callable[[Worker], Awaitable[Any]], **options: Any) -> Any:
    async def inside() -> Any:
        worker = Worker(WHERE, FAKE, **options)
        try:
            return await work(worker)
        finally:
            await worker.close()

    return asyncio.run(inside())


def test_it_is_started_when_asked_and_told_where_it_works():
    async def work(worker: Worker) -> None:
        assert worker.pid is None
        first = await worker.ask(ask="echo", a=1, text="花\n")
        second = await worker.ask(ask="echo")
        assert (first.status, first.type) == (200, "application/json")
        assert first.json["request"] == {"ask": "echo", "a": 1, "text": "花\n"}
        assert first.json["where"] == WHERE
        assert first.json["pid"] == second.json["pid"] == worker.pid
        assert first.json["nice"] == min(19, os.nice(0) + 10)
        child = psutil.Process(worker.pid)
        assert "secret" not in " ".join(child.cmdline())
        assert os.getsid(child.pid) != os.getsid(0)  # Ctrl-C in the terminal does not reach it
        child.send_signal(signal.SIGINT)
        assert (await worker.ask(ask="echo")).json["pid"] == child.pid

    with_worker(work)


def test_one_that_is_warmed_is_there_before_it_is_asked_and_ends_when_it_is_idle():
    async def work(worker: Worker) -> None:
        WARM(worker)
        WARM(worker)
        answer = worker.ask(ask="echo")  # at once: there is one process all the same
        pid = (await answer).json["pid"]
        assert pid == worker.pid
        WARM(worker)
        await asyncio.sleep(0)
        assert worker.pid == pid

    async def idle(worker: Worker) -> None:
        WARM(worker)
        async with asyncio.timeout(20):
            while worker.pid is None:
                await asyncio.sleep(0.02)
            pid = worker.pid
            while psutil.pid_exists(pid):
                await asyncio.sleep(0.02)
            assert worker.pid is None

    with_worker(work)
    with_worker(idle, idle_s=0.2)


def test_it_ends_with_the_dashboard():
    pids: list[int] = []

    async def work(worker: Worker) -> None:
        await worker.ask(ask="echo")
        pids.append(worker.pid or 0)

    with_worker(work)
    assert not psutil.pid_exists(pids[0])


def test_it_ends_when_the_dashboard_is_killed(tmp_path: Path):
    """Its input ends with the process that wrote it."""
    code = (
        "import asyncio, os, sys\nfrom vitscope.dashboard.worker import Worker\n"
        "async def main():\n    worker = Worker({}, sys.argv[1:])\n"
        "    print((await worker.ask(ask='echo')).json['pid'], flush=True)\n"
        "    os.kill(os.getpid(), 9)\nasyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code, *FAKE], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_ends_soon_when_the_dashboard_is_killed_while_it_computes(tmp_path: Path):
    """It does not see the end of its input then."""
    code = (
        "import asyncio, os, sys\nfrom vitscope.dashboard.worker import Worker\n"
        "async def main():\n    worker = Worker({}, sys.argv[1:])\n"
        "    print((await worker.ask(ask='echo')).json['pid'], flush=True)\n"
        "    task = asyncio.ensure_future(worker.ask(ask='sleep', seconds=60))\n"
        "    await asyncio.sleep(0.3)\n    os.kill(os.getpid(), 9)\nasyncio.run(main())"
    )
    done = subprocess.run([sys.executable, "-c", code, *FAKE], stdout=subprocess.PIPE, text=True, timeout=60)
    pid = int(done.stdout)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch):
    from vitscope.dashboard import child

    monkeypatch.setattr(child, "MOST_BYTES", 10)
    status, content = child._answer({"x": lambda _: child.Content("text/plain", b"12345678901")}, {"ask": "x"})
    assert status == 413
    assert b"MB at most" in content.data
    assert child._answer({"x": lambda _: child.Content("text/plain", b"1234567890")}, {"ask": "x"})[0] == 200


def test_json_is_compressed_there_and_other_bytes_come_as_they_are():
    async def work(worker: Worker) -> None:
        document = await worker.ask(ask="document", key="a", query={})
        assert document.is_gzip
        assert document.data[:2] == b"\x1f\x8b"
        assert document.json["padding"] == "x" * 5_000
        large = await worker.ask(ask="large", bytes=5_000_000)
        assert (large.is_gzip, large.data) == (False, b"\0" * 5_000_000)

    with_worker(work)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("request", 400), ("conflict", 409), ("refusal", 422), ("failed", 500), ("program", 500), ("memory", 500)],
)
def test_errors_are_told_and_the_process_goes_on(kind: str, status: int):
    async def work(worker: Worker) -> None:
        pid = (await worker.ask(ask="echo")).json["pid"]
        reply = await worker.ask(ask="fail", kind=kind)
        assert reply.status == status
        assert reply.json["error"]
        assert (await worker.ask(ask="echo")).json["pid"] == pid

    with_worker(work)


@pytest.mark.parametrize("how", ["exit", "SIGKILL", "SIGSEGV"])
def test_one_that_dies_is_told_and_started_again(how: str, caplog: pytest.LogCaptureFixture):
    async def work(worker: Worker) -> None:
        before = (await worker.ask(ask="echo")).json["pid"]
        replies = await asyncio.gather(worker.ask(ask="die", how=how), worker.ask(ask="echo"))
        assert replies[0].status == 500
        told = replies[0].json["error"]
        assert "started again" in told
        assert "\n" not in told
        assert replies[1].status == 200
        assert replies[1].json["pid"] != before

    with_worker(work)
    assert "last words" in caplog.text or how == "SIGSEGV"


def test_one_that_cannot_be_started_is_told():
    async def inside() -> None:
        worker = Worker(WHERE, ("/nowhere/python",))
        reply = await worker.ask(ask="echo")
        assert reply.status == 500
        await worker.close()

    asyncio.run(inside())


def test_one_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    async def work(worker: Worker) -> None:
        before = (await worker.ask(ask="echo")).json["pid"]
        monkeypatch.setattr(worker_module, "LIMIT_S", 0.3)
        reply = await worker.ask(ask="sleep", seconds=60)
        assert reply.status == 500
        assert "given up" in reply.json["error"]
        monkeypatch.undo()
        assert (await worker.ask(ask="echo")).json["pid"] != before

    with_worker(work)


def test_what_it_prints_does_not_block_it():
    async def work(worker: Worker) -> None:
        assert (await worker.ask(ask="chatter")).status == 200

    with_worker(work)


def test_too_many_are_refused_at_once_and_the_others_served():
    async def work(worker: Worker) -> None:
        await worker.ask(ask="echo")
        first = asyncio.ensure_future(worker.ask(ask="sleep", seconds=0.3))
        waiting = [asyncio.ensure_future(worker.ask(ask="echo", number=i)) for i in range(MOST_WAITING - 1)]
        await asyncio.sleep(0.05)
        for _ in range(20):
            with pytest.raises(TooMany) as caught:
                await worker.ask(ask="echo")
            assert 1 <= caught.value.retry_s <= 60
        replies = await asyncio.gather(*waiting)
        assert [reply.json["request"]["number"] for reply in replies] == list(range(MOST_WAITING - 1))
        assert (await first).json == {"slept": 0.3}
        assert worker.waiting == 0
        assert (await worker.ask(ask="echo")).status == 200

    with_worker(work)


def test_who_leaves_while_waiting_is_not_served_and_who_leaves_later_disturbs_nobody():
    async def work(worker: Worker) -> None:
        await worker.ask(ask="echo")
        running = asyncio.ensure_future(worker.ask(ask="sleep", seconds=0.3))
        await asyncio.sleep(0.05)
        gone = [asyncio.ensure_future(worker.ask(ask="sleep", seconds=30)) for _ in range(5)]
        stays = asyncio.ensure_future(worker.ask(ask="echo", number=7))
        await asyncio.sleep(0.05)
        for task in (running, *gone):
            task.cancel()
        reply = await asyncio.wait_for(stays, 10)  # the five would have taken two minutes and a half
        assert reply.json["request"]["number"] == 7
        assert worker.waiting == 0

    with_worker(work)


def test_it_ends_when_it_is_idle_and_comes_again():
    async def work(worker: Worker) -> None:
        pid = (await worker.ask(ask="echo")).json["pid"]
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not psutil.pid_exists(pid):
                break
        assert not psutil.pid_exists(pid)
        assert worker.pid is None
        assert (await worker.ask(ask="echo")).json["pid"] != pid

    with_worker(work, idle_s=0.2)


def test_nothing_is_left_behind():
    me = psutil.Process()
    others = set(me.children())  # of tests before this one

    async def work(worker: Worker) -> None:
        for _ in range(3):
            await worker.ask(ask="echo")
            await worker.ask(ask="die", how="SIGKILL")

    with_worker(work)
    gc.collect()
    before = me.num_fds()
    for _ in range(3):
        with_worker(work)
    gc.collect()
    assert me.num_fds() <= before
    assert set(me.children()) <= others
