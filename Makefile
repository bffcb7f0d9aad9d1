# One word each, thin over pip, pytest and ruff. Needs Python 3.11 or newer with venv, a C++17 compiler and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard csrc/*/*.cpp csrc/*/*.hpp csrc/*/*.pyx kernels/fastimg/*.cuh)
SOAK_MINUTES ?= 30
CLANG ?= clang++

.PHONY: demo test soak soak-short fuzz bench lint clean

demo: $(VENV)/core
	$(BIN)/fastimg demo --output out/demo

test: $(VENV)/test
	$(BIN)/python -m pytest -n 2 --dist loadgroup

soak: $(VENV)/test
	FASTIMG_SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/python -m pytest -n 2 -m soak

soak-short: $(VENV)/test
	FASTIMG_SOAK_MINUTES=1 $(BIN)/python -m pytest -n 2 -m soak

# libFuzzer under AddressSanitizer and UBSan over everything that walks a stranger's DICOM; needs clang.
FUZZ_SECONDS ?= 600
FUZZ_PARTS := walk source part10 inflate fragments rle groups values columns scan
fuzz: $(VENV)/core
	mkdir -p out/corpus
	cp -n $$($(BIN)/python -c 'import pydicom; print(pydicom.__path__[0])')/data/test_files/*.dcm out/corpus || true
	$(CLANG) -std=c++17 -O2 -g1 -fsanitize=fuzzer,address,undefined -Icsrc -Ikernels \
	    $(FUZZ_PARTS:%=csrc/dicom/%.cpp) csrc/dicom/fuzz/target.cpp -o out/fuzz
	out/fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -rss_limit_mb=2048 out/corpus

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
