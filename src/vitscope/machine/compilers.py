"""A C++ compiler that torch.compile can use, tried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from typing import NamedTuple


class Compiler(NamedTuple):
    """Path of a usable C++ compiler, or None with what is wrong and the command that puts it right, where known."""

    path: str | None
    problem: str = ""
    fix: str = ""


def find_compiler() -> Compiler:
    """A C++ compiler that finds what torch.compile's code includes: $CXX where it is set, else g++, clang++ or c++.

    It is tried, not only looked for: without Python's headers (python3-dev) or OpenMP's the first compiled step fails.
    """
    asked = os.environ.get("CXX")
    found = [path for name in ([asked] if asked else ["g++", "clang++", "c++"]) if (path := shutil.which(name))]
    if found:
        tried = [_try(path) for path in found]
        return next((c for c in tried if c.path), tried[0])
    if asked:
        return Compiler(None, f"$CXX names '{asked}', which is not a program here", "unset CXX")
    bring = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
    return Compiler(None, "no C++ compiler was found on PATH", bring)


def _try(compiler: str) -> Compiler:
    includes, flags = "#include <vector>\n#include <Python.h>\n", []
    if sys.platform != "darwin":  # there torch brings OpenMP itself
        includes, flags = includes + "#include <omp.h>\n", ["-fopenmp"]
    command = [compiler, "-E", *flags, "-I", sysconfig.get_path("include"), "-x", "c++", "-"]
    try:
        done = subprocess.run(command, input=includes, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Compiler(None, f"{compiler} does not run ({error})")
    if done.returncode == 0:
        return Compiler(compiler)
    packages = {"Python.h": f"python{sys.version_info.major}.{sys.version_info.minor}-dev", "omp.h": "libomp-dev"}
    for header in (h for h in packages if h in done.stderr):
        return Compiler(None, f"{compiler} does not find {header}", f"apt-get install {packages[header]}")
    return Compiler(None, f"{compiler} does not work ({(done.stderr.strip().splitlines() or ['no message'])[-1]})")
