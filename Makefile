# Every habit of the project. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long check bench docs clean

BIN := .venv/bin
# Options for pip while setting up, e.g. PIP_ARGS="--index-url https://… " to take a CPU-only torch.
PIP_ARGS ?=
# Options for the demo, e.g. ARGS=--exit.
ARGS ?=
# Options for pytest, e.g. PYTEST_ARGS="-k resume".
PYTEST_ARGS ?=
# Two processes with one thread each fill two cores.
JOBS ?= 2

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make the environment in .venv (once; again only when its pins change)

.venv/.ready: pyproject.toml constraints.txt scripts/setup.sh
	@PIP_ARGS='$(PIP_ARGS)' bash scripts/setup.sh
	@touch $@

demo: .venv/.ready ## train a small ViT on the embedded digits, export it, prove the export (ARGS=--exit)
	@$(BIN)/vitscope demo $(ARGS)

test: .venv/.ready ## run the tests
	@$(BIN)/python -m pytest -n $(JOBS) -m "not long" $(PYTEST_ARGS)

test-long: .venv/.ready ## run the tests that need minutes
	@$(BIN)/python -m pytest -n $(JOBS) -m long $(PYTEST_ARGS)

check: .venv/.ready ## lint, types, imports between rooms
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-cache | tail -n 4

bench: .venv/.ready ## run the benchmarks; tables on the terminal, JSON in bench/results/
	@for script in bench/*.py; do $(BIN)/python $$script; done

docs: .venv/.ready ## write the reference page of the options anew
	@$(BIN)/python scripts/options_page.py

clean: ## remove the environment, caches and builds
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache bench/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
