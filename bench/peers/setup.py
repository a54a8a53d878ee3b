"""Makes `.venv-peers` beside the Makefile: the peers from PyPI, in an environment of their own.

    python bench/peers/setup.py [-- options for pip]

Does nothing where the pins have not changed since. About 6 GB with the CUDA libraries of torch; hand pip options on to
take a CPU-only torch.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-peers"
PINS = Path(__file__).with_name("requirements.txt")


def python() -> Path:
    """The interpreter of the peers' environment, whether or not it has been made."""
    return FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def main() -> None:
    made_of, pins = FOLDER / "made-of.txt", PINS.read_text(encoding="utf-8")
    if made_of.is_file() and made_of.read_text(encoding="utf-8") == pins:
        print(f"{FOLDER}: as pinned")
        return
    venv.create(FOLDER, with_pip=True)
    options = [word for word in sys.argv[1:] if word != "--"]
    subprocess.run([python(), "-m", "pip", "install", *options, "-r", str(PINS)], check=True)
    made_of.write_text(pins, encoding="utf-8")


if __name__ == "__main__":
    main()
