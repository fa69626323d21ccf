# One verb per target. Every target sets up what it needs; `make help` lists them.
# The fastest build of it in PATH; another by `make setup PYTHON=…`.
PYTHON ?= $(shell python3 fastest_python.py)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= .loyalty
USERS ?= 50
SECONDS ?= 60
# A platform is a dozen processes of the same code: what the first compiled, the others read.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup lock protos contract docs check format test run demo bench load clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed protos ## create .venv with everything locked, and the stubs

$(VENV)/.installed: requirements-setup.lock requirements-dev.lock
	@python=$(PYTHON) && echo "setup: creating $(VENV) of $$python and installing the locked dependencies" \
	  && $$python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --no-deps -r requirements-dev.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

protos: stubs/.built ## generate the gRPC stubs into stubs/

stubs/.built: $(VENV)/.installed $(shell find protos -name '*.proto') protos/build.py
	@$(BIN)/python protos/build.py
	@touch $@

contract: setup ## publish today's protos as the contract that no change may break
	@$(BIN)/python -m protos.published publish

docs: setup ## write docs/events.html and the AsyncAPI document of all events
	@$(BIN)/python -m protos.asyncapi docs

lock: ## resolve the dependencies anew into the hashed lock files
	@$(PYTHON) -m venv .cache/uv && .cache/uv/bin/python -m pip install --quiet uv
	@echo uv | .cache/uv/bin/uv pip compile - --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet -o requirements-setup.lock
	@.cache/uv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet -o requirements.lock
	@.cache/uv/bin/uv pip compile pyproject.toml --extra demo --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet \
	  --constraint requirements.lock -o requirements-dev.lock

format: setup ## rewrite the code in the house's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

check: setup ## format, lint, types, walls, contracts, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint stubs/image.binpb --config buf.yaml
	$(BIN)/python -m protos.published check
	$(BIN)/deptry services

test: setup ## every test; starts what it needs itself
	$(BIN)/python -m pytest -n 3

run: setup ## start the platform, replay a real year at its tills, stay up
	@$(BIN)/loyalty replay --data $(DATA) --stay

demo: setup ## the same on a fresh directory, then exit; the last line is JSON
	@$(BIN)/loyalty replay --fresh

bench: setup ## measure side by side; writes bench.json
	@$(BIN)/python -m loadtests.bench

load: setup ## Locust's tills against a fresh platform (USERS, SECONDS), then the audit
	@$(BIN)/python -m loadtests.load --users $(USERS) --seconds $(SECONDS)

clean: ## remove what was built; data directories stay
	@rm -rf $(VENV) stubs .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
