# setup · demo · test (README.md), lint (CONTRIBUTING.md), bench · screenshots · constraints · clean (below)
PYTHON ?= $(shell for v in python3.12 python3.11 python3.10 python3; do \
  $$v -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$v && break; done)
PORT ?= 7860
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: setup setup-dev demo test lint bench screenshots constraints clean
setup: $(VENV)/.app
setup-dev: $(VENV)/.dev

$(PY):
	@test -n "$(PYTHON)" || \
	  { echo "Python 3.10, 3.11 or 3.12 is needed; name one with: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The scorer's compiled loops are built once, here, and not while somebody waits for a score.
WARM = $(PY) -c "from eval.scoring import warm_up; warm_up()"

# Two OpenCV wheels arrive (one through pyiqa) and share a folder; the headless one, which needs no display
# libraries, is laid down last.
HEADLESS = $(PIP) --force-reinstall --no-deps opencv-python-headless

$(VENV)/.app: requirements.txt constraints.txt | $(PY)
	@echo "Installing (a few minutes the first time) ..."
	$(PIP) -r requirements.txt && $(HEADLESS) && $(WARM) && touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt requirements-cluster.txt constraints.txt | $(PY)
	@echo "Installing (a few minutes the first time) ..."
	$(PIP) -r requirements-dev.txt && $(HEADLESS) && $(WARM) && touch $@ $(VENV)/.app

demo: setup
	GRADIO_SERVER_PORT=$(PORT) $(PY) app.py

test: setup-dev
	@sh scripts/chromium.sh
	$(PY) -m pytest $(TESTS)

lint: setup-dev
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

# Every benchmark, one after the other; what lacks its data says so and is skipped. Those that train take arguments and
# are left out: see their --help.
TRAINING_BENCHMARKS = benchmarks/ablations.py benchmarks/ptg_rm_controls.py

bench: setup-dev
	@failed=; for script in $(filter-out $(TRAINING_BENCHMARKS),$(sort $(wildcard benchmarks/[a-z]*.py))); do \
	  echo "== $$script"; $(PY) $$script || failed="$$failed $$script"; done; \
	  test -z "$$failed" || { echo "Failed:$$failed"; exit 1; }

# The pictures of docs/screenshots, taken anew in a browser.
screenshots: setup-dev
	@sh scripts/chromium.sh
	$(PY) scripts/screenshots.py

# Exact versions for every supported Python, from the ranges of requirements*.txt (needs uv).
constraints:
	uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate --no-header \
	  requirements-dev.txt --output-file constraints.txt

# Removes what setup and the tests made.
clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
