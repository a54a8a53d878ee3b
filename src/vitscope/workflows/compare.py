"""Compare runs: in which options, data, results, time and machine they differ, and whether they can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vitscope import config
from vitscope.errors import RequestError
from vitscope.metrics import query
from vitscope.storage import runs
from vitscope.storage.workspace import Workspace
from vitscope.text import count, some
from vitscope.workflows.runs import describe

if TYPE_CHECKING:
    import pandas as pd

    from vitscope.data.manifest import Manifest

JUDGED = (("val", "top1"), ("val", "loss"), ("test", "top1"), ("test", "loss"), ("train", "loss"))  # told first
OF_STEPS = ("lr", "grad_norm", "images_per_s", "data_wait", "memory_gb")  # of single steps: no result to compare
UNSAID = ("name", "version")  # options that are no difference


def compare_runs(workspace: Workspace, refs: Sequence[str]) -> dict[str, Any]:
    """What `runs compare --json` prints. Lists hold a value a run, in the order of `refs`; null where one has none.

    runs: the keys of `list_runs`, and seconds (of all attempts), images_per_s (median of the steps), best_step;
    options, those that differ: name, values, asked (whether it was asked for, rather than chosen);
    data: same, same_test, same_val, same_train (each true, false, or null where it is not known), same_classes, and
    for each run fingerprints, classes (their number), train, val, test (pictures);
    metrics: split, name, at (last, or best: of the best step by validation), values, differences (from the first);
    environment, what differs: name, values;
    notices: why numbers of these runs cannot be compared, a sentence each.

    Raises `RequestError` for a run that is not there, and for fewer than two.
    """
    rows = list({row.id: row for row in map(workspace.find_run, refs)}.values())
    if len(rows) < 2:
        raise RequestError("Name at least two different runs to compare. See 'vitscope runs list'.")
    seen = [_Seen.of(workspace, row) for row in rows]
    data, notices = _data(seen)
    return {
        "runs": [one.described for one in seen],
        "options": list(_options(seen)),
        "data": data,
        "metrics": list(_metrics(seen)),
        "environment": list(_differing([flat(one.environment) for one in seen])),
        "notices": [*notices, *_unfinished(seen)],
    }


class _Seen(NamedTuple):
    """What is known of one run."""

    row: runs.RunRow
    described: dict[str, Any]
    requested: dict[str, Any]
    resolved: dict[str, Any]
    environment: dict[str, Any]
    manifest: Manifest | None
    frame: pd.DataFrame
    best: query.Best | None

    @classmethod
    def of(cls, workspace: Workspace, row: runs.RunRow) -> _Seen:
        from vitscope.data.manifest import Manifest

        folder, database = workspace.run_folder(row.id), workspace.database
        frame, best = query.frame(database, row.id), query.best(database, row.id)
        speeds = frame.loc[frame["name"] == "images_per_s", "value"]
        described = {
            **describe(workspace, row),
            "seconds": _seconds(workspace, row),
            "images_per_s": float(speeds.median()) if len(speeds) else None,
            "best_step": best.step if best else None,
        }
        file = folder / "manifest.parquet"
        requested = _read(folder / "requested.yaml")
        return cls(
            row,
            described,
            requested,
            _read(folder / "config.yaml") or requested,
            _environment(folder / "environment.json"),
            Manifest.load(file) if file.is_file() else None,
            frame,
            best,
        )


def flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """`{"optim.lr": 0.1, …}` of nested mappings."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def _read(file: Path) -> dict[str, Any]:
    return config.read_file(file) if file.is_file() else {}


