"""What `vitscope runs compare` prints for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from vitscope.cli.console import say, warn
from vitscope.cli.table import print_table
from vitscope.text import shown

SHARES = ("top1", "top5")


def print_comparison(facts: dict[str, Any]) -> None:
    """A column a run; of several the differences from the first are beside its numbers."""
    runs = facts["runs"]
    twice = Counter(run["name"] for run in runs)
    names = [run["name"] if twice[run["name"]] == 1 else f"{run['name']} ({run['id']})" for run in runs]
    for notice in facts["notices"]:
        warn(notice)
    _section("Runs", names, [(title, [one(run) for run in runs]) for title, one in _FACTS.items()])
    metrics = [(f"{m['split']} {m['name']} ({m['at']})".strip(), _numbers(m)) for m in facts["metrics"]]
    _section("Results", names, metrics)
    options = [
        (o["name"], [_value(v) + ("" if a else " *") for v, a in zip(o["values"], o["asked"], strict=True)])
        for o in facts["options"]
    ]
    _section("Options that differ (* chosen, not asked for)", names, options, "They do not differ in any option.")
    data = facts["data"]
    rows = [(name, [_value(value) for value in data[name]]) for name in ("classes", "train", "val", "test")]
    told = {True: "the same", False: "different ones", None: "not known of all"}
    say(f"\nPictures: {told[data['same']]}")
    if data["same"] is not True:
        print_table(("", *names), [(name, *values) for name, values in rows], numbers=range(1, len(names) + 1))
    environment = [(e["name"], [_value(value) for value in e["values"]]) for e in facts["environment"]]
    _section("Environment that differs", names, environment, "Trained in the same environment.")


_FACTS = {
    "id": lambda run: run["id"],
    "status": lambda run: run["status"],
    "data": lambda run: run["source"],
    "model": lambda run: run["model"],
    "epochs": lambda run: _value(run["epochs"]),
    "steps": lambda run: f"{run['step']:,}",
    "best at step": lambda run: _value(run["best_step"]),
    "time": lambda run: "" if run["seconds"] is None else str(timedelta(seconds=round(run["seconds"]))),
    "images/s": lambda run: "" if run["images_per_s"] is None else f"{run['images_per_s']:,.1f}",
}


def _section(title: str, names: Sequence[str], rows: Sequence[tuple[str, list[str]]], empty: str = "") -> None:
    if rows:
        say(f"\n{title}")
        print_table(("", *names), [(name, *values) for name, values in rows], numbers=(), free=range(1, len(names) + 1))
    elif empty:
        say(f"\n{empty}")


def _numbers(metric: dict[str, Any]) -> list[str]:
    """The first run's number, and of the others theirs with the difference."""
    is_share = metric["name"] in SHARES
    return [
        _number(value, is_share) + (f" ({_difference(change, is_share)})" if i and _is_number(change) else "")
        for i, (value, change) in enumerate(zip(metric["values"], metric["differences"], strict=True))
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _number(value: Any, is_share: bool) -> str:
    if not _is_number(value):
        return _value(value)
    return f"{value:.2%}" if is_share else f"{value:.4f}"


def _difference(value: float, is_share: bool) -> str:
    return f"{100 * value:+.2f}" if is_share else f"{value:+.4f}"


def _value(value: Any) -> str:
    return "–" if value is None else shown(value)
