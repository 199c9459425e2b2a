# One .venv serves every command. It is set up when it is missing or when pyproject.toml or the constraints change.
# PYTHON=/path/to/python3.12 chooses its interpreter; otherwise it is the first of these that fits.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/dev.txt

.DEFAULT_GOAL := help
.PHONY: help demo test bench detection format clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

demo: $(VENV)/demo.stamp ## train on a real bearing's first days, export, and see when the alarm goes up
	$(BIN)/python -m examples.ims_bearing.demo

test: $(VENV)/dev.stamp ## run every check: ruff, mypy, pytest, and the runtime tests in slim environments (nox)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@tests/gateway/install || [ -z "$$CI" ] # outside CI the tests that need what is missing are skipped
	$(BIN)/python -m pytest
	$(BIN)/nox

bench: $(VENV)/dev.stamp ## measure latency, memory and start-up, compare with the last recorded run, record
	$(BIN)/python -m benchmarks history

detection: $(VENV)/dev.stamp ## measure how well each family detects, on the data sets in the folder ANOMALITE_DATA
	$(BIN)/python -m benchmarks detection

format: $(VENV)/dev.stamp ## format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

clean: ## remove .venv and everything else that these commands set up
	rm -rf $(VENV) .nox .asv/run build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/demo.stamp: EXTRAS := train,plot,gateway
$(VENV)/dev.stamp: EXTRAS := train,plot,dev
# A stamp is touched only when everything is in place, so an interrupted set-up is taken up again.
$(VENV)/demo.stamp $(VENV)/dev.stamp: pyproject.toml $(CONSTRAINTS)
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    for python in $(PYTHONS); do \
	        if "$$python" -c '$(FITS)' 2>/dev/null; then chosen=$$python; break; fi; \
	    done; \
	    if [ -z "$$chosen" ]; then \
	        echo "anomalite needs CPython 3.11, 3.12 or 3.13 with venv; none among: $(PYTHONS)" >&2; \
	        echo "Install one (on Debian and Ubuntu with python3-venv), or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
	        exit 1; \
	    fi; \
	    echo "creating $(VENV) with $$("$$chosen" --version)"; \
	    "$$chosen" -m venv --clear $(VENV) || exit 1; \
	fi
	@echo "setting up $(VENV): TensorFlow and friends, 1-3 minutes and 3 GB the first time"
	@rm -f $@
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
	        --editable '.[$(EXTRAS)]' --constraint $(CONSTRAINTS) \
	    && touch $@ $(if $(findstring dev,$(EXTRAS)),$(VENV)/demo.stamp); } \
	    | sed -unE -e 's/^ *(Downloading|Using cached) (.* MB\))$$/  \2/p' -e 's/^Installing .*/  installing .../p'
	@test -f $@

FITS := import ensurepip, platform, sys; \
	sys.exit(platform.python_implementation() != "CPython" or not (3, 11) <= sys.version_info[:2] <= (3, 13))
