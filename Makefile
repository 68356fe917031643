# Commands for developers. `make help` lists them; each creates the environment it needs.

# Number of parallel test processes.
WORKERS ?= 2
# More arguments for pytest: make test PYTEST_ARGS="-k losses"
PYTEST_ARGS ?=
# More arguments for the benchmarks: make bench BENCH_ARGS="--output=bench/new --compare=bench/old"
BENCH_ARGS ?=
# --quick skips the long steps of the release check.
RELEASE_CHECK ?=

PYTHON := .venv/bin/python
SCRIPTS := .ci/run .ci/release-check .ci/steps.sh .ci/unchanged $(wildcard scripts/*.sh datasets/*.sh test/*.sh)
QUICK := not slow and not gpu and not npu
# Markers for the older TensorFlows: only tests whose result can differ there.
OLDER := $(QUICK) and not once
# $(call pytest,ENVIRONMENT,MARKERS)
pytest = $(1)/bin/python -m pytest -n $(WORKERS) -m "$(2)" $(PYTEST_ARGS)

.DEFAULT_GOAL := help
.PHONY: help demo bench test test-all test-tf1.15 test-tf2.6 lint format release-check environment environment-tf1.15 environment-tf2.6

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: environment ## Make a data set, train, evaluate, write a report; takes minutes on a CPU.
	@scripts/demo.sh

bench: environment ## Run the benchmarks; takes minutes.
	@$(PYTHON) -m benchmarks.standard $(BENCH_ARGS)

test: environment ## Run the tests on TensorFlow 2.21.
	@$(call pytest,.venv,$(QUICK))

test-all: environment ## Run the tests on TensorFlow 2.21, the slow ones too.
	@$(call pytest,.venv,not gpu and not npu)

test-tf1.15: environment-tf1.15 ## Run what can differ on TensorFlow 1.15.5 (needs Python 3.7).
	@$(call pytest,.venv-tf1.15,$(OLDER))

test-tf2.6: environment-tf2.6 ## Run what can differ on TensorFlow 2.6.5 (needs Python 3.9).
	@$(call pytest,.venv-tf2.6,$(OLDER))

lint: environment ## Check format, Python rules and shell scripts.
	@status=0; \
	$(PYTHON) -m ruff format --check . || status=1; \
	$(PYTHON) -m ruff check . || status=1; \
	.venv/bin/shellcheck --external-sources $(SCRIPTS) || status=1; \
	exit $$status

format: environment ## Format the Python files and apply the safe fixes of ruff.
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

release-check: ## Check a clean clone as a release: demo, tests on each TensorFlow, lint, documents.
	@.ci/release-check $(RELEASE_CHECK)

environment: ## Create .venv (TensorFlow 2.21, Python 3.11); the commands above do so if needed.
	@scripts/environment.sh 2.21

environment-tf1.15: ## Create .venv-tf1.15 (Python 3.7).
	@scripts/environment.sh 1.15

environment-tf2.6: ## Create .venv-tf2.6 (Python 3.9).
	@scripts/environment.sh 2.6
