# `make run` and `make test` work from a fresh clone with Python 3.11, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One process more than there are cores: tests wait a quarter of their time and more.
TOGETHER := -n $(shell expr $$(nproc) + 1) --maxprocesses=5
QUICK := $(TOGETHER) --dist worksteal -m "not system" --ignore=tests/system --ignore=tests/docker
SYSTEM := $(TOGETHER) --dist loadfile -m system

# Tests start hundreds of processes, each of which would compile the same modules again.
test unit coverage: export PYTHONDONTWRITEBYTECODE =

.PHONY: run test unit coverage check format compiled test-compiled bench lock docs clean

run: $(VENV)/.installed
	@$(BIN)/turnout demo $(ARGS)

test: $(VENV)/.installed-test check
	$(BIN)/python -m tests.prerequisites
	@$(MAKE) --no-print-directory coverage
	$(BIN)/pytest $(SYSTEM)

# the quick part: no processes, no containers
# in memory, where there is room: thousands of commits would wait for a disk
unit coverage: export PYTEST_DEBUG_TEMPROOT = $(wildcard /dev/shm)
unit: $(VENV)/.installed-test
	$(BIN)/pytest $(QUICK)

# the same, and how much of the code it runs: fails below the floor in pyproject.toml
coverage: $(VENV)/.installed-test
	$(BIN)/pytest $(QUICK) --cov --cov-report=

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The tree as `pip install .` makes it, in a copy: what is compiled is not what one edits.
COMPILED := build/compiled
compiled:
	@mkdir -p $(COMPILED)
	rm -rf $(COMPILED)/router $(COMPILED)/control $(COMPILED)/tests
	git ls-files --cached --others --exclude-standard -z \
	    | tar --create --null --ignore-failed-read --files-from=- | tar --extract --directory=$(COMPILED)
	$(MAKE) --no-print-directory -C $(COMPILED) $(VENV)/.installed-test
	cd $(COMPILED) && TURNOUT_PURE=0 $(BIN)/pip install --disable-pip-version-check -q --no-deps -e .
	@cd $(COMPILED) && $(BIN)/turnout version

# what a router does, unit, conformance, fuzz and system tests, against the compiled build; the
# other system tests ask the API and the command, of which nothing is compiled
ROUTED := $(patsubst %,tests/system/test_%.py,router_alone under_load in_flight upgrade crash \
    ends failures abuse slots trust descriptors refused_table listening log_limits door)
test-compiled: compiled
	$(BIN)/python -m tests.prerequisites
	@$(MAKE) --no-print-directory -C $(COMPILED) unit
	cd $(COMPILED) && $(BIN)/pytest $(SYSTEM) $(ROUTED)

bench: compiled $(VENV)/.installed-test
	cd $(COMPILED) && $(BIN)/python -m benchmarks --beside "interpreted=$(CURDIR)" $(ARGS)

# requirements*.txt are the lock: exact versions of everything that is installed
lock:
	rm -rf $(VENV)-lock && $(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip -q install --upgrade pip
	$(VENV)-lock/bin/pip -q install .
	$(VENV)-lock/bin/pip freeze --exclude turnout | grep -v '^turnout' > requirements.txt
	$(VENV)-lock/bin/pip -q install '.[test]'
	$(VENV)-lock/bin/pip freeze --exclude turnout | grep -v '^turnout' > requirements-test.txt
	rm -rf $(VENV)-lock build

# One that was interrupted has no .made, and is made anew.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "turnout needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	    echo "turnout needs Python's venv; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.made requirements.txt pyproject.toml
	$(BIN)/pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.txt
	$(BIN)/pip install --disable-pip-version-check -r requirements-test.txt
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info

docs: $(VENV)/.installed-test
	$(BIN)/python -m config.settings_page > config/README.md
	$(BIN)/python -m config.dashboard > config/grafana/turnout.json