def _environment(file: Path) -> dict[str, Any]:
    """Without the command, which differs always and is in the options."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in found.items() if name != "command"} if isinstance(found, dict) else {}


def _seconds(workspace: Workspace, row: runs.RunRow) -> float | None:
    """Time that the attempts took; of one that died, up to the last number that it recorded."""
    attempts = runs.list_attempts(workspace.database, row.id)
    last = query.last_recorded(workspace.database, row.id) if any(a.ended_at is None for a in attempts) else {}
    ends = [a.ended_at or last.get(a.attempt, a.started_at) for a in attempts]
    return sum(max(0.0, end - a.started_at) for a, end in zip(attempts, ends, strict=True)) if attempts else None


# -------------------------------------------------------------------------------------------- what differs


def _options(seen: Sequence[_Seen]) -> Iterator[dict[str, Any]]:
    asked = [flat(one.requested) for one in seen]
    for row in _differing([flat(one.resolved) for one in seen]):
        name = row["name"]
        if name not in UNSAID:
            yield {**row, "asked": [any(n == name or n.startswith(f"{name}.") for n in of_run) for of_run in asked]}


def _differing(of_runs: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name in sorted({name for of_run in of_runs for name in of_run}):
        values = [of_run.get(name) for of_run in of_runs]
        if any(value != values[0] for value in values):
            yield {"name": name, "values": values}


def _metrics(seen: Sequence[_Seen]) -> Iterator[dict[str, Any]]:
    last = [_newest(one.frame) for one in seen]
    best = [_newest(one.frame, one.best.step) if one.best else {} for one in seen]
    names = {key for of_run in last for key in of_run if key[1] not in OF_STEPS}
    for split, name in (*(key for key in JUDGED if key in names), *sorted(names - {*JUDGED})):
        for at, values_of in (("best", best), ("last", last)):
            values = [of_run.get((split, name)) for of_run in values_of]
            if at == "best" and split not in ("val", "test"):
                continue
            yield {
                "split": split,
                "name": name,
                "at": at,
                "values": [query.json_value(value) for value in values],
                "differences": [
                    query.json_value(value - values[0]) if value is not None and values[0] is not None else None
                    for value in values
                ],
            }


def _newest(frame: pd.DataFrame, at: int | None = None) -> dict[tuple[str, str], float]:
    """(split, name) → the newest value, or the one of a step."""
    rows = zip(frame["split"], frame["name"], frame["value"], frame["step"], strict=True)
    return {(split, name): float(value) for split, name, value, step in rows if at is None or step == at}


# ------------------------------------------------------------------------------------------------- the data


def _data(seen: Sequence[_Seen]) -> tuple[dict[str, Any], list[str]]:
    manifests = [one.manifest for one in seen]
    splits = {name: [None if m is None else _pictures(m, name) for m in manifests] for name in ("train", "val", "test")}
    same = {name: _are_same(of_runs) for name, of_runs in splits.items()}
    classes = [None if m is None else m.classes for m in manifests]
    notices: list[str] = []
    if unknown := [one.row.name for one in seen if one.manifest is None]:
        notices.append(f"The pictures of {some(unknown)} are not known (no manifest yet).")
    if _are_same(classes) is False:
        notices.append(f"These runs tell different classes apart{_classes_that_differ(classes)}: do not compare them.")
    for name, what in (("test", "test results"), ("val", "validation results, by which the best model is chosen,")):
        if same[name] is False:
            notices.append(f"Different {name} sets{_shared(splits[name])}: {what} of these runs cannot be compared.")
    for i, one in enumerate(seen):
        for j, other in enumerate(seen):
            tested, learned = splits["test"][i], splits["train"][j]
            if i != j and tested and learned and (known := len(tested & learned)):
                notices.append(
                    f"{count(known, 'test picture')} of {one.row.name} ({one.row.id}) are among those that "
                    f"{other.row.name} ({other.row.id}) learned from."
                )
    told = {
        "same": None if None in same.values() else all(same.values()) and bool(_are_same(classes)),
        **{f"same_{name}": same[name] for name in ("train", "val", "test")},
        "same_classes": _are_same(classes),
        "fingerprints": [None if m is None else m.fingerprint for m in manifests],
        "classes": [None if c is None else len(c) for c in classes],
        **{name: [None if pictures is None else len(pictures) for pictures in splits[name]] for name in splits},
    }
    return told, notices


def _pictures(manifest: Manifest, split: str) -> frozenset[tuple[str, int]]:
    """By sample and size: times differ where a data set was copied."""
    table = manifest.of_split(split).table
    return frozenset(zip(table["sample_id"].to_pylist(), table["size_bytes"].to_pylist(), strict=True))


def _are_same(of_runs: Sequence[Any]) -> bool | None:
    return None if any(one is None for one in of_runs) else all(one == of_runs[0] for one in of_runs)


def _shared(of_runs: Sequence[frozenset[Any] | None]) -> str:
    known = [pictures for pictures in of_runs if pictures is not None]
    shared, sizes = len(frozenset.intersection(*known)), " and ".join(f"{len(pictures):,}" for pictures in known)
    return f" ({sizes} pictures, {shared:,} of them in all)"


def _classes_that_differ(of_runs: Sequence[tuple[str, ...] | None]) -> str:
    known = [set(classes) for classes in of_runs if classes is not None]
    differ = sorted(set.union(*known) - set.intersection(*known))
    return f" ({some(differ)})" if differ else " (in another order)"


def _unfinished(seen: Sequence[_Seen]) -> list[str]:
    return [
        f"{one.row.name} ({one.row.id}) is {one.described['status']} at step {one.row.step:,}"
        f"{f' of {one.row.total_steps:,}' if one.row.total_steps else ''}: its last numbers are not final."
        for one in seen
        if one.described["status"] != "finished"
    ]
