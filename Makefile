# Every task of the project; CI calls only these. Needs Python 3.11+, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv --quiet
INSTALL := $(UV) pip install --python $(BIN)/python
SOURCES := kit edge core archiver tools tests

# Some machines tell Python to keep no bytecode. Here hundreds of processes start, and each would
# compile itself and its libraries anew: six seconds of CPU instead of two for a core.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test check fmt lint types protos protos-check lock lock-upgrade bench clients install
.PHONY: chaos breaks

help:
	@echo "run      start everything on this machine (edge, core, archiver, PostgreSQL)"
	@echo "test     the whole test suite"
	@echo "check    format, lint, types, protos and tests: what CI runs"
	@echo "fmt      format code and protos;  lint, types, protos: one check each"
	@echo "bench    the first table of docs/benchmarks/;  clients: SDKs and agents unmodified"
	@echo "chaos    kill, cut, freeze and starve everything (ROUNDS=n);  breaks: the suites must notice"
	@echo "simulate money under every misfortune, an auditor after each step (STEPS=n)"
	@echo "leaktest look for content and secrets wherever the processes could leave them"
	@echo "lock     resolve the lock files anew;  lock-upgrade: to the newest week-old versions"

## Installing: pip brings uv (hash-checked), uv brings the rest (hash-checked), twice as quick.

$(BIN)/uv: requirements-bootstrap.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/pip || $(BIN)/python -m ensurepip --default-pip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes --no-deps --requirement requirements-bootstrap.lock
	@touch $@

# The project and its stubs are installed as they lie here; the build backend is the pinned one.
$(VENV)/.runtime: $(BIN)/uv requirements.lock pyproject.toml generated/python/pyproject.toml
	@$(INSTALL) --require-hashes --requirement requirements.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable . --editable generated/python
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@

# The S3 server of the archive's tests runs in an environment of its own.
$(VENV)/.s3: $(VENV)/.dev requirements-s3.lock
	@$(UV) venv --clear --python $(BIN)/python $(VENV)/s3
	@$(UV) pip install --python $(VENV)/s3/bin/python \
		--require-hashes --requirement requirements-s3.lock
	@touch $@

install: $(VENV)/.dev $(VENV)/.s3

lock: $(BIN)/uv
	$(BIN)/python tools/lock.py

lock-upgrade: $(BIN)/uv
	$(BIN)/python tools/lock.py --upgrade

## Running

run: $(VENV)/.runtime
	@exec $(BIN)/1api up

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.settlement
	$(BIN)/python -m tests.bench.archive

clients: $(VENV)/.dev
	$(BIN)/python -m tests.contract.clients $(NAMES)

.PHONY: leaktest
leaktest: $(VENV)/.dev $(VENV)/.s3
	$(BIN)/python -m tests.leaktest

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),1) $(SUITES)

.PHONY: simulate
simulate: $(VENV)/.dev
	$(BIN)/python -m tests.simulation --steps $(or $(STEPS),10000)

breaks: $(VENV)/.dev
	$(BIN)/python -m tests.support.breaks $(SUITES)

## Checking, in the order in which a mistake is cheapest to find

check: fmt-check lint types protos-check test

fmt: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/buf format --write protos

.PHONY: fmt-check
fmt-check: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python tools/lock.py --check

types: $(VENV)/.dev
	$(BIN)/mypy $(SOURCES)

# Writes generated/ anew from protos/; the check says whether it was forgotten.
protos: $(VENV)/.dev
	$(BIN)/python tools/protos.py generate

protos-check: $(VENV)/.dev
	$(BIN)/python tools/protos.py check

# Folder by folder: by itself xdist leaves the files with few tests for the end, and those are the
# longest.
test: $(VENV)/.dev $(VENV)/.s3
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
