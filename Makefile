# lagrad: `make demo` trains LeNet with uneven workers, `make test` passes the tests.
# Both set everything up by themselves; `make help` lists the rest.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

ACCELERATOR := .accelerator

.PHONY: help setup demo test experiments long chaos accelerator check format lint types bench clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(READY) ## make .venv with everything in it

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup ## train LeNet on MNIST three ways, one worker six times slower (3 to 6 minutes)
	$(BIN)/lagrad demo

test: setup ## tests and doctests (under 10 minutes)
	$(BIN)/pytest

experiments: setup ## the quick form of every experiment, as tests (about 8 minutes)
	$(BIN)/pytest -m experiments tests/experiments

long: setup ## clusters that lose nodes, more of the examples and benchmarks (minutes)
	$(BIN)/pytest -m experiments tests/runtimes tests/sessions tests/test_examples.py tests/test_bench.py

chaos: setup ## 620 runs full of faults, dying servers, a million updates, broken messages (80 minutes)
	$(BIN)/pytest -m chaos -s tests/test_soak.py tests/test_fault_runs.py tests/strangers tests/test_server_death.py tests/runtimes/test_resume.py

accelerator: setup ## what needs an accelerator, on a simulated one that it compiles (minutes; docs/gpu.md)
	rm -rf $(ACCELERATOR)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --target $(ACCELERATOR) tests/simulated_accelerator
	PYTHONPATH=$(ACCELERATOR) $(BIN)/pytest tests/core/test_copies.py tests/tasks/test_device.py tests/runtimes/test_device.py tests/sessions/test_device.py

format: setup ## rewrite the sources in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## format and lint, read only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup ## strict types
	$(BIN)/mypy

check: lint types test ## everything that must hold before a commit

bench: setup ## measure the simulator, the server core and the overhead of the local runtime
	$(BIN)/lagrad bench simulate
	$(BIN)/lagrad bench server
	$(BIN)/lagrad bench train

clean: ## remove what the commands made
	rm -rf $(VENV) $(ACCELERATOR) build dist *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
