# Everything happens inside the checkout: a virtual environment in .venv, from locked dependencies.
# Needs Python >= 3.11 and make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.installed-from-lock
EDITABLE := $(VENV)/.installed-headwater
# helm, schemas of Kubernetes and linters, away from the product's own environment.
CHART_VENV := .venv-chart
CHART_BIN := $(CHART_VENV)/bin
CHART_TOOLS := $(CHART_VENV)/.installed
CHECKOV := .venv-checkov/.installed
# What `pip install` makes of the checkout with the hot paths compiled: hatch_build.py.
COMPILED := build/compiled
IS_COMPILED := $(COMPILED)/.installed
# Half the time of the tests goes into waiting for real processes: more workers than cores pay off.
TEST_WORKERS ?= 4

.DEFAULT_GOAL := help
.PHONY: help setup demo test compiled test-compiled lint fuzz failure-lab soak bench microbench \
	chart-test image-test cluster-test chart-docs chart-lock manifests docs lock docker-lock clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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

$(IS_COMPILED): $(EDITABLE) hatch_build.py $(shell find common origin edge tests/bench -name '*.py')
	rm -rf $(COMPILED) build/wheel
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(BIN)/python -m hatchling build -t wheel -d build/wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
		--target $(COMPILED) build/wheel/*.whl
	@touch $@

compiled: $(IS_COMPILED) ## Compile the hot paths with mypyc, as the image has them, into build/compiled

test-compiled: compiled ## Pass the tests with the hot paths compiled, as the image has them
	TEST_COMPILED=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup \
		-m "not interpreted" -o pythonpath="$(COMPILED) ." \
		$(or $(TESTS),$(addprefix tests/,unit property conformance fuzz integration e2e load))

lint: setup ## Check style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: setup ## Fuzz every decoder for SECONDS each (default 20); SEED=n tries other inputs
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),20) --seed $(or $(SEED),1)

failure-lab: compiled ## Kill, freeze and part everything under load; write tests/failure/RESULTS.md
	PYTHONPATH=$(COMPILED):. $(BIN)/python -P -m tests.failure.run --long --write $(SCENARIOS)

soak: compiled ## Let faults come and go for SOAK minutes (default 30): nothing may grow
	PYTHONPATH=$(COMPILED):. $(BIN)/python -P -m tests.failure.soak --minutes $(or $(SOAK),30)

bench: compiled ## Measure beside other servers and a raw send loop; write tests/bench/RESULTS.md
	@$(BIN)/headwater bench $(or $(SCENARIOS),all) --code $(COMPILED) --fetch --out tests/bench

microbench: setup ## Time the hot paths for SECONDS each (default 1) beside the last release (SAVE=1: save)
	@$(BIN)/python -m tests.bench.micro.compare --seconds $(or $(SECONDS),1) $(if $(SAVE),--save)

$(CHART_TOOLS): tests/chart/requirements.lock
	$(PYTHON) -m venv $(CHART_VENV)
	$(CHART_BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(CHECKOV): tests/chart/checkov.lock
	$(PYTHON) -m venv --clear .venv-checkov
	.venv-checkov/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

chart-test: setup $(CHART_TOOLS) $(CHECKOV) ## Check the Helm chart, the manifests under k8s/ and the Dockerfile
	$(CHART_BIN)/python -m pytest -c tests/chart/pytest.ini -n $(TEST_WORKERS) tests/chart
	$(CHART_BIN)/yamllint --strict -c tests/chart/yamllint.yaml \
		helm/headwater/Chart.yaml helm/headwater/values.yaml helm/headwater/ci helm/headwater/files \
		k8s docker tests/chart
	$(CHART_BIN)/hadolint --config docker/hadolint.yaml docker/Dockerfile
	PATH="$(CURDIR)/$(CHART_BIN):$$PATH" .venv-checkov/bin/checkov --config-file tests/chart/checkov.yaml \
		--directory helm/headwater --var-file helm/headwater/ci/external-redis-values.yaml
	.venv-checkov/bin/checkov --config-file tests/chart/checkov.yaml --directory k8s/base
	.venv-checkov/bin/checkov --config-file tests/chart/checkov.yaml --directory docker

image-test: setup $(CHART_TOOLS) ## Build the image, replace every node of a cluster of containers, run the compose file (root; Linux)
	$(BIN)/python -m tests.image.run

cluster-test: setup $(CHART_TOOLS) ## Install, upgrade and remove the chart on a real Kubernetes of its own (root; Linux; ARGS)
	$(BIN)/python -m tests.kubernetes.run $(ARGS)

chart-docs: $(CHART_TOOLS) ## Write the tables of helm/headwater/README.md anew
	$(CHART_BIN)/python helm/readme.py

manifests: $(CHART_TOOLS) ## Write the manifests under k8s/ anew from the chart
	$(CHART_BIN)/python k8s/render.py

docs: setup ## Write docs/settings.md and docs/metrics.md anew
	$(BIN)/python -m common.config.reference
	$(BIN)/python -m common.metrics_page

lock: setup ## Resolve the dependencies anew (needs uv: pip install uv)
	uv pip compile --upgrade --python-version 3.11 --universal --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" \
		--all-extras --group dev pyproject.toml -o requirements.lock
	$(MAKE) --no-print-directory docker-lock

docker-lock: ## Take the part of requirements.lock that the image needs (needs uv)
	for part in "docker/build.in -o docker/build.lock" "pyproject.toml -o docker/requirements.lock"; do \
		uv pip compile --python-version 3.11 --universal --generate-hashes -c requirements.lock \
			--no-emit-index-url --no-annotate --custom-compile-command "make docker-lock" $$part; \
	done

chart-lock: ## Resolve the tools of chart-test anew (needs uv: pip install uv)
	for tools in requirements checkov; do \
		uv pip compile --upgrade --python-version 3.11 --universal --generate-hashes \
			--no-emit-index-url --no-annotate --custom-compile-command "make chart-lock" \
			tests/chart/$$tools.in -o tests/chart/$$tools.lock; \
	done

clean: ## Remove the virtual environment and all caches
	rm -rf $(VENV) .venv-chart .venv-checkov build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
