# Every target works from a fresh clone and is safe to run again. Needs Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEVELOPING := .venv/.installed-dev
DOCUMENTING := .venv/.installed-docs

# Errors only.
PIP_INSTALL := $(BIN)/python -m pip install -qq --no-compile -c constraints.txt

# What is installed is compiled when it is first imported, and has to be kept then.
unexport PYTHONDONTWRITEBYTECODE

# The variable leaves out a notice about the next major version of MkDocs.
BUILD_SITE := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: help install demo test quick fuzz lint format reference docs bench clean

help:
	@echo "make demo    train a small model on real ratings and evaluate it, in minutes"
	@echo "make test    run the tests"
	@echo "make quick   run the tests that take no more than 0.3 s each"
	@echo "make fuzz    use thousands of damaged inputs and count what becomes of them, in minutes"
	@echo "make lint    check style and types"
	@echo "make format  put the code into the house style"
	@echo "make reference  write docs/TRAINING_PARAMETERS.md from the descriptions of the keys"
	@echo "make docs    build the documentation as a site in site/"
	@echo "make bench   run the benchmarks at a size for a CPU"
	@echo "make clean   remove what can be made again, but no data, models or runs"

install: $(DEVELOPING)

# torch comes first and under the constraints: by itself pip could pick another build of it.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "installing into .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP_INSTALL) torch
	@$(PIP_INSTALL) -e ".[all]"
	@touch $@

$(DEVELOPING): $(INSTALLED)
	@$(PIP_INSTALL) -e ".[all,dev]"
	@touch $@

$(DOCUMENTING): $(DEVELOPING)
	@$(PIP_INSTALL) -e ".[docs]"
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/reeltune demo

# One worker more than cores, since tests also wait for servers, browsers and the disk.
PYTEST = $(BIN)/python -m pytest --dist worksteal \
  -n $(shell $(PYTHON) -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')

test: $(DEVELOPING)
	$(PYTEST)

quick: $(DEVELOPING)
	$(PYTEST) -m "not slow"

# FUZZ passes options, such as FUZZ="--seed 1 --inputs 10000" or FUZZ="--only tables:17".
fuzz: $(DEVELOPING)
	$(BIN)/python -W ignore -m tests.fuzz $(FUZZ)

reference: $(INSTALLED)
	$(BIN)/python docs/hooks/reference.py > docs/TRAINING_PARAMETERS.md

lint: $(DEVELOPING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	if [ -x $(BIN)/mkdocs ]; then $(BUILD_SITE) --site-dir $(CURDIR)/.cache/site; fi

docs: $(DOCUMENTING)
	$(BUILD_SITE)
	@echo "open site/index.html"

format: $(DEVELOPING)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEVELOPING)
	$(BIN)/reeltune fetch ml-100k
	$(BIN)/reeltune fetch smollm2-135m
	$(BIN)/reeltune prepare --edition ml-100k --output-dir data/bench --history-len 15 --rating-threshold 4.0
	$(BIN)/python -m benchmarks.tokenize_throughput --tokenizer models/smollm2-135m --prepared data/bench
	$(BIN)/python -m benchmarks.score_throughput --model models/smollm2-135m --dtype float32 --prepared data/bench --rows 16 --one-at-a-time-rows 4 --rank-films 100 --tokens-per-batch 4096 --calls 1

clean:
	rm -rf site .cache .pytest_cache .ruff_cache .hypothesis build dist src/*.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
