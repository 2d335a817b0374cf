# The only entry points. `make book` and `make test` need Python >= 3.11, make and a package index; they set up the rest.
# A folder is called `book` too, so every target is phony; what must not be redone each time has a stamp file.
.PHONY: help book test test-site test-wheel notebooks bench homework pdf serve clean
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SETUP  := $(VENV)/.installed
HTML   := _build/html
PORT   ?= 8000

# One torch thread a process: faster for these sizes, the same sums everywhere, and two test workers do not fight.
export OMP_NUM_THREADS := 1
# Progress bars would end up in the stored outputs.
export TQDM_DISABLE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 18

$(SETUP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; say which with: make PYTHON=python3.12 ...")'
	@echo "Setting up $(VENV) (once; a few minutes, most of it torch) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

book: $(SETUP)  ## build the book into _build/html (strict: a warning is an error)
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo && echo "The book: $(CURDIR)/$(HTML)/index.html   (or: make serve)"

# Cheap checks first. nbval re-runs every notebook: --nbval-lax compares only the cells that ask for it (numbers differ
# in the last digits from CPU to CPU), and `--dist loadfile` keeps a notebook in one worker, without which nbval breaks.
test: book  ## all tests but those that need a browser
	$(BIN)/ruff check .
	$(BIN)/pytest -q tests/notebooks tests/book
	$(BIN)/pytest -q -n 2 $(wildcard tests/library tests/theorems)
	$(BIN)/pytest -q -n 2 --dist loadfile -o filterwarnings=default \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=120 $(sort $(wildcard notebooks/*.ipynb))

test-site: book  ## open every built page in Chromium: two widths, two themes (SHOTS=folder keeps screenshots)
	$(BIN)/pytest -q -n 2 tests/site

# Two environments, a worker each. The first run of a week fetches two releases of torch (3 GB each; far less where
# PyTorch's own index of CPU builds can be reached) into _build/wheel. The lower bounds are tested with Python 3.11.
test-wheel: $(SETUP)  ## every notebook from its own file alone, with the oldest and the newest releases it may meet
	$(BIN)/pytest -q -n 2 --dist loadscope tests/wheel

# It needs a Chromium that is already there, as test-site does, and nothing else: no TeX, no poppler.
pdf: book  ## print the whole book into _build/pdf (a tagged PDF with outline), and check it
	$(BIN)/python book/_ext/pdf.py
	$(BIN)/pytest -q tests/pdf

notebooks: $(SETUP)  ## execute the chapters whose text changed (ALL=1: every chapter)
	$(BIN)/python book/_ext/notebooks.py $(if $(ALL),--all)

# On an otherwise idle machine: a neighbour's load shows in every interval. It sets its own number of threads.
bench: $(SETUP)  ## measure speed, side by side, and write icl_lib/data/benchmarks.json (QUICK=1: only try it out)
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick,--out icl_lib/data/benchmarks.json)

# No Docker and no network: otter-grader runs each planted submission in a kernel of its own, one a core.
homework: $(SETUP)  ## build the homeworks into _build/homework, and grade submissions whose points are known
	$(BIN)/python book/_ext/homework.py check
	$(BIN)/pytest -q -n 2 tests/homework

serve: book  ## build, then serve the book on http://127.0.0.1:8000 (PORT=...)
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

clean:  ## remove everything that was built (and keep .venv)
	rm -rf _build build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
