# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
UNIT := $(BIN)/pytest -q -m 'not integration and not chaos and not hard_data' -n 2
export RAY_DEDUP_LOGS := 0

.PHONY: demo test install lint types unit integration coverage mutants peers docs survive chaos hard-data clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[grid,dev,offline]'
	touch $@

demo: install
	$(BIN)/uniferum data demo configs/demo_data.yaml
	$(BIN)/uniferum grid run configs/demo_grid.yaml --yes
	$(BIN)/uniferum report --grid configs/demo_grid.yaml --table auroc --published
	$(BIN)/uniferum report --grid configs/demo_grid.yaml --table aupr
	$(BIN)/uniferum report --grid configs/demo_grid.yaml --html demo/page

# Types and unit tests keep both cores busy; integration tests, which wait for processes, run alone after them.
test: install lint
	$(MAKE) --no-print-directory --jobs 2 types unit
	$(MAKE) --no-print-directory integration

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/basedpyright

unit: install
	$(UNIT)

integration: install
	$(BIN)/pytest -q -m 'integration and not chaos and not hard_data'

# Lines of the three packages that the unit tests run; the gate stands at what they reach.
coverage: install
	$(UNIT) --cov --cov-report=term:skip-covered

# Small faults in six modules whose mistakes nobody would see; about half an hour. Not a part of CI.
mutants: install
	$(BIN)/python -m tests.mutants.run

# Every compared system on the demo's phantoms, three seeds each: at most an hour on two cores. Not a part of CI.
peers: install
	$(BIN)/uniferum data demo configs/demo_data.yaml
	$(BIN)/uniferum data reports configs/cohorts/demo_ct_rate.yaml --store demo/stores/ctrate
	$(BIN)/uniferum grid run configs/peers_grid.yaml --yes
	$(BIN)/uniferum report --grid configs/peers_grid.yaml --table auroc --intervals

docs: install
	$(BIN)/mkdocs build --strict

# The short form of `chaos`, and a part of `integration`: it is run by `make test` already.
survive: install
	$(BIN)/pytest -q tests/integration/test_survive.py tests/integration/test_survive_nodes.py tests/integration/test_cleanup.py

chaos: install
	$(BIN)/pytest -q -m chaos

# Long fuzz runs of headers, and the tables of orientations and intensities on the real volumes.
hard-data: install
	$(BIN)/pytest -q -s -m hard_data tests/hard_data

clean:
	rm -rf demo runs site
