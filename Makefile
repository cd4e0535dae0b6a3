# Each does all the set-up on a fresh machine: `make demo`, `make fast`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= cpu,demo,dev
# For `uv pip install`: where no wheel of torch's CPU build is at hand, UV_FLAGS="--torch-backend cpu".
UV_FLAGS ?=
# Where Python is told to write no bytecode, every process would compile what it imports again: 20 s of torch and vLLM.
unexport PYTHONDONTWRITEBYTECODE

# uv does not read pip's settings: hand them on, and compare versions across all indexes as pip does.
pip_setting = $(shell $(BIN)/pip config list 2>/dev/null | sed -n "s/\\\\n/ /g; s/^[^=]*\.$(1)='\(.*\)'$$/\1/p" | tail -n 1)
uv_setting = $(if $(call pip_setting,$(1)),$(2)="$(call pip_setting,$(1))")
uv_environment = UV_PYTHON_DOWNLOADS=never UV_INDEX_STRATEGY=unsafe-best-match \
	$(call uv_setting,index-url,UV_DEFAULT_INDEX) \
	$(call uv_setting,extra-index-url,UV_EXTRA_INDEX_URL) \
	$(call uv_setting,find-links,UV_FIND_LINKS)

.PHONY: venv demo fast slow test check bench chaos nights fuzz clean

venv: $(VENV)/installed

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv

$(VENV)/installed: pyproject.toml | $(BIN)/uv
	$(uv_environment) $(BIN)/uv pip install --quiet --python $(BIN)/python $(UV_FLAGS) --editable '.[$(EXTRAS)]'
	touch $@

demo: venv
	$(BIN)/python -m jobs.judge

# The lanes are in tests/conftest.py. A third worker on two cores: tests of Slurm and of kills mostly wait.
fast: venv
	$(BIN)/python -m pytest -m fast -n 2 $(PYTEST_FLAGS)

slow: venv
	$(BIN)/python -m pytest -m "not fast" -n 3 $(PYTEST_FLAGS)

test: fast slow

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: venv
	OVERNIGHT_STORE= $(BIN)/python -m tests.bench

# By hand, as bench: kills, flips, full disks, signals; nights on one store; mutated inputs. Each prints a table.
chaos: venv
	OVERNIGHT_STORE= $(BIN)/python -m tests.chaos

nights: venv
	OVERNIGHT_STORE= $(BIN)/python -m tests.nights

fuzz: venv
	OVERNIGHT_STORE= $(BIN)/python -m tests.fuzz

clean:
	rm -rf $(VENV) build *.egg-info
