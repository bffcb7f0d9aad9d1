#!/usr/bin/env bash
# Every GPU test and GPU benchmark, on a machine that has a GPU and no network.
#
#   bench/on_gpu.sh wheels        with network: collects what such a machine lacks in out/wheels
#   bench/on_gpu.sh run FOLDER    there: builds, runs pytest -m gpu and the GPU cases, writes their results to FOLDER
#
# The machine is expected to have Python, a C++ compiler, numpy, numba, scipy, cupy, pyarrow, pybind11, cython, setuptools.
set -euo pipefail
cd "$(dirname "$0")/.."

wheels() {
  mkdir -p out/wheels
  python3 -m pip download -q -d out/wheels --only-binary :all: \
      pydicom zarr imagecodecs click rich cryptography pytest pytest-benchmark hypothesis
  rm -f out/wheels/numpy-*
}

run() {
  local folder=$1
  mkdir -p "$folder"
  python3 -m venv --system-site-packages out/gpu-venv
  . out/gpu-venv/bin/activate
  pip install -q --no-index --find-links out/wheels --no-deps out/wheels/*.whl
  pip install -q --no-index --no-build-isolation --no-deps -e .
  python -c "import fastimg as fi; fi.show_versions()" | tee "$folder/versions.txt"
  python -m pytest -m gpu -p no:cacheprovider --junitxml="$folder/gpu-tests.xml" | tee "$folder/gpu-tests.txt"
  python -m pytest bench -q -m gpu -p no:cacheprovider -o python_files='bench_*.py' -o python_functions='bench_*' \
      --benchmark-json="$folder/gpu-bench.json" | tee "$folder/gpu-bench.txt"
  python bench/table.py "$folder/gpu-bench.json" | tee "$folder/gpu-bench.md"
}

case "${1:-}" in
  wheels) wheels ;;
  run) run "${2:?the folder for the results}" ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
