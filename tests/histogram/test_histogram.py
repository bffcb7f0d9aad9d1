"""Histogram: counts against the twin and NumPy on every device, level and thread count; merging; refusals."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastimg as fi
from fastimg import Histogram
from fastimg.testing import histogram as twin

WHOLE = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
REAL = [np.float32, np.float64]


def values_of(dtype, count=3001, seed=0):
    values = np.random.default_rng(seed).normal(30, 25, count)
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(values.round(), max(limits.min, -1e6), min(limits.max, 1e6)).astype(dtype)


def as_counts(histogram):
    used = np.flatnonzero(histogram.counts)
    return dict(zip((used + histogram.origin).tolist(), histogram.counts[used].tolist(), strict=True))


@pytest.mark.parametrize("dtype", WHOLE)
@pytest.mark.parametrize("masked", [False, True])
def test_whole_numbers_are_counted_exactly(put, dtype, masked):
    values = values_of(dtype)
    mask = values % 3 == 0 if masked else None
    seen = Histogram.of(put(values), mask=None if mask is None else put(mask))
    chosen = values if mask is None else values[mask]
    assert as_counts(seen) == twin.integer(chosen)
    assert (seen.kind, seen.min, seen.max, seen.count) == ("integer", chosen.min(), chosen.max(), chosen.size)
    q = [0, 0.01, 1 / 3, 0.5, 0.99, 1]
    np.testing.assert_array_equal(seen.quantile(q), np.quantile(chosen.astype(np.float64), q))
    assert seen.mean() == pytest.approx(chosen.mean(dtype=np.float64), rel=1e-14)
    assert seen.var() == pytest.approx(chosen.var(dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("begin", [0, 1])
def test_long_vectors_are_counted_whole(put, dtype, begin):
    """Longer than what a block of a GPU reads at once, from an aligned address and from one that is not."""
    values = values_of(dtype, 40_001)
    part = put(values)[begin:]
    mask = np.arange(len(values)) % 11 < 8  # whole groups of voxels are in, out and mixed
    for inside in (None, mask):
        chosen = values[begin:] if inside is None else values[begin:][inside[begin:]]
        given_mask = None if inside is None else put(inside)[begin:]
        seen = fi.histogram.moments(part, mask=given_mask)
        assert (seen.count, seen.min, seen.max) == (chosen.size, chosen.min(), chosen.max())
        assert seen.mean == pytest.approx(chosen.mean(dtype=np.float64), rel=1e-12)
        assert seen.var() == pytest.approx(chosen.var(dtype=np.float64), rel=1e-12)
        counts = Histogram.of(part, mask=given_mask, bins=37, range=(-10, 60))
        assert (counts.counts.tolist(), counts.below, counts.above) == twin.fixed(chosen, -10, 60, 37)[:3]
        if np.dtype(dtype).kind != "f":
            assert as_counts(Histogram.of(part, mask=given_mask)) == twin.integer(chosen)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("span", [(-1.1, 1.1), (1.1, 1.1 + 2**-40), (-1e300, 1e300)])
def test_fixed_bins_at_their_edges(put, dtype, span):
    """Borders and edges that float32 does not hold, its neighbours on both sides of each, and what is no number."""
    edges = np.linspace(*span, 100)
    with np.errstate(over="ignore"):
        edges = edges.astype(dtype)
        around = [edges, np.nextafter(edges, dtype(np.inf)), np.nextafter(edges, dtype(-np.inf))]
        values = np.concatenate([*around, np.array([np.nan, np.inf, -np.inf, 0, -0.0, 3e38, -3e38], dtype)])
    seen = Histogram.of(put(values), bins=99, range=span, nan="ignore")
    assert (seen.counts.tolist(), seen.below, seen.above, seen.skipped) == twin.fixed(values, *span, 99)


def test_values_beyond_the_busiest_bins(put):
    """A block counts a window of bins by itself; what lies on either side of it is counted too."""
    values = np.concatenate([values_of(np.int16, 30_000), np.linspace(-32768, 32767, 3001).astype(np.int16)])
    assert as_counts(Histogram.of(put(values))) == twin.integer(values)


@pytest.mark.parametrize("dtype", WHOLE + REAL)
def test_fixed_bins_on_every_device(put, dtype):
    values = values_of(dtype)
    seen = Histogram.of(put(values), bins=37, range=(-10, 60))
    counts, below, above, _ = twin.fixed(values, -10, 60, 37)
    assert (seen.counts.tolist(), seen.below, seen.above) == (counts, below, above)
    assert seen.count == values.size


@pytest.mark.parametrize("dtype", REAL)
def test_adaptive_bins_on_every_device(put, dtype):
    values = values_of(dtype)
    seen = Histogram.of(put(values), bins=500)
    width, counts = twin.adaptive(values, 500)
    assert seen.error == width
    assert as_counts(seen) == counts
    q = np.linspace(0, 1, 21)
    assert np.abs(seen.quantile(q) - np.quantile(values.astype(np.float64), q)).max() <= seen.error
    assert abs(seen.mean() - values.mean(dtype=np.float64)) <= seen.error / 2


@settings(max_examples=60, deadline=None)
@given(
    values=hnp.arrays(np.int16, st.integers(1, 9000), elements=st.integers(-32768, 32767)),
    threads=st.integers(1, 3),
    q=st.floats(0, 1),
)
def test_int16_is_exact_on_all_levels_and_threads(values, threads, q):
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen = Histogram.of(values, threads=threads)
        assert as_counts(seen) == twin.integer(values)
        assert seen.quantile(q) == np.quantile(values.astype(np.float64), q)


finite = {w: st.floats(-(2.0**60), 2.0**60, width=w, allow_subnormal=False) for w in (32, 64)}


@settings(max_examples=60, deadline=None)
@given(
    values=st.sampled_from([32, 64]).flatmap(
        lambda w: hnp.arrays(f"f{w // 8}", st.integers(1, 300), elements=finite[w])
    ),
    bins=st.sampled_from([1, 2, 7, 300, 65536]),
    at=st.floats(0, 1),
    data=st.data(),
)
def test_adaptive_histograms_merge_to_the_pooled_one(values, bins, at, data):
    if bins == 1 and values.min() < 0 <= values.max():
        return  # no width has zero inside a bin
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            pooled = Histogram.of(values, bins=bins)
    cut = data.draw(st.integers(0, values.size))
    one, two = Histogram.of(values[:cut], bins=bins), Histogram.of(values[cut:], bins=bins)
    assert one + two == pooled == two + one
    assert len(pooled.counts) <= bins
    exact = np.quantile(values.astype(np.float64), at, method="linear")
    assert abs(pooled.quantile(at) - exact) <= pooled.error + 1e-9 * abs(exact)


@pytest.mark.parametrize("tiny", [2.0**-1022, 5e-324])
def test_a_value_that_scaling_loses_keeps_its_side_of_zero(put, tiny):
    """2**-1022 / 2**53 is no number but 0."""
    values = np.array([2.0**52, -tiny, tiny, 0.0, -(2.0**52)])
    seen = Histogram.of(put(values), bins=4)
    below = int((-seen.origin) if seen.origin < 0 else 0)
    assert seen.counts[:below].sum() == 2
    assert seen.counts[below:].sum() == 3
    assert Histogram.of(put(values[:1]), bins=4) + Histogram.of(put(values[1:]), bins=4) == seen


@pytest.mark.parametrize("other", [1.3e-306, -1.3e-306, 1e-18, 7.0])
def test_zeros_alone_merge_with_any_value(other):
    zeros, rest = Histogram.of(np.zeros(3), bins=8), Histogram.of(np.array([other]), bins=8)
    assert zeros + rest == rest + zeros == Histogram.of(np.array([0.0, other, 0.0, 0.0]), bins=8)


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(hnp.arrays(np.int32, st.integers(0, 50), elements=st.integers(-3000, 3000)), min_size=1, max_size=5)
)
def test_whole_histograms_merge_in_any_order_and_their_range_grows(parts):
    pooled = Histogram.of(np.concatenate(parts))
    histograms = [Histogram.of(part) for part in parts]
    assert sum(histograms) == pooled
    assert sum(reversed(histograms)) == pooled


def test_a_chunk_of_more_than_a_million_values_is_split_and_added():
    values = np.random.default_rng(1).integers(-2000, 3000, 2_300_001).astype(np.int16)
    expected = np.bincount(values.astype(np.int64) + 2000)
    for threads in (1, 2, 3):
        seen = Histogram.of(values, threads=threads)
        np.testing.assert_array_equal(seen.counts, expected)


def test_masks_padding_and_leading_axes():
    array = np.arange(48, dtype=np.int16).reshape(2, 2, 3, 4)
    padding = np.zeros((2, 3, 4), bool)
    padding[0] = True
    image = fi.Image(array, dims=("t", "z", "y", "x"), padding=padding)
    mask = np.zeros((2, 3, 4), np.uint8)
    mask[:, 0] = 7
    assert as_counts(Histogram.of(image, mask=mask)) == twin.integer(array[:, 1, 0])
    assert Histogram.of(array, mask=np.zeros(array.shape, bool)).count == 0
    with pytest.raises(fi.errors.ArgumentError, match="mask: expected the image's shape"):
        Histogram.of(array, mask=np.ones((3, 4)))


def test_strided_big_endian_and_read_only_images():
    base = np.arange(240, dtype=np.int16).reshape(4, 6, 10)
    for array in (base[::2, ::-1, 1::3], base.astype(">i2"), base.T):
        view = array.view()
        view.flags.writeable = False
        assert as_counts(Histogram.of(view)) == twin.integer(array)


@pytest.mark.parametrize("dtype", REAL)
def test_nan_is_refused_or_left_out_by_choice(put, dtype):
    values = np.array([1, np.nan, 2, np.inf, 4, -np.inf], dtype)
    for options in ({}, {"bins": 4, "range": (0, 8)}):
        with pytest.raises(fi.errors.ArgumentError, match="3 voxels are NaN or infinite"):
            Histogram.of(put(values), **options)
        seen = Histogram.of(put(values), nan="ignore", **options)
        assert (seen.count, seen.skipped) == (3, 3)
    with pytest.raises(fi.errors.ArgumentError, match="NaN or infinite"):
        fi.histogram.quantile(put(values), 0.5)
    assert fi.histogram.quantile(put(values), [0, 0.5, 1], nan="ignore").tolist() == [1, 2, 4]
    with pytest.raises(fi.errors.ArgumentError, match="NaN or infinite"):
        fi.histogram.moments(put(values))
    assert fi.histogram.moments(put(values), nan="ignore").mean == pytest.approx(7 / 3)


@settings(max_examples=80, deadline=None)
@given(
    values=st.sampled_from([32, 64]).flatmap(
        lambda w: hnp.arrays(
            f"f{w // 8}", st.integers(1, 400), elements=st.floats(width=w, allow_nan=False, allow_infinity=False)
        )
    ),
    q=st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_quantiles_of_floats_are_numpys(values, q):
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.quantile(values.astype(np.float64), q)
        seen = fi.histogram.quantile(values, q)
    np.testing.assert_array_equal(seen, expected)


@settings(max_examples=40, deadline=None)
@given(
    values=hnp.arrays(np.float32, st.integers(1, 9000), elements=st.floats(-1e6, 1e6, width=32)),
    threads=st.integers(1, 3),
)
def test_moments_have_the_same_bits_on_all_levels_and_threads(values, threads):
    found = set()
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            found.add(fi.histogram.moments(values, threads=threads))
            found.add(fi.histogram.moments(values, mask=np.ones(values.shape, bool), threads=1))
    (seen,) = found
    wide = values.astype(np.float64)
    assert (seen.count, seen.min, seen.max) == (values.size, wide.min(), wide.max())
    scale = np.abs(wide).max()
    assert seen.mean == pytest.approx(wide.mean(), rel=1e-12, abs=1e-12 * scale)
    assert seen.var() == pytest.approx(wide.var(), rel=1e-11, abs=1e-20 * scale**2)


@pytest.mark.parametrize("dtype", WHOLE + REAL)
def test_moments_on_every_device(put, dtype):
    values = values_of(dtype)
    mask = values > 20
    seen = fi.histogram.moments(put(values), mask=put(mask))
    chosen = values[mask].astype(np.float64)
    assert (seen.count, seen.min, seen.max) == (chosen.size, chosen.min(), chosen.max())
    assert seen.mean == pytest.approx(chosen.mean(), rel=1e-12)
    assert seen.std(1) == pytest.approx(chosen.std(ddof=1), rel=1e-11)


def test_moments_of_a_large_offset_keep_their_digits():
    values = 1e9 + np.random.default_rng(0).normal(0, 1e-3, 200_000)
    assert fi.histogram.moments(values).var() == pytest.approx(np.var(values - 1e9), rel=1e-9)


def test_huge_and_tiny_floats():
    for values in ([1e300, -1e300, 3.0], [1e-300, 2e-300], [5.0, 5.0], [0.0], [-1e-30, 1e30]):
        seen = Histogram.of(np.array(values), bins=100)
        assert seen.count == len(values)
        assert seen.quantile([0, 1]).tolist() == pytest.approx([min(values), max(values)], abs=seen.error)


def test_dictionary_and_back_through_json():
    for histogram in (
        Histogram.of(np.int16([3, -2, 3])),
        Histogram.of(np.float32([0.1, 7.5])),
        Histogram.of(np.float32([0.1, 7.5, 99]), bins=4, range=(0, 8)),
        Histogram.of(np.zeros(0, np.int16)),
    ):
        again = Histogram.from_dict(json.loads(json.dumps(histogram.to_dict(), allow_nan=False)))
        assert again == histogram
        assert again + again == histogram + histogram


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"version": 2},
        {"kind": "strange"},
        {"counts": [-1]},
        {"counts": [[1]]},
        {"kind": "fixed", "low": 2, "high": 1},
        {"counts": "many"},
        {"exponent": 10**9},
        {"origin": 1 << 70},
        {"limit": 0},
    ],
)
def test_a_foreign_newer_or_damaged_record_is_refused(change):
    record = Histogram.of(np.int16([1, 2])).to_dict() | change
    with pytest.raises((fi.errors.FormatError, fi.errors.ArgumentError)):
        Histogram.from_dict(record)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Histogram.of(np.array([0, 1 << 30])), "need more than"),
        (lambda: Histogram.of(np.int16([1]), bins=3), "one bin a value"),
        (lambda: Histogram.of(np.int16([1]), bins=0, range=(0, 1)), "bins"),
        (lambda: Histogram.of(np.int16([1]), range=(1, 1)), "range"),
        (lambda: Histogram.of(np.int16([1])).quantile(1.5), r"\[0, 1\]"),
        (lambda: Histogram.of(np.zeros(0, np.int16)).quantile(0.5), "empty"),
        (lambda: Histogram.of(np.int16([1])) + Histogram.of(np.float32([1])), "cannot be added"),
        (lambda: Histogram.of(np.int16([1]), range=(0, 1)) + Histogram.of(np.int16([1]), range=(0, 2)), "same bins"),
        (lambda: Histogram.of(np.float32([1]), bins=5) + Histogram.of(np.float32([1]), bins=6), "limit"),
        (lambda: Histogram.of(np.complex64([1])), "real numbers"),
        (lambda: Histogram.of(np.float32([1]), nan="drop"), "nan"),
        (lambda: fi.histogram.quantile(np.zeros(0, np.float32), 0.5), "no finite value"),
    ],
)
def test_bad_arguments_are_refused(call, words):
    with pytest.raises(fi.errors.ArgumentError, match=words):
        call()


def test_rebinning_whole_numbers_equals_counting_into_fixed_bins():
    values = values_of(np.int16)
    seen = Histogram.of(values).rebin(13, (-20, 71))
    direct = Histogram.of(values, bins=13, range=(-20, 71))
    assert (seen.counts.tolist(), seen.below, seen.above) == (direct.counts.tolist(), direct.below, direct.above)


def awkward(kind, size, dtype):
    """Floats that a sample judges badly or well: many equal values, two far groups, one outlier, order, NaN."""
    rng = np.random.default_rng(7)
    values = {
        "noise": lambda: rng.normal(0, 1, size),
        "ties": lambda: np.where(rng.random(size) < 0.4, -1000, rng.normal(40, 20, size).round()),
        "constant": lambda: np.full(size, 3.5),
        "sorted": lambda: np.arange(size) / 7,
        "two": lambda: np.repeat([1e-20, 1e20], size // 2),
        "outlier": lambda: np.where(np.arange(size) == size // 3, 1e30, rng.gamma(2, 1, size)),
        "holes": lambda: np.where(np.arange(size) % 5 == 0, np.nan, rng.normal(0, 1, size)),
        "misled": lambda: np.where(np.arange(size) < size - 40, 0.0, np.arange(size)),
    }[kind]()
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("kind", ["noise", "ties", "constant", "sorted", "two", "outlier", "holes", "misled"])
def test_quantiles_of_many_floats_are_numpys(kind, dtype, isa):
    values = awkward(kind, 300_000, dtype)
    for q, mask in product(
        ([0, 1e-5, 0.25, 0.5, 0.9999, 1], np.linspace(0, 1, 9)), (None, np.arange(values.size) % 7 < 4)
    ):
        chosen = values if mask is None else values[mask]
        expected = np.nanquantile(chosen.astype(np.float64), q)
        for threads in (1, 2):
            seen = fi.histogram.quantile(values, q, mask=mask, nan="ignore", threads=threads)
            np.testing.assert_array_equal(seen, expected)
    if kind == "holes":
        with pytest.raises(fi.errors.ArgumentError, match="60000 voxels are NaN"):
            fi.histogram.quantile(values, 0.5)


def test_many_quantiles_of_few_values():
    values = np.random.default_rng(0).normal(0, 40, 41_000).round().astype(np.float32)
    q = np.linspace(0, 1, 101)
    np.testing.assert_array_equal(fi.histogram.quantile(values, q), np.quantile(values.astype(np.float64), q))


def test_a_sample_that_misleads_falls_back_to_keys(monkeypatch):
    from fastimg.histogram import _order

    values = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    monkeypatch.setattr(_order, "_sampled", lambda values, inside: np.sort(values[:5000]) + np.float32(9))
    asked = []
    by_keys = _order._by_keys
    monkeypatch.setattr(_order, "_by_keys", lambda *rest: asked.append(1) or by_keys(*rest))
    assert fi.histogram.quantile(values, 0.3) == np.quantile(values.astype(np.float64), 0.3)
    assert asked


@settings(max_examples=25, deadline=None)
@given(
    values=hnp.arrays(
        st.sampled_from([np.int8, np.uint8, np.int16, np.uint16]), st.integers(1, 3000), elements=st.integers(0, 127)
    ),
    stretch=st.sampled_from([1, -1, 13, 255]),
    threads=st.integers(1, 3),
    masked=st.booleans(),
)
def test_moments_of_small_integers_are_exact(values, stretch, threads, masked):
    values = (values.astype(np.int64) * stretch).astype(values.dtype)  # wraps: the whole range of the type
    mask = np.arange(values.size) % 3 > 0 if masked else None
    chosen = [int(v) for v in (values if mask is None else values[mask])]
    if not chosen:
        return
    count, total, squares = len(chosen), sum(chosen), sum(v * v for v in chosen)
    for level in fi.config.supported_isa():
        with fi.config.use(isa=level):
            seen = fi.histogram.moments(values, mask=mask, threads=threads)
        assert (seen.count, seen.min, seen.max) == (count, min(chosen), max(chosen))
        assert (seen.mean, seen.m2) == (total / count, (count * squares - total * total) / count)
