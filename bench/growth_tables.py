"""Growth of what works on feature tables, regions and sums: ComBat and its kinds, radiomics, secure aggregation.

A cube is a table of as many columns as its edge has voxels, four batches in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from bench_radiomics import SPACING, WIDTH, pyradiomics_of
from bench_secagg import BITS, CLIP, idiom
from growth import SMALL, Kernel, levels_of, relative
from scipy import ndimage, stats

import fastimg as fi
from fastimg.testing import harmonize as twin
from fastimg.testing import radiomics as plain
from fastimg.testing import secagg as masked

Work = Callable[[], Any]


def table(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features that differ in level and spread by batch."""
    x = v.reshape(-1, v.shape[-1]).astype(np.float64)
    batch = np.arange(len(x)) % 4
    return x * (1 + batch / 4)[:, None] + batch[:, None] + np.linspace(1, 9, x.shape[1]), batch


def combat(v: np.ndarray) -> Work:
    x, batch = table(v)
    return lambda: fi.harmonize.ComBat().fit_transform(x, batch=batch)


def combat_pycombat(v: np.ndarray) -> Work:
    peer = pytest.importorskip("pycombat", reason="peer pycombat is not installed")
    x, batch = table(v)
    return lambda: peer.Combat().fit_transform(x, batch)


