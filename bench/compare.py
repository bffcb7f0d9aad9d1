"""Fails where a new fastimg is slower than an old one, beyond the noise of the machine.

python bench/compare.py OLD NEW [--pairs 15] [--tolerance 5] [--case TEXT] [--size N]
python bench/compare.py OLD NEW --instructions [--case TEXT]

OLD and NEW are commands that start a Python with fastimg, such as venv-main/bin/python. Both run `fastimg bench` in turn, the
order changing from pair to pair, so that a slow moment of the machine meets both. Of each case the ratios new / old of the
pairs give a lower bound of their median that holds with 99 % whatever their distribution (order statistics); the case fails if
that bound is above 1 + tolerance. With --instructions, valgrind's callgrind counts instead: no noise, so a few runs do, and
what fails is a count more than the tolerance above the old one. Exit status 1: something failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

CONFIDENCE = 0.99


def lower_bound(ratios: list[float], confidence: float = CONFIDENCE) -> float:
    """A value that the median of the ratios' distribution exceeds with that confidence; 0 if they are too few to tell.

    The k-th smallest of n is such a bound if P(Binomial(n, 1/2) < k) <= 1 - confidence (David & Nagaraja, Order
    Statistics, 7.1).
    """
    below, chosen = 0.0, 0
    for k in range(len(ratios)):
        below += math.comb(len(ratios), k) / 2 ** len(ratios)
        if below > 1 - confidence:
            break
        chosen = k + 1
    return sorted(ratios)[chosen - 1] if chosen else 0.0


def judge(
    pairs: list[tuple[dict[str, float], dict[str, float]]], tolerance: float
) -> list[tuple[str, float, float, bool]]:
    """(case, median ratio new / old, lower bound, failed) of the seconds of paired runs."""
    rows = []
    for name in pairs[0][0]:
        ratios = [new[name] / old[name] for old, new in pairs if name in new]
        bound = lower_bound(ratios)
        rows.append((name, median(ratios) if ratios else math.nan, bound, not ratios or bound > 1 + tolerance))
    return rows


def seconds(command: str, options: list[str]) -> dict[str, float]:
    """Of each case of one run of `fastimg bench`."""
    done = subprocess.run(
        [*shlex.split(command), "-m", "fastimg", "bench", "--json", *options],
        capture_output=True,
        text=True,
        check=True,
    )
    return {case["work"]: case["seconds"] for case in json.loads(done.stdout)["cases"]}


# valgrind knows no AVX-512; one thread everywhere (threads of OpenBLAS that wait are counted, millions more or fewer from
# run to run) and a fixed seed make counts repeat
STILL = {
    "FASTIMG_ISA": "avx2",
    "FASTIMG_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
}


def instructions(command: str, options: list[str]) -> int:
    """Of one repetition: two runs that differ by a hundred, so that what Python spends at start falls out.

    A run before them is not counted: the first writes byte code.
    """
    bench = [*shlex.split(command), "-m", "fastimg", "bench", *options, "--repeat"]
    fixed = ["setarch", "-R"] if shutil.which("setarch") else []  # addresses decide how dictionaries lie
    environment = os.environ | STILL
    subprocess.run([*bench, "1"], env=environment, capture_output=True, check=True)
    counted = []
    for repeat in ("1", "101"):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "callgrind.out"
            words = [*fixed, "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *bench, repeat]
            subprocess.run(words, env=environment, capture_output=True, check=True)
            total = next(line for line in out.read_text().splitlines() if line.startswith(("summary:", "totals:")))
            counted.append(int(total.split()[1]))
    return (counted[1] - counted[0]) // 100


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--tolerance", type=float, default=5.0, help="per cent")
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--size", default="160")
    parser.add_argument("--instructions", action="store_true")
    given = parser.parse_args(arguments)
    options = ["--size", given.size, *(word for text in given.case for word in ("--case", text))]
    tolerance = given.tolerance / 100
    if given.instructions:
        old, new = (instructions(command, options) for command in (given.old, given.new))
        failed = new > old * (1 + tolerance)
        print(f"{old:,} instructions before, {new:,} now: {new / old:.4f}{'  FAILED' if failed else ''}")
        return int(failed)
    if lower_bound([1.0] * given.pairs) == 0:
        parser.error("--pairs: too few to tell anything with 99 %; at least 7")
    pairs = []
    for number in range(given.pairs):
        order = (given.old, given.new) if number % 2 == 0 else (given.new, given.old)
        runs = [seconds(command, options) for command in order]
        pairs.append((runs[0], runs[1]) if number % 2 == 0 else (runs[1], runs[0]))
    rows = judge(pairs, tolerance)
    print(f"{'work':<36} {'new / old':>10} {'at least':>10}")
    for name, middle, bound, failed in rows:
        print(f"{name:<36} {middle:>10.3f} {bound:>10.3f}{'  FAILED' if failed else ''}")
    return int(any(failed for *_, failed in rows))


if __name__ == "__main__":
    sys.exit(main())
