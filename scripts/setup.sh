#!/usr/bin/env bash
# Make .venv with the package and what its tests need. Called by `make setup`; says what is missing and what brings it.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

bring() { # the command that installs $1 on this system, for the messages below
    if command -v apt-get >/dev/null; then say "    sudo apt-get install -y $1"
    elif command -v dnf >/dev/null; then say "    sudo dnf install -y $1"
    elif command -v brew >/dev/null; then say "    brew install python@3.12"
    else say "    install $1 with your system's package manager"
    fi
}

suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=""
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null && suits "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    say "Python 3.11 or newer is needed and was not found (PYTHON=… names another). It comes with:"
    bring "python3 python3-venv"
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    say "$python has no venv module. It comes with:"
    bring "python3-venv"
    exit 1
fi

say "Setting up .venv with $("$python" --version) (once; a few minutes, about 6 GB with the CUDA build of torch)."
[ -x .venv/bin/python ] || "$python" -m venv .venv
# shellcheck disable=SC2086  # PIP_ARGS is a list of options
install() { .venv/bin/python -m pip install --disable-pip-version-check --retries 5 ${PIP_ARGS:-} "$@"; }
# Of what pip tells only that it is at work: which package it fetches, and that it installs them.
told() { grep --line-buffered -E '^ *(Downloading|Using cached .*torch|Installing|ERROR|WARNING: Retrying)' | cut -c 1-100 >&2 || true; }
install -c constraints.txt -e '.[dev]' 2>&1 | told
say "Ready. Try: make demo"
