# make demo: the main job, on this machine.  make test: everything that CI checks.
SHELL := /bin/bash
VENV := .venv/bin
GPU_PYTHON ?= python3

.PHONY: help demo test test-gpu sanitize lint clean
help:
	@echo "make demo         set up, and continue the pretraining of a real 135M model (about 15 minutes; FAST=1: 4)"
	@echo "make test         set up, lint, and run the tests"
	@echo "make lint         ruff, mypy, and the floors of the house (import-linter)"
	@echo "make test-gpu     the tests that need a CUDA device, with GPU_PYTHON (default python3) as it is"
	@echo "make sanitize     fuzz the C++ of csrc/data under sanitizers (ROUNDS=1000000 SEED=7: longer, elsewhere)"
	@echo "make clean        remove builds and caches (not corpora, bases and runs)"

demo:
	@scripts/setup.sh demo
	@scripts/demo.sh

test: lint
	@$(VENV)/python -m pytest -m "not gpu and not slow"

lint:
	@scripts/setup.sh dev
	@$(VENV)/ruff check .
	@$(VENV)/mypy
	@$(VENV)/lint-imports

# A GPU host brings its own torch, often without internet: the tests use what is installed there.
test-gpu:
	@PYTHONPATH=$(CURDIR):$(CURDIR)/tests $(GPU_PYTHON) -m pytest -m gpu -p no:cacheprovider tests

sanitize:
	@$(MAKE) -C csrc/fuzz run

clean:
	rm -rf build *.egg-info .pytest_cache .mypy_cache .ruff_cache megatron_heph/_native*.so
