# `make run` and `make test` work from a fresh clone with Python 3.11, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test unit check bench lock docs clean

run: $(VENV)/.installed
	@$(BIN)/turnout demo $(ARGS)

test: $(VENV)/.installed-test check
	$(BIN)/python -m tests.prerequisites
	$(BIN)/pytest

# the quick part: no processes, no containers
unit: $(VENV)/.installed-test
	$(BIN)/pytest -m "not system"

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks $(ARGS)

# requirements*.txt are the lock: exact versions of everything that is installed
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip -q install --upgrade pip
	$(VENV)-lock/bin/pip -q install .
	$(VENV)-lock/bin/pip freeze --exclude turnout | grep -v '^turnout' > requirements.txt
	$(VENV)-lock/bin/pip -q install '.[test]'
	$(VENV)-lock/bin/pip freeze --exclude turnout | grep -v '^turnout' > requirements-test.txt
	rm -rf $(VENV)-lock build

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "turnout needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info

docs: $(VENV)/.installed
	$(BIN)/python -m control.document > config/README.md
