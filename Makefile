# Souk: `make` lists the targets. Needs Python 3.11, venv and make; everything else is fetched into .venv and .tools.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := PATH="$(CURDIR)/$(BIN):$(CURDIR)/.tools/bin:$(PATH)"
PACKAGES := clients/python libs/common services/imaging services/cache services/dbopt services/monitor cli
SOURCES := libs/common/src services/imaging/src services/cache/src services/dbopt/src services/monitor/src cli/src clients/python/src/souk/client
MANIFESTS := $(PACKAGES:%=%/pyproject.toml)
PHOTOS ?=
OUT ?= build/demo
STAY ?=
TEST_PROCESSES ?= 2
unexport PYTHONDONTWRITEBYTECODE # services and commands that start by the hundred would be compiled each time

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help demo up test soak lint fmt protos bench lock tools clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.installed: requirements.lock $(MANIFESTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a minute or two, once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=--editable %)
	@touch $@

demo: $(VENV)/.installed ## A small shop, from photos to what breaks, every step checked. PHOTOS=<folder> takes your own, STAY=1 stays
	@$(RUN) souk demo --out $(OUT) $(if $(PHOTOS),--photos $(PHOTOS)) $(if $(STAY),--stay)

up: $(VENV)/.installed ## Start the services on the embedded default, until Ctrl-C
	@$(RUN) souk up

tools: $(VENV)/.installed ## Fetch what only tests need: grpcurl, grpc-health-probe, the Node client's packages
	@$(RUN) tools/test-tools

test: $(VENV)/.installed tools ## Run every test
	@$(RUN) python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

COUNTED = tests/e2e/cache tests/integration/cache/test_garbage_in_redis.py tests/integration/dbopt/test_replicas.py \
	tests/integration/dbopt/test_cache_coherence.py tests/integration/dbopt/test_plan_flips.py tests/e2e/monitor/test_faults.py

soak: $(VENV)/.installed ## The counted tests in full: 200,000 schedules of the cache's protocol; faults, replicas and outbox on real servers
	@$(RUN) env SOUK_SOAK=1 python -m pytest -s $(COUNTED)
	@$(RUN) env SOUK_SCHEDULES=200000 python -m pytest -s tests/unit/cache/test_protocol_simulated.py -k stale

lint: $(VENV)/.installed ## Check code, contract, generated code, deployment
	@$(RUN) tools/lint $(SOURCES)

fmt: $(VENV)/.installed ## Format code and protos
	@$(RUN) ruff check --fix --quiet . || true
	@$(RUN) ruff format --quiet .
	@$(RUN) buf format -w

protos: $(VENV)/.installed ## Generate the Python code of the protos
	@$(RUN) buf generate

bench: $(VENV)/.installed ## Measure, side by side with peers and floors
	@$(RUN) bench/run

LOCK = $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	$(foreach name,client common imaging cache dbopt monitor cli,--no-emit-package souk-$(name))

lock: ## Make the lock files anew
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv
	@$(LOCK) pyproject.toml $(MANIFESTS) --group dev --output-file requirements.lock
	@$(LOCK) services/imaging/pyproject.toml --output-file services/imaging/requirements.lock
	@$(LOCK) services/cache/pyproject.toml --output-file services/cache/requirements.lock
	@$(LOCK) services/dbopt/pyproject.toml --output-file services/dbopt/requirements.lock
	@$(LOCK) services/monitor/pyproject.toml --output-file services/monitor/requirements.lock

clean: ## Remove everything that make made
	rm -rf $(VENV) .tools build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache tests/e2e/node/node_modules
