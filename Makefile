# One word each, thin over pip, pytest and ruff. Needs Python 3.11 or newer with venv, a C++17 compiler and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard csrc/*/*.cpp csrc/*/*.hpp csrc/*/*.pyx kernels/fastimg/*.cuh)
SOAK_MINUTES ?= 30
CLANG ?= clang++

.PHONY: demo test peers wheel soak soak-short fuzz bench accuracy docs lint clean

demo: $(VENV)/core
	$(BIN)/fastimg demo --output out/demo

# A file's tests stay on one worker (loadfile), which builds what they share once. Not loadgroup: pytest 9.2 no longer takes the
# name that pytest-xdist 3.8 gives a test of a group, and such tests are spread over all workers in silence.
test: $(VENV)/test
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Peers and engines of tests that skip without them: Flower (pinned by the extra "federated"), atheris, PyRadiomics, whose build
# asks for packages that it does not declare. `pip check` sees that none of them has moved another's pin.
peers: $(VENV)/test
	$(BIN)/python -m pip install -q setuptools wheel versioneer numpy Cython PyWavelets pykwalify docopt six scikit-image trimesh \
	    statsmodels onnx onnxruntime obstore 'moto[server]' neuroglancer rocrate nvidia-nvimgcodec-cu12 tensorstore zarrs \
	    cibuildwheel selenium axe-core-python npe2 intensity-normalization pylibjpeg pylibjpeg-openjpeg
	$(BIN)/python -m pip install -q --no-build-isolation pyradiomics==3.0.1
	$(BIN)/python -m pip install -q flash-radiomics==1.0.0 h5py
	$(BIN)/python -m pip install -q atheris $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', \
	    'rb'))['project']['optional-dependencies']['federated'])")
	$(BIN)/python -m pip check

# The wheel that examples/node/Containerfile copies.
wheel: $(VENV)/python
	rm -f dist/fastimg-*.whl
	$(BIN)/python -m pip wheel -q --no-deps -w dist .

soak: $(VENV)/test
	FASTIMG_SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/python -m pytest -n 2 --dist loadfile -m soak

soak-short: $(VENV)/test
	FASTIMG_SOAK_MINUTES=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m soak

# libFuzzer under AddressSanitizer and UBSan over everything that walks a stranger's DICOM, target by target; needs clang.
# FUZZ_SECONDS each, or FUZZ_RUNS executions each.
FUZZ_SECONDS ?= 90
FUZZ_RUNS ?= -1
FUZZ_FLAGS := -std=c++17 -O2 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize=shift-base -fno-sanitize-recover=undefined
fuzz: $(VENV)/test
	mkdir -p out/corpus out/fuzz
	$(BIN)/python tests/dicom/fuzz_corpus.py out/corpus > out/fuzz/targets
	set -e; while read target sources; do \
	    $(CLANG) $(FUZZ_FLAGS) -Icsrc -Ikernels $$sources csrc/dicom/fuzz/$$target.cpp -o out/fuzz/$$target; \
	    out/fuzz/$$target -max_total_time=$(FUZZ_SECONDS) -runs=$(FUZZ_RUNS) -max_len=65536 -rss_limit_mb=2048 \
	        -artifact_prefix=out/fuzz/ -print_final_stats=1 out/corpus/$$target; \
	done < out/fuzz/targets

bench: $(VENV)/test
	mkdir -p out
	$(BIN)/python -m pytest bench -q -p no:cacheprovider -o python_files='bench_*.py' -o python_functions='bench_*' \
	    --benchmark-json=out/bench.json --benchmark-quiet $(BENCH)
	$(BIN)/python bench/table.py out/bench.json | tee out/bench.md
	mkdir -p out/bench_history && cp out/bench.json out/bench_history/$$(git rev-parse --short=12 HEAD).json
	$(BIN)/python bench/page.py out/bench.json out/bench_history $(wildcard out/gpu/gpu-bench.json) > out/bench.html

# The documentation's table of accuracy, from what the agreement tests measure beside the peers that are installed.
accuracy: $(VENV)/test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --accuracy docs/accuracy.json \
	    $$(grep -rlw accuracy tests --include='test_*.py' --exclude-dir=docs)

# Warnings are errors; the gallery's scripts run, and the reference is made of every public name's docstring.
# Links to files and anchors are followed; addresses of the network are not.
docs: $(VENV)/docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs out/docs
	$(BIN)/python docs/links.py out/docs

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest --concise --mypy-config-file pyproject.toml \
	    $$(cd src && find fastimg -name '*.pyi' | sed 's/[.]pyi$$//; s#/#.#g')
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $$(git ls-files '*.hpp' 'csrc/*.cpp' 'kernels/*.cu' 'kernels/*.cuh' 'tests/*.cpp')

clean:
	rm -rf $(VENV) build dist out src/*.egg-info
	find src -name '*.so' -delete

# The package is installed in place (editable), built by pip in its own isolated environment; again when a source changes.
$(VENV)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check 'pip>=25.1'
	touch $@

$(VENV)/core: $(VENV)/python $(SOURCES)
	@echo "compiling 130 C++ files: some minutes, of which pip says nothing"
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/test: $(VENV)/core
	$(BIN)/python -m pip install -q --group test
	touch $@

$(VENV)/docs: $(VENV)/test
	$(BIN)/python -m pip install -q --group docs
	touch $@

$(VENV)/lint: $(VENV)/test
	$(BIN)/python -m pip install -q --group lint
	touch $@
