"""The tools of bench/: a regression is found and noise is not, and the page says what was measured."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats

from ..conftest import ROOT


@pytest.fixture(scope="module")
def tool():
    sys.path.insert(0, str(ROOT / "bench"))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "bench" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path.remove(str(ROOT / "bench"))


@pytest.mark.parametrize("count", [1, 6, 7, 10, 15, 40, 101])
def test_the_bound_is_the_order_statistic_of_scipy_s_binomial(tool, count):
    values = np.random.default_rng(count).permutation(count) + 1.0
    rank = int(stats.binom.ppf(0.01, count, 0.5))
    rank = rank if stats.binom.cdf(rank - 1, count, 0.5) <= 0.01 < stats.binom.cdf(rank, count, 0.5) else rank + 1
    assert tool("compare").lower_bound(list(values)) == rank


def test_noise_passes_and_a_tenth_does_not(tool):
    rng = np.random.default_rng(3)
    noise = lambda: rng.lognormal(0, 0.05)  # noqa: E731
    pairs = [({"same": noise(), "slower": noise()}, {"same": noise(), "slower": 1.2 * noise()}) for _ in range(25)]
    (same, slower) = tool("compare").judge(pairs, 0.05)
    assert same[0] == "same"
    assert not same[3]
    assert slower[3]
    assert 1.05 < slower[2] < slower[1]
    (gone,) = tool("compare").judge([({"gone": 1.0}, {})], 0.05)
    assert gone[3]


def test_what_is_timed_in_turn_is_the_peer(tool):
    info = {"tool": "fastimg", "nbytes": 8, "items": 4.0, "unit": "voxel", "error": 0.0}
    beside = info | {"beside": {"tool": "fastimg, 1 thread", "seconds": 0.0375}}
    cases = [{"group": "threads: blur", "name": "blur", "stats": {"min": 0.02}, "extra_info": beside}]
    ((name, ours, peer, ratio, *_),) = tool("table").rows({"benchmarks": cases})
    assert (name, ours, ratio) == ("threads: blur", "20 ms (200 voxel/s)", "1.88x")
    assert peer == "fastimg, 1 thread: 37.5 ms (107 voxel/s)"


@pytest.fixture
def program(tmp_path):
    """A command that answers `fastimg bench --json` with cases of given seconds."""
    path = tmp_path / "program.py"
    path.write_text(
        "import json, sys\n"
        "assert sys.argv[2:6] == ['-m', 'fastimg', 'bench', '--json'], sys.argv\n"
        "print(json.dumps({'cases': [{'work': 'window', 'seconds': float(sys.argv[1])}]}))\n"
    )
    return lambda seconds: f"{sys.executable} {path} {seconds}"


def test_the_page_of_growth_and_of_a_gpu(tool, tmp_path):
    page = tool("page")

    def case(group, tool, seconds, items, **more):
        extra = {"tool": tool, "nbytes": 8 * items, "items": float(items), "unit": "voxel", "error": None} | more
        return {"group": group, "name": group, "stats": {"min": seconds}, "extra_info": extra}

    cases = []
    for edge in (10, 20, 40):
        for threads, cost in (("one thread", 4e-9), ("all threads", 1e-9)):
            cases.append(case(f"growth: blur, 2 <mm>, {edge}^3, {threads}", "fastimg", cost * edge**3, edge**3))
        cases.append(case(f"growth: blur, 2 <mm>, {edge}^3, one thread", "scipy", 9e-9 * edge**3, edge**3))
    (drawn,) = page.growth({"benchmarks": cases})
    seen = Words()
    seen.feed(drawn)
    assert seen.words[0] == "blur, 2 <mm>"
    assert {"one thread", "all threads", "scipy"} <= set(seen.words)
    assert "error" not in drawn
    for error, words in ((0, "ns an item, exact"), (3e-7, "ns an item, error 3e-07")):
        for one in cases:
            one["extra_info"]["error"] = error
        assert words in page.growth({"benchmarks": cases})[0]
    assert "8 k" in page.growth({"benchmarks": [c for c in cases if "40^3" not in c["group"]] + [
        case(f"growth: blur, 2 <mm>, 5^3, {threads}", "fastimg", 1e-7, 125) for threads in ("one thread", "all threads")
    ]})[0]  # fmt: skip
    assert page.ratios({"benchmarks": cases}) == {}

    gpu = [case("machine: GPU copy 1 GiB", "memory", 1.0, 1000, device="cuda", device_seconds=2e-9)]
    gpu += [case("blur on a GPU", "fastimg", 1.0, 1000, device="cuda", device_seconds=4e-9)]
    gpu += [case("blur on a GPU", "CuPy", 1.0, 1000, device="cuda", device_seconds=12e-9)]
    (tmp_path / "gpu-bench.json").write_text(json.dumps({"benchmarks": gpu, "datetime": "2026-01-05T00:00:00"}))
    (tmp_path / "gpu-tests.txt").write_text("...\n===== 812 passed, 1 skipped in 60.00s =====\n")
    seen = Words()
    seen.feed(page.page(report(1), tmp_path / "none", tmp_path / "gpu-bench.json"))
    text = " ".join(seen.words)
    assert "812 passed, 1 skipped in 60.00s." in text
    assert {"50% of GPU copy", "3×", "50 %"} & set(seen.words) == {"50% of GPU copy", "3×", "50 %"}


@pytest.mark.parametrize("low", [1e-9, 0.7, 1.0, 3.3, 96.0, 4e8])
@pytest.mark.parametrize("span", [1.9, 2.5, 7.0, 90.0, 1e6])
def test_ticks_are_few_and_lie_inside(tool, low, span):
    found = tool("page").ticks(low, low * span)
    assert 2 <= len(found) <= 5
    assert low <= min(found) <= max(found) <= low * span
    assert found == sorted(found)


def test_exit_status(tool, program, capsys):
    compare = tool("compare")
    assert compare.main([program(1.0), program(1.04), "--pairs", "7"]) == 0
    assert compare.main([program(1.0), program(1.06), "--pairs", "7"]) == 1
    assert "FAILED" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        compare.main([program(1.0), program(1.0), "--pairs", "6"])


def test_exit_status_of_instruction_counts(tool, monkeypatch, capsys):
    compare = tool("compare")
    monkeypatch.setattr(compare, "instructions", lambda command, options: int(command))
    assert compare.main(["1000000", "1000900", "--instructions", "--tolerance", "0.1"]) == 0
    assert compare.main(["1000000", "1001100", "--instructions", "--tolerance", "0.1"]) == 1
    assert "1.0011  FAILED" in capsys.readouterr().out


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs Debian's valgrind")
def test_instruction_counts_repeat(tool):
    compare, options = tool("compare"), ["--size", "128", "--case", "window"]
    once, twice = (compare.instructions(sys.executable, options) for _ in range(2))
    assert once > 128**3 / 8
    assert abs(once - twice) < 0.02 * once


class Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.addresses = [], []

    def handle_data(self, data):
        self.words.append(data)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def report(day, speed=1.0):
    def case(group, tool, seconds, items):
        extra = {"tool": tool, "nbytes": 8 * items, "items": float(items), "unit": "voxel", "error": 1e-7}
        return {"group": group, "name": group, "stats": {"min": seconds}, "extra_info": extra}

    cases = [case("machine: copy 256 MiB", "memory", 0.01, 1 << 26)]
    for size in (1000, 10_000, 100_000):
        cases += [case(f"window <b>, {size} voxels", "fastimg", size * 1e-9 / speed, size)]
        cases += [case(f"window <b>, {size} voxels", "peer", size * 8e-9, size)]
    return {"benchmarks": cases, "datetime": f"2026-01-{day:02}T00:00:00", "commit_info": {"id": f"{day:040x}"}}


def test_the_page(tool, tmp_path):
    for day in (1, 2, 3):
        (tmp_path / f"{day}.json").write_text(json.dumps(report(day, speed=day)))
    page = tool("page")
    text = page.page(report(3, speed=3.0), tmp_path)
    seen = Words()
    seen.feed(text)
    assert seen.words.count("24×") == 3  # 8e-9 / (1e-9 / 3), three sizes
    assert any("window <b>" in word for word in seen.words)
    assert len(page.growth(report(1))) == 1
    assert len(page.history(tmp_path)) == 3
    assert page.roofline(report(1)) == pytest.approx(
        dict.fromkeys(page.ratios(report(1)), 8e9 / (8 * (1 << 26) / 0.01))
    )
    assert {"0.008 MB", "0.08 MB", "0.8 MB"} <= set(seen.words)  # moved: 8 B an item
    assert seen.words.count("45% of copy") == 3  # 8 B over 1e-9 / 3 s, of 8 * 2**26 B over 0.01 s
    assert seen.addresses == []
    assert "http" not in text.replace("http-equiv", "")
