"""How long `vitscope --help` and `vitscope runs list` take, whole processes, alternated.

python bench/startup.py [--rounds 7] [--quick]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from measuring import alternate, arguments, write

COMMANDS = {"--help": ["--help"], "runs list": ["runs", "list"], "bare interpreter": None}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as workspace:
        sides = {name: lambda words=words: seconds(workspace, words) for name, words in COMMANDS.items()}
        for side in sides.values():  # warms the disk's cache
            side()
        found = alternate(sides, 2 if given.quick else given.rounds)
    write("startup", found, "s", is_quick=given.quick)


def seconds(workspace: str, words: Sequence[str] | None) -> float:
    """Of a whole process: `vitscope` with these words, or a bare interpreter."""
    command = [sys.executable, "-c", "pass"]
    if words is not None:
        command = [sys.executable, "-m", "vitscope", "--workspace", workspace, *words]
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
