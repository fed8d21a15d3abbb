# What a person does here: `make demo` and `make test`. Both set up all they need: an environment
# in .venv at the versions of requirements/dev.txt, and redis-server. The rest are the parts of `make test`.
# Built backends and tools are cached in ~/.cache/otel_dify; nothing else is left on the machine.

SHELL := /bin/bash
BIN := .venv/bin
# make demo: embedded (files), native (real backends, built from source), docker (their images).
STACK ?= embedded
# make demo: 1 leaves host and backends running until Ctrl-C.
KEEP ?=

.DEFAULT_GOAL := help
# The parts of `make test` are in the order of what they take.
.NOTPARALLEL:
.PHONY: help demo test test-dify test-dify-canary bench bench-dify environment redis chromium lint format docs proto check-docs native unit versions lock clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: environment redis ## run real apps and look at their traces, metrics and logs (STACK=native, KEEP=1)
	@$(BIN)/python -m examples.demo --stack $(STACK) $(if $(KEEP),--keep)

test: lint check-docs native unit versions ## check everything, against the real backends too

bench: environment redis ## measure what parts and export cost, against OpenTelemetry's own (about 20 minutes; nothing else may run)
	$(BIN)/python -m benchmarks.micro
	$(BIN)/python -m benchmarks.exporting

bench-dify: environment ## measure what runs of a real Dify cost (DIFY_RIG=<folder>, PAIRS=12; about an hour)
	@test -n "$(DIFY_RIG)" || { echo "Set DIFY_RIG to the folder of a running Dify: benchmarks/README.md says what it must hold." >&2; exit 1; }
	DIFY_RIG=$(DIFY_RIG) $(BIN)/python -m benchmarks.dify --pairs $(or $(PAIRS),12)
	DIFY_RIG=$(DIFY_RIG) $(BIN)/python -m benchmarks.ledger

test-dify: ## hold the counters against a real Dify (DIFY_RIG=<folder>, see tests/dify/README.md)
	@test -n "$(DIFY_RIG)" || { echo "Set DIFY_RIG to the folder of a running Dify: tests/dify/README.md says what it must hold." >&2; exit 1; }
	$(DIFY_RIG)/venv/bin/python tests/dify/accounting.py $(DIFY_RIG)

test-dify-canary: ## look for content in what a real Dify sends (DIFY_RIG=<folder>, see tests/dify/README.md)
	@test -n "$(DIFY_RIG)" || { echo "Set DIFY_RIG to the folder of a rig: tests/dify/README.md says what it must hold." >&2; exit 1; }
	$(DIFY_RIG)/venv/bin/python tests/dify/canary.py $(DIFY_RIG)

environment: ## make or update .venv at the versions of requirements/dev.txt
	@test -x .venv/bin/python || scripts/uv venv --quiet .venv
	@scripts/uv pip sync --quiet --python .venv requirements/dev.txt
	@scripts/uv pip install --quiet --python .venv --no-deps --editable .

redis: ## install redis-server where there is none (Debian, as root; else it says how)
	@scripts/redis

chromium: ## install the browser that the tests open pages with (Debian, as root; else it says how)
	@scripts/chromium

lint: environment ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: environment ## write the code as the linter wants it
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: environment ## generate the documentation that comes from tables in the code
	$(BIN)/python -m otel_dify.docs
	$(BIN)/python -m collector.grafana
	$(BIN)/python -m collector.redaction

proto: ## generate the Python module of the lean OTLP schema
	scripts/uv run --quiet --script proto/generate.py

check-docs: environment ## check that what `make docs` writes is up to date
	$(BIN)/python -m otel_dify.docs --check
	$(BIN)/python -m collector.grafana --check
	$(BIN)/python -m collector.redaction --check

native: environment ## build Collector, Jaeger, Prometheus and Loki, about 30 minutes the first time
	$(BIN)/python -m collector.native build

unit: environment redis chromium ## run the tests on the newest versions, against the real backends too
	$(BIN)/pytest

versions: environment redis ## run the tests of other versions of Dify's engine
	scripts/versions

lock: ## write the locked versions anew after a change of dependencies
	scripts/lock

clean: ## remove environments, caches of tools and what the demo wrote; built backends stay
	rm -rf .venv .venvs .demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
