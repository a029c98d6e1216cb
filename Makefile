# make train and make test need nothing but Python 3.11 or newer (or uv): .venv is made on the way.
ARGS ?= experiment=quickstart trainer=cpu
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
PYTHON := $(VENV)/bin/python

.PHONY: help setup train test test-all test-oldest test-newest tests lint

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/installed  ## make .venv with the versions of constraints.txt

train: $(VENV)/installed  ## train; choose what with ARGS="experiment=listops/s5 trainer=gpu"
	@$(PYTHON) scripts/train.py $(ARGS)

test: lint tests  ## lint, check types, run the tests

tests: $(VENV)/installed
	@PYTHON=$(PYTHON) bash scripts/test.sh

test-all: lint  ## the same with the slow tests, those under fuzz among them
	@$(PYTHON) -m pytest

test-oldest:  ## the tests on the oldest versions that pyproject.toml allows, in .venv-oldest
	@$(MAKE) tests VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt

test-newest:  ## the tests on the newest versions there are, in .venv-newest; INTERPRETER=python3.13 on that Python
	@$(MAKE) tests VENV=.venv-newest CONSTRAINTS=

lint: $(VENV)/installed  ## style, format and types
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy

$(VENV)/installed: pyproject.toml $(CONSTRAINTS) scripts/setup.sh
	@VENV=$(VENV) CONSTRAINTS=$(CONSTRAINTS) INTERPRETER=$(INTERPRETER) bash scripts/setup.sh
	@touch $@
