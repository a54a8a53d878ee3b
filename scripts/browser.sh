#!/usr/bin/env bash
# Find the Chromium that the browser tests drive, or bring it. Says nothing when it is there.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

case "${VITSCOPE_TEST_BROWSER:-}" in
    none) say "VITSCOPE_TEST_BROWSER=none: the browser tests are skipped."; exit 0 ;;
    ?*) exit 0 ;; # a browser of one's own; the tests say so when it is not there
esac
for name in chromium chromium-browser google-chrome chrome; do
    if command -v "$name" >/dev/null; then exit 0; fi
done
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    say "Installing chromium for the browser tests (once)."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get install -y -qq chromium || { apt-get update -qq && apt-get install -y -qq chromium; }; } >/dev/null
    exit 0
fi
say "The browser tests need Chromium, and installing it needs root. It comes with:"
if command -v apt-get >/dev/null; then say "    sudo apt-get install -y chromium"
elif command -v dnf >/dev/null; then say "    sudo dnf install -y chromium"
elif command -v brew >/dev/null; then say "    brew install --cask chromium"
fi
say "Or name one with VITSCOPE_TEST_BROWSER=/path/to/it; VITSCOPE_TEST_BROWSER=none leaves these tests out."
exit 1
