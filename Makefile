# Every habit of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup web demo test test-web test-long check bench bench-quick bench-peers docs screenshots clean

BIN := .venv/bin
# Options for pip while setting up, e.g. PIP_ARGS="--index-url https://… " to take a CPU-only torch.
PIP_ARGS ?=
# Options for the demo, e.g. ARGS=--exit.
ARGS ?=
# Options for pytest, e.g. PYTEST_ARGS="-k resume".
PYTEST_ARGS ?=
# Two processes with one thread each fill two cores.
JOBS ?= 2
BENCHES := startup recording indexing dashboard overhead throughput speedrun

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make the environment in .venv (once; again only when its pins change)

.venv/.ready: pyproject.toml constraints.txt hatch_build.py scripts/setup.sh
	@PIP_ARGS='$(PIP_ARGS)' bash scripts/setup.sh
	@touch $@

web: .venv/.ready ## build the front end (when anything in web/ has changed)
	@$(BIN)/python scripts/front_end.py build

demo: web ## watch a small ViT learn the embedded digits in the dashboard, look inside, export it (ARGS=--exit)
	@$(BIN)/vitscope demo $(ARGS)

test: web test-web ## run the tests, those in the browser too
	@bash scripts/browser.sh
	@$(BIN)/python -m pytest -n $(JOBS) -m "not long" $(PYTEST_ARGS)

test-web: .venv/.ready ## types and unit tests of the front end
	@$(BIN)/python scripts/front_end.py test

test-long: web ## run the tests that need minutes
	@$(BIN)/python -m pytest -n $(JOBS) -m long $(PYTEST_ARGS)

check: .venv/.ready ## lint, types, imports between rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-cache | tail -n 4

bench: web bench-peers ## run the benchmarks, hours; tables on the terminal, JSON in bench/results/ (bench/README.md)
	@for name in $(BENCHES); do $(BIN)/python bench/$$name.py $(ARGS); done

bench-quick: ## a short form of each benchmark: shows that they run; no figures to keep
	@$(MAKE) --no-print-directory bench ARGS=--quick

bench-peers: .venv/.ready ## make the environment of the peers that the benchmarks compare with, in .venv-peers (6 GB)
	@bash scripts/browser.sh
	@$(BIN)/python bench/peers/setup.py -- $(PIP_ARGS)

docs: .venv/.ready ## write the reference page of the options anew
	@$(BIN)/python scripts/options_page.py

screenshots: web ## take the pictures of every page in docs/ anew (both themes, languages and widths)
	@bash scripts/browser.sh
	@$(BIN)/python scripts/screenshots.py

clean: ## remove the environment, caches and builds
	rm -rf .venv .venv-peers build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache bench/results \
		web/node_modules src/vitscope/dashboard/static
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
