# Needs Python 3.11 or newer and make; everything else is installed into $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo cifar10-front test test-search test-others check install bench

demo: install  ## Search students for the digits teacher, and show what was found (about three minutes)
	$(BIN)/python -m search.run digits
	@echo
	@echo "The students are in runs/. Next:"
	@echo "  $(BIN)/python -m search.results digits                                the front again; --format json|csv for all"
	@echo "  $(BIN)/python -m search.confirm digits                                its front trained again with fresh seeds"
	@echo "  $(BIN)/python -m search.pick digits --max-params 10k --out picked     one of them, as files to ship"
	@echo "  $(BIN)/python -m app                                                  the trade-offs in a browser"
	@echo "  $(BIN)/python -m search.run cifar10 --data DIR --dry-run              how long a real one takes here"

cifar10-front: install  ## A front of CIFAR-10 in a browser, its trainings done: docs/cifar10.md
	mkdir -p runs/cifar10-front
	$(BIN)/python -m zipfile -e docs/cifar10/front.zip runs/cifar10-front
	$(BIN)/python -m app --runs runs/cifar10-front

test: check  ## Style, types and all tests, in two halves at once: 18 to 23 minutes on two cores
	$(MAKE) --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) test-search test-others

test-search:
	$(BIN)/python -m pytest tests/search tests/bench/test_chaos.py

test-others:
	$(BIN)/python -m pytest tests --ignore=tests/search --ignore=tests/bench/test_chaos.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --editable . --group dev
	touch $@

DATA ?= data

bench: install  ## The tables of bench/RESULTS.md in their quick form; DATA=DIR holds cifar10/ and mnist/
	$(BIN)/python -m bench.speed.step --data $(DATA) --quick
	$(BIN)/python -m bench.speed.study --data $(DATA) --set mnist --quick
	$(BIN)/python -m bench.scale.driver --quick
	$(BIN)/python -m bench.bf16_gate --data $(DATA) --quick
	$(BIN)/python -m bench.scale.workers --quick
	$(BIN)/python -m bench.speed.memory --data $(DATA)
	$(BIN)/python -m bench.dashboard --live --pairs 1
