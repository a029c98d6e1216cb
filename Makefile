# make train and make test need nothing but Python 3.11 or newer (or uv): .venv is made on the way.
ARGS ?= experiment=quickstart trainer=cpu
PYTHON := .venv/bin/python

.PHONY: help setup train test test-all lint

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: .venv/installed  ## make .venv with the versions of constraints.txt

train: .venv/installed  ## train; choose what with ARGS="experiment=listops/s5 trainer=gpu"
	@$(PYTHON) scripts/train.py $(ARGS)

test: lint  ## lint, check types, run the tests
	@$(PYTHON) -m pytest -m "not slow"

test-all: lint  ## the same with the slow tests, those under fuzz among them
	@$(PYTHON) -m pytest

lint: .venv/installed  ## style, format and types
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

.venv/installed: pyproject.toml constraints.txt scripts/setup.sh
	@bash scripts/setup.sh
	@touch $@
