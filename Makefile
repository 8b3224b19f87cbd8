# `make help` lists what is here. Everything is installed inside the tree: .venv, and a node_modules beside each package.json.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
# An interpreter to build .venv with; empty: the first of the usual names that is a supported CPython.
PYTHON ?=
# Passed on by `make run ARGS=…`, `make test ARGS=…` and `make bench ARGS=…`.
ARGS ?=

INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Nothing in these trees needs an install script: the native binaries are in the packages themselves.
NPM_CI := npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

.PHONY: help
help: ## list the targets
	@sed -n 's/^\(run\|test\|bench\|check\|contracts\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

# ---- what people call --------------------------------------------------------------------------------------------------

.PHONY: run test bench check contracts
run: setup ## set up, then start a ledger with its own development Ethereum and demo traffic (ARGS='--port 9000 …')
	$(BIN)/tally devnet --demo $(ARGS)

# What computes goes over all cores, a file to a core. What starts processes and kills them waits most of the time, so more
# of it than there are cores runs at once; what promises a time has the machine to itself. All run, whatever the others say.
PYTEST := $(BIN)/python -m pytest
COMPUTING := tests/unit tests/property tests/vectors tests/contracts tests/simulation
WAITING := $(addprefix --ignore=,$(COMPUTING))
test: setup-dev node-tools ## set up, then run all tests (ARGS='-m "not long" tests/unit')
ifeq ($(strip $(ARGS)),)
	status=0; \
	$(PYTEST) --numprocesses auto --dist loadfile $(COMPUTING) || status=$$?; \
	$(PYTEST) --numprocesses 4 --dist loadfile --no-loadscope-reorder -m 'not timed' $(WAITING) || status=$$?; \
	$(PYTEST) -m timed $(WAITING) || status=$$?; \
	exit $$status
else
	$(PYTEST) $(ARGS)
endif

# Ten thousand hours of a hostile Ethereum. SIMULATION_HOURS sets another number, SIMULATION_SEED picks one world of them.
.PHONY: simulate
simulate: export SIMULATION_HOURS ?= 10000
simulate: setup-dev
	$(PYTEST) --numprocesses auto --dist load tests/simulation $(ARGS)

bench: setup-dev ## set up, then measure; prints each figure beside its yardstick
	$(BIN)/python -m benchmarks $(ARGS)

check: setup-dev ## formatter, linter, strict types; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

contracts: setup contracts/node_modules/.installed ## compile the contracts and rewrite contracts/artifacts
	$(BIN)/python -m contracts.build

# ---- what those stand on -----------------------------------------------------------------------------------------------

.PHONY: setup setup-dev node-tools check-contracts format lock
setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev
node-tools: tests/node_modules/.installed contracts/node_modules/.installed explorer/vendor/node_modules/.installed

# A rebuild gives the committed bytes, or fails.
check-contracts: setup contracts/node_modules/.installed
	$(BIN)/python -m contracts.build --check

format: setup-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	@python=$$(scripts/find-python $(PYTHON)) && echo "building $(VENV) with $$python" \
		&& { "$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }; }

# Only hashed packages get in, and the tree itself as an editable install without a build environment of its own.
$(VENV)/.installed: requirements.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes --requirement requirements.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(INSTALL) --require-hashes --requirement requirements-dev.txt
	@touch $@

%/node_modules/.installed: %/package.json %/package-lock.json
	@command -v npm >/dev/null || { echo "make: the tests need Node.js 18 or later with npm (Debian: apt-get install nodejs npm)" >&2; exit 1; }
	cd $* && $(NPM_CI)
	@touch $@

# Both lock files anew from pyproject.toml, keeping every pin that still fits; LOCK_ARGS=--upgrade moves them.
# PIP_CONFIG_FILE: hashes are those of the public index, whatever mirrors this machine is set up with.
LOCK := env -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/python -m piptools compile --quiet \
	--generate-hashes --allow-unsafe --strip-extras --build-deps-for editable --annotation-style line --no-emit-options \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(LOCK_ARGS)
lock: setup
	$(INSTALL) 'pip-tools>=7.6,<8'
	$(LOCK) --output-file requirements.txt pyproject.toml
	$(LOCK) --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
