# One word each, thin over pip, pytest and ruff. Needs Python 3.11 or newer with venv, a C++17 compiler and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard csrc/*/*.cpp csrc/*/*.hpp csrc/*/*.pyx kernels/fastimg/*.cuh)
SOAK_MINUTES ?= 120

.PHONY: demo test soak soak-short fuzz bench bench-short docs lint clean

demo: $(VENV)/core
	$(BIN)/fastimg demo --output out/demo

test: $(VENV)/test
	$(BIN)/python -m pytest -n 2 --dist loadgroup

soak: $(VENV)/test
	FASTIMG_SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/python -m pytest -m soak

soak-short: $(VENV)/test
	FASTIMG_SOAK_MINUTES=1 $(BIN)/python -m pytest -m soak

bench: $(VENV)/test
	mkdir -p out
	$(BIN)/python -m pytest bench -q -p no:cacheprovider -o python_files='bench_*.py' -o python_functions='bench_*' \
	    --benchmark-json=out/bench.json --benchmark-columns=min,median,rounds --benchmark-sort=name $(BENCH)
	$(BIN)/python bench/table.py out/bench.json | tee out/bench.md

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files '*.hpp' 'csrc/*.cpp' 'kernels/*.cu' 'kernels/*.cuh' 'tests/*.cpp')

clean:
	rm -rf $(VENV) build out src/*.egg-info
	find src -name '*.so' -delete

# The package is installed in place (editable), built by pip in its own isolated environment; again when a source changes.
$(VENV)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check 'pip>=25.1'
	touch $@

$(VENV)/core: $(VENV)/python $(SOURCES)
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/test: $(VENV)/core
	$(BIN)/python -m pip install -q --group test
	touch $@

$(VENV)/lint: $(VENV)/test
	$(BIN)/python -m pip install -q --group lint
	touch $@
