"""Runs a side: ViTScope, the bare step or a peer, each in a process and an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from peers.setup import python as peers_python
from peers.work import MARK, Work

SETTLING_S = 1800.0
CHOICES = ("precision", "attention", "compile")
BENCH = Path(__file__).parents[1]
OURS, BARE = Path(__file__).with_name("ours.py"), Path(__file__).with_name("bare.py")
PEERS: dict[str, Path] = {
    "Lightning": BENCH / "peers" / "with_lightning.py",
    "HF Trainer": BENCH / "peers" / "with_hf_trainer.py",
    "plain PyTorch": BENCH / "peers" / "plain.py",
    "LightlyTrain": BENCH / "peers" / "with_lightly_train.py",
}
if os.environ.get("TIMM_TRAIN"):  # its script is not on PyPI
    PEERS["timm train.py"] = BENCH / "peers" / "with_timm.py"


class SideFailed(Exception):
    """A side ended without an answer."""


def command_of(script: Path, work: Work) -> tuple[list[str | Path], dict[str, str]]:
    """The command that runs a side, and its environment. Ends the program where that of the peers is missing."""
    is_peer = script in PEERS.values()
    python = peers_python() if is_peer else Path(sys.executable)
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if not is_peer:
        surroundings["PYTHONPATH"] = os.pathsep.join([str(BENCH), *filter(None, [os.environ.get("PYTHONPATH")])])
    if not python.exists():
        raise SystemExit(f"{python} is missing: make it with 'python bench/peers/setup.py'.")
    return [python, script, json.dumps(asdict(work))], surroundings


def run(script: Path, work: Work) -> dict[str, Any]:
    """What the side answered. Raises `SideFailed` with its last words."""
    with tempfile.TemporaryDirectory() as scratch:
        command, surroundings = command_of(script, replace(work, scratch=scratch))
        done = subprocess.run(command, capture_output=True, text=True, cwd=scratch, env=surroundings, check=False)
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            found |= json.loads(line.removeprefix(MARK))
    if done.returncode or "seconds" not in found:
        raise SideFailed(f"{script.name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return found


def settled(work: Work, *, is_quick: bool) -> Work:
    """The work with ViTScope's choices for this machine as options, made by a run that does not count.

    That run fills the cache of `work.workspace` too. So no round measures anew, and the bare step computes alike.
    `is_quick`: without trying what compiling would bring, which takes minutes.
    """
    if is_quick:
        work = replace(work, options=(*work.options, "train.compile=off"))
    run(OURS, replace(work, budget_s=SETTLING_S))
    newest = max((Path(work.workspace) / "runs").iterdir(), key=lambda folder: folder.stat().st_mtime)
    train = yaml.safe_load((newest / "config.yaml").read_text(encoding="utf-8"))["train"]
    chosen = [f"train.{name}={train[name]}" for name in CHOICES]
    print(f"  ViTScope's choices here: {', '.join(chosen)}", flush=True)
    return replace(work, options=(*work.options, *chosen))


def images_per_s(script: Path, work: Work) -> float:
    """End to end."""
    return float(run(script, work)["images_per_s"])
