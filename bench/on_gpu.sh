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
  # for CPython 3.12; what these need beyond them is on the machine already
  mkdir -p out/wheels
  python3 -m pip download -q -d out/wheels --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
      --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
      pydicom zarr numcodecs donfig google-crc32c msgspec imagecodecs==2026.3.6 cryptography cffi pycparser
  # the library itself, where a python3.12 is at hand to build it with; the other machine builds it otherwise
  rm -f out/wheels/fastimg-*
  if command -v python3.12 >/dev/null; then python3.12 -m pip wheel -q --no-deps -w out/wheels .; fi
}

run() {
  local folder
  folder=$(mkdir -p "$1" && cd "$1" && pwd)
  # A virtual environment over the packages of the python3 at hand, be that an environment itself.
  python3 -m venv --without-pip out/gpu-venv
  python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$(echo out/gpu-venv/lib/python3.*/site-packages)/parent.pth"
  python3 -m pip --python out/gpu-venv/bin/python install -q --no-index --no-deps out/wheels/*.whl
  ls out/wheels/fastimg-*.whl >/dev/null 2>&1 ||
      python3 -m pip --python out/gpu-venv/bin/python install -q --no-index --no-build-isolation --no-deps -e .
  local python=out/gpu-venv/bin/python
  $python -c "import fastimg as fi; fi.show_versions()" | tee "$folder/versions.txt"
  $python -m pytest -m gpu -q -n 8 --benchmark-disable --durations=10 -p no:cacheprovider --junitxml="$folder/gpu-tests.xml" 2>&1 | tee "$folder/gpu-tests.txt" || true
  $python -m pytest bench -q -m gpu -p no:cacheprovider -o python_files='bench_*.py' -o python_functions='bench_*' \
      --benchmark-json="$folder/gpu-bench.json" 2>&1 | tee "$folder/gpu-bench.txt" || true
  $python bench/table.py "$folder/gpu-bench.json" | tee "$folder/gpu-bench.md"
  # the tests decide: a benchmark that is missing does not hide a failure
  tail -n 1 "$folder/gpu-tests.txt" | grep -q passed && ! tail -n 1 "$folder/gpu-tests.txt" | grep -qE 'failed|error'
}

case "${1:-}" in
  wheels) wheels ;;
  run) run "${2:?the folder for the results}" ;;
  *) sed -n '2,8p' "$0"; exit 2 ;;
esac
