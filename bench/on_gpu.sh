#!/usr/bin/env bash
# Every GPU test and GPU benchmark, on a machine that has a GPU and no network.
#
#   bench/on_gpu.sh wheels                  with network and a Python 3.12: collects what such a machine lacks in out/packed
#   bench/on_gpu.sh run FOLDER              there: pytest -m gpu, then the GPU cases; their results into FOLDER
#   bench/on_gpu.sh tests FOLDER [OPTION]   there: the tests alone, with more options of pytest
#   bench/on_gpu.sh bench FOLDER [OPTION]   there: the cases alone, e.g. -k window
#
# It ends by itself after FASTIMG_GPU_SECONDS (220) and leaves what was done by then. The checkout and out/packed must travel.
# The machine is expected to have CUDA 13, Python 3.12, a C++ compiler, numpy, numba, scipy, cupy, torch, pyarrow, pytest with
# xdist and benchmark, hypothesis, pybind11, cython, setuptools. PYTHON312 names the Python 3.12 here (python3.12),
# FASTIMG_WHEEL_OPTIONS more options of pip wheel.
set -euo pipefail
cd "$(dirname "$0")/.."

# For CPython 3.12 and CUDA 13; what these need beyond them is on the machine already. Then the peers and the parts that only
# a device can show: nvImageCodec with nvJPEG and nvJPEG2000, nvCOMP, dask-cuda, cuCIM.
PACKAGES="pydicom zarr numcodecs donfig google-crc32c msgspec imagecodecs==2026.3.6 cryptography cffi pycparser
  nvidia-nvimgcodec-cu13 nvidia-nvjpeg nvidia-nvjpeg2k-cu13 nvidia-nvcomp-cu13 nvidia-libnvcomp-cu13
  distributed==2026.8.0 dask==2026.8.0 dask-cuda tornado tblib zict locket partd cucim-cu13"
# Of no use there: other Pythons' modules, codecs that nothing here calls, a viewer of slides, tests.
LEFT_OUT='nvidia/nv(imgcodec|comp)/.*cpython-3(9|10|11|13|13t|14|14t)-|nvimgcodec/extensions/lib(opencv|tiff|nvtiff)_ext
  |nvimgcodec/include/|^nvidia/lib.*/(include|bin|static)/|nvcomp.*/include/|[.]a$|cucim/clara/|cucim_cu13[.]libs/|/tests?/
  |imagecodecs([.]libs)?/(lib|_)?(aom|avif|jxl|jpegxl|SZ3c?|sz3|cpcodec|pcodec|tiff|ultrahdr|uhdr|webp|brotli|lzham|lzfse|sperr|zfp)
  |imagecodecs([.]libs)?/(lib|_)?(rgbe|bcn|apng|spng|blosc2|Lerc|lerc|heif|ljxl|szip|aec|gif|pixarlog|lzfse|rcomp)'

PACK='import re, sys, tarfile, zipfile
left_out, wheel = re.compile(sys.argv[1]), zipfile.ZipFile(sys.argv[2])
with tarfile.open(sys.argv[3], "w:xz") as archive:
    for entry in wheel.infolist():
        if not entry.is_dir() and not left_out.search(entry.filename):
            info = tarfile.TarInfo(entry.filename)
            info.size = entry.file_size
            archive.addfile(info, wheel.open(entry))'

