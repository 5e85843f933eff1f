# Needs only Python ≥ 3.11 with pip, and make. uv is used if it is on the PATH. `make help` lists the targets.

PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test torture lint format bench bench-quality bench-detect lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 18

demo: .venv/.installed .venv-s3/built-from ## two buckets and a folder, scanned from nothing
	@$(BIN)/python deploy/demo/run.py

test: .venv/.installed .venv-s3/built-from ## all tests but the slow fault storms
	$(BIN)/pytest -n $(JOBS) -m "not torture"

torture: .venv/.installed .venv-s3/built-from ## the slow fault storms; STORM_SEED=N repeats one
	$(BIN)/pytest -s -m torture

lint: .venv/.installed ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed ## sort imports, format
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

bench: .venv/.installed .venv-s3/built-from ## the benchmarks, each beside its floor
	$(BIN)/python -m benchmarks

bench-quality: .venv/.installed .venv-peers/.installed ## precision and recall of detection beside its peers, and false alarms
	$(BIN)/python -m benchmarks.detection_quality

bench-detect: .venv/.installed .venv-peers/.installed ## speed of detection beside its peers
	$(BIN)/python -m benchmarks.detect_speed

lock: ## resolve the versions of everything again; needs uv
	$(if $(UV),,$(error make lock needs uv on the PATH))
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
		--no-annotate --no-emit-index-url --custom-compile-command "make lock" -q -o requirements.lock
	$(UV) pip compile benchmarks/peers/requirements.in --universal --python-version 3.11 --upgrade \
		--no-annotate --no-emit-index-url --custom-compile-command "make lock" -q -o benchmarks/peers/requirements.lock

clean: ## remove what make made, but for the data of `scanledger up`
	rm -rf .venv .venv-s3 .venv-peers benchmarks/results .scanledger-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build scanledger.egg-info

.venv/.installed: requirements.lock pyproject.toml
	@$(call made,.venv)
	@$(call installed,.venv,-r requirements.lock)
	@$(call installed,.venv,--no-deps -e .)
	@touch $@

.venv-peers/.installed: benchmarks/peers/requirements.lock
	@$(call made,.venv-peers)
	@$(call installed,.venv-peers,-r $<)
	@touch $@

.venv-s3/built-from: deploy/s3-server/requirements.lock | .venv/.installed
	@echo "Installing .venv-s3 …"
	@$(BIN)/python -c "from infrastructure.s3_server_venv import s3_python; s3_python()"
	@touch $@

# $(1): the environment. One that is there is used as it is: only what is missing is installed.
define made
echo "Installing $(1) …"; test -x $(1)/bin/python || { \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 …")' \
&& $(if $(UV),$(UV) venv -q --python $(PYTHON) $(1),$(PYTHON) -m venv $(1)); }
endef

# $(1): the environment, $(2): what to install
define installed
$(if $(UV),$(UV) pip install -q --python $(1)/bin/python $(2),\
{ $(1)/bin/python -m pip --version >/dev/null 2>&1 || $(1)/bin/python -m ensurepip >/dev/null; } \
&& $(1)/bin/python -m pip install -q --disable-pip-version-check $(2))
endef
