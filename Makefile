# Needs Python >= 3.11, git and make; everything else is installed into .venv (Node.js too, where it is missing).
# PYTHON=python3.12 make demo    picks the Python that .venv is made with.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := .venv/bin
# pytest-xdist workers: two share the time of the browser tests well, more only help on larger machines
WORKERS ?= 2

.PHONY: help demo test lint fast zoo readback costs viewer-costs analysis-costs judged format viewer venv environment-demo environment-test clean

help:
	@echo "make demo    train the paper's model on tweets, write demo/attention.html and .png, open the page"
	@echo "make test    every check and test, Python and TypeScript"
	@echo "make fast    the inner loop: lint and the quick tests"
	@echo "make lint    ruff, mypy, tsc        make format   let ruff rewrite the code"
	@echo "make zoo     try headscape on every model of tests/zoo, write the table to docs/zoo.md"
	@echo "make readback  measure what can be read off the pictures, write docs/readback.md"
	@echo "make costs   time and memory of a captured pass      make viewer-costs   the page beside others"
	@echo "make analysis-costs  time of the measures      make judged  which measure tells the truth of four models"
	@echo "make viewer  build the page's script if its sources changed"
	@echo "make venv    only the environment with all tools        make clean   remove all that was made"

demo: environment-demo
	$(BIN)/headscape demo --out demo

test: environment-test lint
	$(BIN)/python scripts/viewer_build.py run test
	$(BIN)/python -m pytest -n $(WORKERS)

lint: environment-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/viewer_build.py run typecheck

fast: environment-test
	$(BIN)/ruff check .
	$(BIN)/python scripts/viewer_build.py run typecheck test
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not browser"

zoo: environment-test
	$(BIN)/python -m tests.zoo --markdown docs/zoo.md

readback: environment-test
	$(BIN)/python scripts/viewer_build.py build
	$(BIN)/python benchmarks/readback.py --markdown docs/readback.md $(if $(wildcard demo/attention.headscape),--demo demo/attention.headscape)

costs: environment-test
	$(BIN)/python benchmarks/capture.py --markdown docs/capture_costs.md

viewer-costs: environment-test viewer
	$(BIN)/python -m pip install --quiet --no-deps bertviz==1.4.1 circuitsvis==1.43.3 plotly==7.1.0 narwhals
	$(BIN)/python benchmarks/viewer.py --markdown docs/viewer_costs.md

analysis-costs: environment-test
	$(BIN)/python benchmarks/analysis.py --markdown docs/analysis/costs.md
	$(BIN)/python benchmarks/analysis_topology.py --markdown docs/analysis/topology_costs.md

# STORIES=folder of stories260K, SORTER=gpt-nano-sort-model.json add two more models
judged: environment-test
	$(BIN)/python scripts/judge_report.py --markdown docs/analysis/judged.md $(if $(STORIES),--stories $(STORIES)) $(if $(SORTER),--sorter $(SORTER))

format: environment-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

viewer: environment-test
	$(BIN)/python scripts/viewer_build.py build

venv: environment-test

environment-demo:
	@$(if $(PYTHON),,echo "headscape needs Python >= 3.11 and found none on PATH. Name one: make demo PYTHON=/path/to/python3.11" >&2; exit 1)
	@$(PYTHON) scripts/environment.py demo

environment-test:
	@$(if $(PYTHON),,echo "headscape needs Python >= 3.11 and found none on PATH. Name one: make test PYTHON=/path/to/python3.11" >&2; exit 1)
	@$(PYTHON) scripts/environment.py test

clean:
	rm -rf .venv demo dist build src/headscape/view/static viewer/node_modules viewer/dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
