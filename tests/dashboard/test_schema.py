"""The OpenAPI schema, and odd values in every parameter that it names: told, never a fault of ours (fault 73)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dashboard.conftest import asking, make_run
from tests.dashboard.test_worker import FAKE
from vitscope.dashboard import worker as worker_module
from vitscope.dashboard.worker import Worker
from vitscope.storage.workspace import Workspace

DOCUMENTED = {
    ("get", "/api/session"),
    ("get", "/api/runs"),
    ("get", "/api/runs/sparklines"),
    ("get", "/api/runs/{run}"),
    ("delete", "/api/runs/{run}"),
    ("post", "/api/runs/{run}/restore"),
    ("post", "/api/runs/{run}/stop"),
    ("post", "/api/runs/{run}/resume"),
    ("get", "/api/runs/{run}/series"),
    ("get", "/api/runs/{run}/series.csv"),
    ("get", "/api/live"),
    ("get", "/api/options"),
    ("get", "/api/models"),
    ("post", "/api/runs"),
    ("get", "/api/jobs/{run}/log"),
    ("get", "/api/runs/{run}/images"),
    ("get", "/api/runs/{run}/images/{image}"),
    ("post", "/api/images"),
    ("get", "/api/runs/{run}/inside/{key}"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("schema") / "ws")
    make_run(workspace, "known")
    return workspace


@pytest.fixture(scope="module")
def client(place: Workspace) -> Iterator[TestClient]:
    before = Worker.__init__.__defaults__
    Worker.__init__.__defaults__ = (FAKE, worker_module.IDLE_S)
    try:
        with asking(place) as made:
            yield made
    finally:
        Worker.__init__.__defaults__ = before


def test_it_names_all_there_is(client: TestClient):
    schema = client.get("/api/openapi.json").json()
    assert {(method, path) for path, methods in schema["paths"].items() for method in methods} == DOCUMENTED
    assert schema["info"]["title"] == "ViTScope"
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).headers["content-type"].startswith("text/")  # pages of others would load from elsewhere


odd = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["", "null", "true", "-1", "1e309", "NaN", "0x10", "９", "../x", "\0", "a,b", "%", "latest", "known"]
    ),
)
SKIPPED = ("/api/live",)  # a stream that is accepted has no end


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_fault_73_odd_values_are_told(client: TestClient, place: Workspace, data: st.DataObject):
    schema = client.get("/api/openapi.json").json()
    choices = sorted((m, p) for m, p in DOCUMENTED if p not in SKIPPED and m == "get")
    method, path = data.draw(st.sampled_from(choices))
    run = place.find_run("known").id
    query, address = {}, path
    for parameter in schema["paths"][path][method].get("parameters", []):
        name = parameter["name"]
        value = data.draw(odd | st.just(run) if name == "run" else odd)
        if parameter["in"] == "path":
            from urllib.parse import quote

            address = address.replace(f"{{{name}}}", quote(value, safe="") or "x")
        elif data.draw(st.booleans()):
            query[name] = value
    answer = client.request(method, address, params=query)
    assert answer.status_code < 500 or answer.status_code == 503, (address, query, answer.text)
    if answer.status_code >= 400 and answer.headers["content-type"] == "application/json":
        assert isinstance(answer.json()["error"], str)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
groups = st.sampled_from(["model", "train", "optim", "data", "seed", "version", "name", "recipe", "augment", "x"])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(options=st.dictionaries(groups, values, max_size=3), source=st.one_of(st.just("digits"), values))
def test_fault_73_odd_descriptions_are_told(client: TestClient, options: dict, source: object):
    from vitscope.workflows import jobs

    before = jobs._launch
    jobs._launch = lambda *_: None
    try:
        answer = client.post("/api/runs", json={"source": source, "options": options})
    finally:
        jobs._launch = before
    assert answer.status_code in (201, 422), answer.text
    assert math.isfinite(len(answer.text))
