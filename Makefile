# A thin front: a virtual environment in the clone with nox in it; every task is a nox session (noxfile.py).
PYTHON ?= python3
NOX := .venv/bin/nox

.PHONY: demo test lint bench docs system-packages clean

demo: $(NOX)  ## new -> install -> weights -> verify, on real input
	@$(NOX) -s demo

test: $(NOX)  ## the whole suite
	@$(NOX) -s lint tests

lint: $(NOX)
	@$(NOX) -s lint

bench: $(NOX)  ## every benchmark, side by side with what you would use instead
	@$(NOX) -s bench

docs: $(NOX)  ## write the generated reference pages
	@$(NOX) -s docs

system-packages:  ## Debian and Ubuntu, as root: what the container and browser tests need
	@sh tests/support/system-packages.sh

clean:
	rm -rf .venv .nox .cache demo dist

$(NOX):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or newer: make PYTHON=python3.13")'
	@echo "setting up nox in .venv (once)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check "nox>=2025.5"
	@touch $(NOX)