def doses(v: np.ndarray) -> dict[str, np.ndarray]:
    batch = table(v)[1]
    return {"scanner": batch, "dose": np.arange(len(batch)) // 4 % 2}


def nested(v: np.ndarray) -> Work:
    x, both = table(v)[0], doses(v)
    return lambda: fi.harmonize.NestedComBat().fit_transform(x, batch=both)


def nested_by_hand(v: np.ndarray) -> np.ndarray:
    """Every order by the twin; the first with the fewest of SciPy's p values below 0.05."""
    x, both, tried = table(v)[0], doses(v), []
    for order in permutations(both):
        clean = x
        for name in order:
            clean = twin.combat(clean, both[name])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # p values at the ends of SciPy's table
            groups = (
                [clean[b == level, f] for level in np.unique(b)] for b in both.values() for f in range(x.shape[1])
            )
            tried.append((sum(stats.anderson_ksamp(g).pvalue < 0.05 for g in groups), len(tried), clean))
    return min(tried)[2]


def visits(v: np.ndarray) -> dict[str, np.ndarray]:
    """Two rows of each subject, in two batches."""
    x, batch = table(v)
    subject = np.arange(len(x)) // 2
    own = np.random.default_rng(0).normal(size=(subject[-1] + 1, x.shape[1]))
    return {"X": x + own[subject], "batch": batch, "subject": subject}


def longitudinal(v: np.ndarray) -> Work:
    rows = visits(v)
    return lambda: fi.harmonize.LongitudinalComBat().fit_transform(**rows)


def longitudinal_by_hand(v: np.ndarray) -> np.ndarray:
    """Beer et al. 2020 on the mixed model of statsmodels."""
    sm = pytest.importorskip("statsmodels.api", reason="statsmodels, the reference, is not installed")
    x, batch, subject = visits(v).values()
    member = (batch[:, None] == np.arange(4)).astype(float)
    predicted, effect, sigma = np.empty_like(x), np.empty((4, x.shape[1])), np.empty(x.shape[1])
    for f, column in enumerate(x.T):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = sm.MixedLM(column, member, groups=subject).fit(reml=True, gtol=1e-10)
        own = np.array([fit.random_effects[s].iloc[0] for s in np.unique(subject)])
        predicted[:, f] = member @ fit.fe_params + own[subject]
        effect[:, f] = fit.fe_params - member.mean(0) @ fit.fe_params
        sigma[f] = np.sqrt(fit.scale)
    z = (x - predicted + effect[batch]) / sigma
    n = member.sum(0)[:, None]
    gamma = np.array([z[batch == k].mean(0) for k in range(4)])
    delta = np.array([z[batch == k].var(0, ddof=1) for k in range(4)])
    tau, mean, spread = gamma.var(1, ddof=1), delta.mean(1), delta.var(1, ddof=1)
    a, b = ((mean**2 + 2 * spread) / spread)[:, None], ((mean**3 + mean * spread) / spread)[:, None]
    g, d = gamma.copy(), delta.copy()
    for _ in range(500):
        g = (n * tau[:, None] * gamma + d * gamma.mean(1)[:, None]) / (n * tau[:, None] + d)
        misfit = np.array([np.square(z[batch == k] - g[k]).sum(0) for k in range(4)])
        d = (b + misfit / 2) / (n / 2 + a - 1)
    return sigma / np.sqrt(d[batch]) * (z - g[batch]) + predicted - effect[batch]


def region(v: np.ndarray) -> tuple[fi.Image, np.ndarray]:
    """A ball: PyRadiomics compares each voxel of a surface with each other one."""
    far = sum(
        np.square(place - (n - 1) / 2) for place, n in zip(np.ogrid[tuple(map(slice, v.shape))], v.shape, strict=True)
    )
    mask = (far < (0.4 * len(v)) ** 2).astype(np.uint8)
    return fi.Image(np.rint(v * 100).astype(np.int16), spacing=SPACING), mask


def noise_by_hand(v: np.ndarray) -> float:
    """The median of the finest diagonal band of each slice, periodic, by SciPy."""
    high, band = fi.filtering.wavelet_filters("coif1")[1], v.astype(np.float64)
    for axis in (1, 2):
        band = ndimage.convolve1d(band, high, axis, mode="wrap")
    return np.median(np.abs(band)) / 0.6745


SETTINGS = {"bin_width": WIDTH, "compat": "pyradiomics"}


def features(v: np.ndarray) -> Work:
    image, mask = region(v)
    settings = fi.radiomics.Settings(**SETTINGS)
    return lambda: fi.radiomics.extract(image, mask, settings)


def features_pyradiomics(v: np.ndarray) -> Work:
    return pyradiomics_of(*region(v))


def entropy_maps(v: np.ndarray) -> Work:
    image, mask = region(v)
    settings = fi.radiomics.Settings(**SETTINGS, families=["glcm"])
    return lambda: fi.radiomics.maps(image, mask, settings)["original_glcm_JointEntropy"].array[3:7, 3:7, 3:7]


def entropy_by_hand(v: np.ndarray) -> np.ndarray:
    """Of the window around each voxel: pairs counted one by one, both ways, the mean over the 13 directions.

    A map begins a voxel before the region's box: of a ball in 16^3, at voxel 1.
    """
    image, mask = region(v)
    levels = np.where(mask, image.array // WIDTH - (image.array[mask > 0] // WIDTH).min() + 1, 0)
    out = np.zeros((4, 4, 4))
    for place in np.ndindex(out.shape):
        if not mask[tuple(p + 4 for p in place)]:
            continue
        window = levels[tuple(slice(p + 3, p + 6) for p in place)]
        pairs = [one + one.T for one in plain.cooccurrences(window) if one.any()]
        shares = [(one / one.sum())[one > 0] for one in pairs]
        out[place] = np.mean([-(p * np.log2(p)).sum() for p in shares])
    return out


def counts(function: Callable[[np.ndarray], Any], by_hand: Callable[[np.ndarray], Any]) -> Kernel:
    """What is counted over grey levels, beside the same counted slowly."""
    make = lambda v: (lambda q: lambda: function(q))(levels_of(v))  # noqa: E731
    return Kernel(make, moved=4, shrink=2, reference=lambda v: by_hand(levels_of(v)), checked=12)


def tallied(found: list[tuple[int, int, int]]) -> np.ndarray:
    """Entries (level, size or distance, zones), by size and then by distance, as `zone_tallies` has them."""
    parts = [np.unique([(zone[0], zone[k]) for zone in found], axis=0, return_counts=True) for k in (1, 2)]
    return np.vstack([np.column_stack([keys, counts]) for keys, counts in parts])


def sorted_rows(parts: tuple[Any, Any]) -> np.ndarray:
    tables = (np.column_stack([np.asarray(column) for column in part]) for part in parts)
    return np.vstack([rows[np.lexsort(rows.T[::-1])] for rows in tables])


def masks(v: np.ndarray) -> Work:
    vector, out = v.reshape(-1), np.empty(v.size, np.uint32)
    return lambda: fi.secagg.mask(vector, *SEEDS, bits=BITS, clip=CLIP, out=out)


SEEDS = [bytes([n]) * 16 for n in range(4)], [1, -1, 1, -1]


def masks_idiom(v: np.ndarray) -> Work:
    vector, out = v.reshape(-1), np.empty(v.size, np.uint32)
    return lambda: idiom(vector, *SEEDS, out)


def rounds(v: np.ndarray) -> Work:
    """Four clients and a server."""
    steps = np.rint(v.reshape(-1) * 100).astype(np.int64)

    def work():
        clients = {i: fi.secagg.Client(i, steps, n=4, bits=24) for i in range(4)}
        server = fi.secagg.Server(n=4, length=steps.size)
        for client in clients.values():
            server.receive(client.start())
        for _ in range(3):
            for node, message in server.advance().items():
                server.receive(clients[node].receive(message))
        return server.result()[0]

    return work


KERNELS = {
    "ComBat, a row of features a subject": Kernel(
        combat, combat_pycombat, "pycombat", 16, 2, lambda v: twin.combat(*table(v))
    ),
    "CovBat": Kernel(
        lambda v: (lambda t: lambda: fi.harmonize.CovBat().fit_transform(t[0], batch=t[1]))(table(v)),
        moved=16,
        shrink=SMALL,
        reference=lambda v: twin.covbat(*table(v)),
    ),
    "nested ComBat, two batches": Kernel(nested, moved=16, shrink=SMALL, reference=nested_by_hand, checked=16),
    "longitudinal ComBat": Kernel(longitudinal, moved=16, shrink=SMALL, reference=longitudinal_by_hand, checked=8),
    "radiomics, PyRadiomics' 107 features": Kernel(
        features, features_pyradiomics, "PyRadiomics", 3, SMALL, error=relative
    ),
    "radiomics, voxel-based GLCM": Kernel(entropy_maps, moved=7, shrink=8, reference=entropy_by_hand, checked=16),
    "cooccurrences of 8 grey levels": counts(fi.radiomics.cooccurrences, plain.cooccurrences),
    "run lengths of 8 grey levels": counts(fi.radiomics.run_lengths, plain.run_lengths),
    "dependences of 8 grey levels": counts(fi.radiomics.dependences, plain.dependences),
    "zones of 8 grey levels": counts(lambda q: np.column_stack(fi.radiomics.zones(q)), plain.zones),
    "zones of 8 grey levels, tallied": counts(
        lambda q: sorted_rows(fi.radiomics.zone_tallies(q)), lambda q: tallied(plain.zones(q))
    ),
    "noise level": Kernel(
        lambda v: lambda: {"noise": fi.radiomics.noise_level(fi.Image(v))},
        moved=4,
        shrink=2,
        reference=lambda v: {"noise": noise_by_hand(v)},
        error=relative,
    ),
    "secure aggregation, 4 masks": Kernel(
        masks,
        masks_idiom,
        "OpenSSL, numpy",
        reference=lambda v: masked.mask(v.reshape(-1), *SEEDS, bits=BITS, clip=CLIP),
    ),
    "secure aggregation, a round of 4 clients": Kernel(
        rounds, moved=64, shrink=2, reference=lambda v: 4 * np.rint(v.reshape(-1) * 100)
    ),
}
