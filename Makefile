# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
UNIT := $(BIN)/pytest -q -m 'not integration and not chaos and not hard_data' -n 2
# Where tests with the marker `ray` are; a test says that there are no others. Others are not imported for them.
RAY_TESTS := tests/integration tests/orchestration/test_prepare.py
export RAY_DEDUP_LOGS := 0
# Python and pytest keep what they compile of this project: hundreds of processes read it, and so does the next run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test install lint types with-ray without-ray unit integration coverage mutants peers docs survive chaos hard-data clean

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

# Types and the tests without Ray keep both cores busy. Those with Ray run alone after them: beside other tests they run
# into Ray's own time limits now and then. A failure stops `test` when the target beside it has ended.
test: install lint
	$(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=target types without-ray
	$(MAKE) --no-print-directory with-ray

with-ray: install
	$(BIN)/pytest -q -m 'ray and not chaos and not hard_data' $(RAY_TESTS)

without-ray: install
	$(BIN)/pytest -q -m 'not ray and not chaos and not hard_data' -n 2

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
