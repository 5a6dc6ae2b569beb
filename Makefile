# Everything happens inside the checkout: a virtual environment in .venv, from locked dependencies.
# Needs Python >= 3.11 and make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.installed-from-lock
EDITABLE := $(VENV)/.installed-headwater
# Half the time of the tests goes into waiting for real processes: more workers than cores pay off.
TEST_WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fuzz failure-lab soak bench microbench docs lock clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(EDITABLE) ## Make .venv with everything locked in requirements.lock

$(LOCKED): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Headwater needs Python >= 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
		|| { echo "This Python has no venv module (on Debian and Ubuntu: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(EDITABLE): $(LOCKED) pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Run a whole cluster with a publisher and players (DURATION=20 ends by itself)
	@$(BIN)/headwater demo $(if $(DURATION),--duration $(DURATION)) $(if $(REDIS),--redis $(REDIS))

test: setup ## Pass all tests: unit, property, conformance, fuzz corpus, integration, end to end
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup

lint: setup ## Check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: setup ## Fuzz every decoder for SECONDS each (default 20); SEED=n tries other inputs
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),20) --seed $(or $(SEED),1)

failure-lab: setup ## Kill, freeze and part everything under load; write tests/failure/RESULTS.md
	$(BIN)/python -m tests.failure.run --long --write $(SCENARIOS)

soak: setup ## Let faults come and go for SOAK minutes (default 30): nothing may grow
	$(BIN)/python -m tests.failure.soak --minutes $(or $(SOAK),30)

bench: setup ## Measure beside other servers and a raw send loop; write tests/bench/RESULTS.md
	@$(BIN)/headwater bench $(or $(SCENARIOS),all) --fetch --out tests/bench

microbench: setup ## Time the hot paths for SECONDS each (default 1) beside the last release (SAVE=1: save)
	@$(BIN)/python -m tests.bench.micro.compare --seconds $(or $(SECONDS),1) $(if $(SAVE),--save)

docs: setup ## Write docs/settings.md anew
	$(BIN)/python -m common.config.reference

lock: setup ## Resolve the dependencies anew (needs uv: pip install uv)
	uv pip compile --upgrade --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		--all-extras --group dev pyproject.toml -o requirements.lock

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
