# The one door to everything a developer does; hooks and CI call only these targets.
# Nothing but Python >= 3.11 is needed: each target sets up what it uses (PYTHON=... names an interpreter).

SHELL := /bin/sh
PYTHON ?=
ARGS ?=
RUN := .venv/bin/python
SETUP := PYTHON="$(PYTHON)" sh scripts/setup_environment.sh
# The type checker reads Django's settings, and connects to nothing.
LINT_ENV := SECRET_KEY=lint DATABASE_URL=postgresql://lint@127.0.0.1/lint REDIS_URL=redis://127.0.0.1/0

# One process per processor and one more share the tests out; ARGS="-n 0" runs them in one.
PYTEST := $(RUN) -m pytest -n auto

.DEFAULT_GOAL := help
.PHONY: help demo up test coverage lint fmt bench bench-nl experiment-errors chaos faults fuzz clean setup setup-dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: setup ## Run the sales pipeline on real data, from nothing, and show it
	@$(RUN) manage.py demo $(ARGS)

up: setup ## Run the whole stack until Ctrl-C; prints the URLs and a password
	@$(RUN) manage.py up $(ARGS)

# Tests start programs by the hundred, which would all compile the code anew.
test coverage chaos faults fuzz: export PYTHONDONTWRITEBYTECODE =

test: setup-dev ## Run the tests (ARGS="-k name" for some)
	@$(PYTEST) $(ARGS)

coverage: setup-dev ## Run the tests and measure how much of the code they reach
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered $(ARGS)

lint: setup-dev ## Check style, formatting, types and import layers
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(LINT_ENV) $(RUN) -m mypy
	@.venv/bin/lint-imports

fmt: setup-dev ## Format the code and mend what can be mended by itself
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

bench: setup-dev ## Measure the engine beside bare Celery (ARGS="--quick", "--only fan_out")
	@$(RUN) -m benchmarks $(ARGS)

experiment-errors: setup-dev ## Simulate how often an experiment names a false winner; build/experiment_errors.json
	@$(RUN) -m benchmarks.experiment_errors $(ARGS)

bench-nl: setup-dev ## Measure how well plain English becomes workflows; build/nl.json (ARGS="--verbose")
	@$(RUN) -m benchmarks.nl $(ARGS)

chaos: setup-dev ## Kill processes and servers in the middle of runs; build/chaos.json (ARGS="--runs 100 --kills 20 --seed 7")
	$(if $(filter -h --help,$(ARGS)),,@CHAOS=full $(RUN) -m pytest \
		tests/chaos/test_crash_points.py tests/acceptance/test_durability.py tests/integration/executions \
		tests/unit/engine/test_reference_agreement.py)
	@$(RUN) -m tests.chaos.storm $(ARGS)

faults: setup-dev ## Meet 80 failures on a real stack, beside retries alone; build/faults.json (ARGS="--only api-500")
	@$(RUN) -m tests.chaos.fault_matrix $(ARGS)

fuzz: setup-dev ## A million expressions and 100,000 DSL texts that nobody would write; build/fuzz.json (ARGS="--seed 7")
	@$(RUN) -m tests.fuzz $(ARGS)

clean: ## Remove the environment, caches and all data of the private servers
	@sh scripts/clean.sh

setup:
	@$(SETUP) runtime

setup-dev:
	@$(SETUP) dev
