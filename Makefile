# make demo : sets itself up, then runs the demonstration (about a minute)
# make test : sets itself up, then runs the tests (minutes; tests that need root say so when they are skipped)

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-heavy bench results format clean

demo: $(VENV)/.ready
	$(BIN)/hostemu demo

test: $(VENV)/.test-ready
	tools/system-packages ip iperf3
	$(BIN)/python -m pytest -m "not heavy and not bench"

test-heavy: $(VENV)/.test-ready
	$(BIN)/python -m pytest -m "heavy"

bench: $(VENV)/.test-ready
	tools/system-packages ip iperf3
	tools/benchmarks $(BIN)/python

# Plays both thesis scenarios unscaled, three seeds each (about 25 minutes, on a machine that does nothing else).
results: $(VENV)/.ready
	tools/reference-runs $(BIN)/hostemu

format: $(VENV)/.test-ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	$(BIN)/python -c "from hostemu.gine import compile_engine; compile_engine()"
	touch $@

$(VENV)/.test-ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	touch $@ $(VENV)/.ready

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
