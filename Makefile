# `make demo` and `make test` each set up all they need in .venv; a second run installs nothing again.
PYTHON ?= python3
VENV := .venv
VENV3 := .venv-keras3
# Tests and demo use a fixed number of processes, one a core of the smallest machine that they are meant for.
JOBS ?= 2

.PHONY: setup setup-keras3 test test-keras3 demo lint clean

setup: $(VENV)/.installed
setup-keras3: $(VENV3)/.installed

$(VENV)/.installed: requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt -e '.[dev,video]'
	touch $@

# The package's own requirements name the default stack, so it goes in without them.
$(VENV3)/.installed: requirements-keras3.txt setup.py
	$(PYTHON) -m venv $(VENV3)
	$(VENV3)/bin/python -m pip install --quiet --upgrade pip
	$(VENV3)/bin/python -m pip install --quiet -r requirements-keras3.txt pytest pytest-xdist hypothesis imageio-ffmpeg
	$(VENV3)/bin/python -m pip install --quiet --no-deps -e .
	touch $@

test: setup
	$(VENV)/bin/python -m pytest -n $(JOBS)

test-keras3: setup-keras3
	$(VENV3)/bin/python -m pytest -n $(JOBS)

demo: setup
	$(VENV)/bin/python tools/demo.py

lint: setup
	$(VENV)/bin/python -m pip install --quiet -e '.[lint]'
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) $(VENV3) demo build dist *.egg-info
