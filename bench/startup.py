"""How long `vitscope --help` and `vitscope runs list` take, whole processes, alternated. Asserts nothing."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vitscope._version import __version__
from vitscope.machine import probe

ROUNDS = 7
COMMANDS = {"--help": ["--help"], "runs list": ["runs", "list"], "bare interpreter": None}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as workspace:
        for _ in range(ROUNDS + 1):  # the first warms the disk cache and is left out
            for name, words in COMMANDS.items():
                command = [sys.executable, "-c", "pass"]
                if words is not None:
                    command = [sys.executable, "-m", "vitscope", "--workspace", workspace, *words]
                started = time.perf_counter()
                subprocess.run(command, capture_output=True, check=True)
                seconds[name].append(time.perf_counter() - started)
    rows = {name: values[1:] for name, values in seconds.items()}
    for name, values in rows.items():
        print(f"{name:18} median {statistics.median(values):.3f} s  ({min(values):.3f} to {max(values):.3f})")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    about = {"vitscope": __version__, "python": platform.python_version(), "machine": probe().kind}
    (results / "startup.json").write_text(json.dumps({**about, "seconds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
