# Two commands matter: `make demo` runs the main job, `make test` passes the tests. Both need Python 3.11+ and make only.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread a process: tests run in parallel and must not fight over cores.
TESTS := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

.PHONY: demo test test-all check format peers clean

demo: $(VENV)/ready
	$(BIN)/everlong demo

test: check
	$(TESTS)

test-all: check
	$(TESTS) -m ""

check: $(VENV)/ready
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/pyright

format: $(VENV)/ready
	$(BIN)/ruff format src tests benchmarks examples
	$(BIN)/ruff check --fix src tests benchmarks examples

peers: $(VENV)/ready
	bash benchmarks/peers/setup.sh

# torch goes first and alone: the pinned release is a CPU build where one is at hand, and a range could choose another.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .peers build dist demo runs