wheels() {
  local python=${PYTHON312:-python3.12}
  mkdir -p out/wheels out/packed
  # shellcheck disable=SC2086
  python3 -m pip download -q -d out/wheels --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
      --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_24_x86_64 \
      --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 $PACKAGES
  rm -f out/packed/fastimg-*.whl out/wheels/fastimg-*.whl
  "$python" -m pip wheel -q --no-deps ${FASTIMG_WHEEL_OPTIONS:-} -w out/packed .
  sources >out/packed/sources
  for wheel in out/wheels/*.whl; do
    local packed
    packed=out/packed/$(basename "${wheel%%-*}").tar.xz
    [ "$packed" -nt "$wheel" ] || python3 -c "$PACK" "$(tr -d ' \n' <<<"$LEFT_OUT")" "$wheel" "$packed"
  done
  echo "bytes that travel: $({ git ls-files -z && printf '%s\0' out/packed/*; } | xargs -0 du -cb | tail -n 1 | cut -f 1)"
}

# What the compiled modules are made of.
sources() { find csrc kernels/fastimg setup.py -type f | LC_ALL=C sort | xargs sha256sum | sha256sum; }

# The modules into out/site: the wheel's compiled ones where they fit this checkout, Python and kernels from the checkout.
prepare() {
  rm -rf out/site
  mkdir -p out/site
  for packed in out/packed/*.tar.xz; do python3 -m tarfile -e "$packed" out/site & done
  wait
  if [ "$(sources)" = "$(cat out/packed/sources)" ]; then
    python3 -m zipfile -e out/packed/fastimg-*.whl out/site
    cp -r src/fastimg out/site
    cp -r kernels/. out/site/fastimg/_kernels
  else
    echo "the compiled modules are of another state of the sources: built here"
    python3 -m pip install -q --no-index --no-build-isolation --no-deps --target out/site --upgrade .
  fi
  export PYTHONPATH=$PWD/out/site PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 CUPY_CACHE_DIR=$PWD/out/cupy
  python3 -c "import fastimg as fi; fi.show_versions()" 2>&1 | tee "$1/versions.txt"
}

left() { echo $((${FASTIMG_GPU_SECONDS:-220} - SECONDS)); }

# tests FOLDER SECONDS [OPTION ...]: the whole tree is not collected, only files that say put or gpu.
tests() {
  local folder=$1 seconds=$2
  shift 2
  # shellcheck disable=SC2046
  timeout -s INT -k 10 "$seconds" python3 -m pytest -m gpu -q -n "$(($(nproc) * 3 / 4))" --dist worksteal --benchmark-disable \
      --durations=15 -p no:cacheprovider --junitxml="$folder/gpu-tests.xml" \
      $(grep -rlwE 'put|gpu' tests --include='test_*.py') "$@" 2>&1 | tee "$folder/gpu-tests.txt" || true
}

# bench FOLDER SECONDS [OPTION ...]
bench() {
  local folder=$1 seconds=$2
  shift 2
  timeout -s INT -k 10 "$seconds" python3 -m pytest -q -m gpu -p no:cacheprovider -o python_files='bench_*.py' \
      -o python_functions='bench_*' --durations=15 --benchmark-json="$folder/gpu-bench.json" \
      --benchmark-columns=median --benchmark-sort=name \
      $(grep -lw gpu bench/bench_*.py) "$@" >"$folder/gpu-bench.txt" 2>&1 || true
  sed -n '/= slowest/,$p' "$folder/gpu-bench.txt"
  python3 bench/table.py "$folder/gpu-bench.json" | tee "$folder/gpu-bench.md"
}

passed() { tail -n 1 "$1/gpu-tests.txt" | grep -q passed && ! tail -n 1 "$1/gpu-tests.txt" | grep -qE 'failed|error'; }

what=${1:-}
[ "$what" = wheels ] && { wheels; exit; }
[ $# -ge 2 ] || { sed -n '2,11p' "$0"; exit 2; }
folder=$(mkdir -p "$2" && cd "$2" && pwd)
shift 2
prepare "$folder"
case $what in
  run)
    tests "$folder" $(($(left) * 6 / 10))
    bench "$folder" $(($(left) - 5))
    passed "$folder" # the tests decide: a benchmark that is missing does not hide a failure
    ;;
  tests) tests "$folder" "$(left)" "$@" && passed "$folder" ;;
  bench) bench "$folder" $(($(left) - 5)) "$@" ;;
esac
