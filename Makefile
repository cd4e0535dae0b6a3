# Each does all the set-up on a fresh machine: `make demo` (JOB=judge, rag or generate: another one), `make fast`, `make test`.
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


.PHONY: venv demo demo-search demo-judge demo-rag demo-generate fast slow test check bench chaos nights fuzz clean

venv: $(VENV)/installed

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv

$(VENV)/installed: pyproject.toml | $(BIN)/uv
	$(uv_environment) $(BIN)/uv pip install --quiet --python $(BIN)/python $(UV_FLAGS) --editable '.[$(EXTRAS)]'
	touch $@

# JOB=search: a real embedder finds the article of the Universal Declaration of Human Rights that answers a question.
JOB ?= search
DEMO := runs/demo-$(JOB)
ROWS_search := $(DEMO)/found
ROWS_rag = $(shell ls -td $(DEMO)/generate-* | head -n 1)

demo: venv demo-$(JOB)
	@$(BIN)/overnight view run.dir=$(or $(ROWS_$(JOB)),$(DEMO)) view.export=$(DEMO)/rows
	@echo "or, from a server: $(BIN)/overnight view run.dir=$(or $(ROWS_$(JOB)),$(DEMO))"

demo-search:
	$(BIN)/overnight embed data.path=conf/samples/human_rights.csv engine=all_minilm_l6_v2 executor=inline run.dir=$(DEMO)/corpus
	$(BIN)/overnight embed data.path=conf/samples/rights_questions.csv 'embed.text="{question}"' embed.role=query engine=all_minilm_l6_v2 executor=inline run.dir=$(DEMO)/questions
	$(BIN)/overnight retrieve data.path=$(DEMO)/questions/result.parquet retriever.corpus=$(DEMO)/corpus run.dir=$(DEMO)/found
	$(BIN)/overnight evaluate run.dir=$(DEMO)/found qrels=conf/samples/rights_qrels.tsv cutoff=1
	@echo "recall@1 is how often the right one of 30 articles is found first: a guess would be right in 0.03 of the questions"

demo-judge:
	$(BIN)/overnight judge run.dir=$(DEMO)

demo-generate:
	$(BIN)/overnight generate data=tutorial prompt=instruct executor=inline generate.max_new_tokens=48 run.dir=$(DEMO)

demo-rag:
	$(BIN)/overnight rag data.path=conf/samples/rights_questions.csv documents.path=conf/samples/human_rights.csv chunk.by=none chunk.max_characters=null prompt=answer_with_passages_en retrieve.k=2 data.limit=8 generate.max_new_tokens=48 run.dir=$(DEMO)

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
