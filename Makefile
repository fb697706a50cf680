# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup

.PHONY: help setup demo test test-long lint format bench bench-runtime bench-converter clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Install what is missing: .venv by pip, mosquitto by apt

$(STAMP): pyproject.toml constraints.txt */pyproject.toml deploy/setup.sh
	@deploy/setup.sh $(PYTHON) $(VENV)
	@touch $(STAMP)

demo: setup ## The main job end to end: convert, sign, roll out, serve, roll back (KEEP=1 leaves the fleet up)
	@$(BIN)/python -m examples.demo --run-folder demo-run $(if $(KEEP),--keep)

test: setup lint ## ruff, mypy and all tests but those marked long
	@$(BIN)/python -m pytest -m "not long" -q

test-long: setup lint ## Everything, and the suite again on Python 3.12 and 3.13 where they are installed
	@$(BIN)/python -m pytest -q
	@deploy/test-pythons.sh 3.12 3.13

lint: setup ## ruff, mypy strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup ## Let ruff write the formatting
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup ## The benchmarks behind docs/benchmarks.md
	@$(BIN)/python -m benchmarks

bench-runtime: setup ## The runtime, its doors beside Triton, MLServer and KServe (needs h2load, Debian's nghttp2-client)
	@$(BIN)/python -m benchmarks doors local swap idle batching isolation

bench-converter: setup ## The converter on real models out of packages; well over ten minutes
	@$(BIN)/python -m benchmarks.bench_converter --write

clean: ## Remove what make made
	rm -rf $(VENV) .venv-* demo-run faces-run build
