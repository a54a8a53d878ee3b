"""schemathesis over the dashboard's own schema: no fault of the program, and answers as the schema says (fault 73)."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

import vitscope
from tests.conftest import TINY, draw_folder
from tests.dashboard.conftest import BEARER, make_run, serve
from vitscope.config import merge
from vitscope.dashboard.server import Server
from vitscope.dashboard.worker import Worker
from vitscope.storage.workspace import Workspace
from vitscope.workflows import jobs

EXAMPLES = int(os.environ.get("VITSCOPE_FUZZ_EXAMPLES") or 200)  # of each route
STREAMS = ("/api/live",)  # has no end


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A workspace with a run that was trained; jobs are committed, and no process trains them."""
    place = tmp_path_factory.mktemp("conformity")
    workspace = Workspace(place / "ws")
    pictures = draw_folder(place / "pictures", {"apple": 8, "pear": 8})
    vitscope.train(
        pictures, workspace=workspace, name="real", **merge(copy.deepcopy(TINY), {"record": {"snapshots": True}})
    )
    make_run(workspace, "interrupted", "interrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "_launch", lambda run_id, workspace: None)
        patch.setattr(Worker, "warm", lambda _: None)
        with serve(workspace) as made:
            yield made


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fault_73_every_answer_is_what_the_schema_says(server: Server):
    """Right and wrong requests to every route; of a run that is there, and of whatever is drawn."""
    import httpx2
    import schemathesis
    from schemathesis import GenerationMode, checks
    from schemathesis.specs.openapi import checks as conformance

    described = httpx2.get(f"{server.root}/api/openapi.json", headers=BEARER).json()
    schema = schemathesis.openapi.from_dict(described)
    wanted = [checks.not_a_server_error, conformance.status_code_conformance, conformance.content_type_conformance]
    wanted += [conformance.response_schema_conformance]
    known = {"run": server.app.state.parts.workspace.find_run("real").id, "key": "structure"}
    pictures = httpx2.get(f"{server.root}/api/runs/{known['run']}/images", headers=BEARER, timeout=120).json()["images"]
    known["image"] = pictures[0]["id"]
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [o for o in operations if o.path not in STREAMS]
    answered: Counter[tuple[str, str]] = Counter()
    for operation in sorted(operations, key=lambda o: o.method == "delete"):
        if "{run}" in operation.path:
            there = {name: value for name, value in known.items() if f"{{{name}}}" in operation.path}
            ask(operation.as_strategy(path_parameters=there), server, wanted, answered)
        for mode in GenerationMode:
            ask(operation.as_strategy(generation_mode=mode), server, wanted, answered)
    assert len(answered) == len(operations) > 15, answered


def ask(cases: Any, server: Server, wanted: list[Any], answered: Counter[tuple[str, str]]) -> None:
    """Send each case, and have its answer compared with the schema."""

    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(case=cases)
    def check(case: Any) -> None:
        case.call_and_validate(base_url=server.root, headers=BEARER, checks=wanted)
        answered[case.method, case.path] += 1

    with suppress(Unsatisfiable):  # there is no wrong request to a route that takes nothing
        check()
