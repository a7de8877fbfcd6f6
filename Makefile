# make demo : sets itself up, then runs the demonstration (about a minute)
# make test : sets itself up, then runs the tests (minutes; tests that need root say so when they are skipped).  The first
#             time it also builds two small kernels for guests, which takes some ten minutes more.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-heavy bench bench-fleet bench-awake bench-guests bench-overlooked bench-translation bench-virtual results guests format clean

demo: $(VENV)/.ready
	$(BIN)/hostemu demo

GUEST_TOOLS := cc musl-gcc busybox linux.uml qemu-system-x86_64 vde_switch
MEASURING_TOOLS := ip iperf iperf3 tbench curl

# Tests that measure no real time: on all cores.  The others have the machine to themselves.
PURE := tests/test_style.py $(addprefix tests/,base cli determinism fitting lines protocol records report retrieval scenario sim) \
	$(addprefix tests/system/,test_virtual_time.py test_workload.py)
QUICK := -m "not heavy and not bench"

test: $(VENV)/.test-ready guests
	$(BIN)/python -m pytest $(QUICK) --numprocesses auto $(PURE)
	$(BIN)/python -m pytest $(QUICK) $(PURE:%=--ignore=%)

test-heavy: $(VENV)/.test-ready guests
	$(BIN)/python -m pytest -m "heavy"

bench: $(VENV)/.test-ready guests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	tools/benchmarks $(BIN)/python

# The compiled engine alone: up to a thousand million terminals (some minutes).
bench-fleet: $(VENV)/.test-ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	tools/benchmarks $(BIN)/python tests/bench/test_fleet_bench.py results/fleet.txt

bench-awake: $(VENV)/.test-ready
	tools/benchmarks $(BIN)/python tests/bench/test_awake_bench.py results/awake.txt

bench-guests: $(VENV)/.test-ready guests
	tools/benchmarks $(BIN)/python tests/bench/test_kernel_guests_bench.py results/guests.txt

bench-overlooked: $(VENV)/.test-ready guests
	tools/benchmarks $(BIN)/python tests/bench/test_overlooked_bench.py results/overlooked.txt

bench-virtual: $(VENV)/.test-ready guests
	tools/benchmarks $(BIN)/python tests/bench/test_virtual_bench.py results/virtual.txt

bench-translation: $(VENV)/.test-ready guests
	tools/benchmarks $(BIN)/python tests/bench/test_translation_bench.py results/translation.txt

# Plays both thesis scenarios unscaled, three seeds each (about 50 minutes, on a machine that does nothing else).
results: $(VENV)/.ready guests
	tools/reference-runs $(BIN)/hostemu

# What guests with kernels of their own need: programs, and two kernels that are built once.
guests: $(VENV)/.ready
	tools/system-packages $(GUEST_TOOLS) $(MEASURING_TOOLS)
	tools/lean-kernels $(BIN)/hostemu

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
