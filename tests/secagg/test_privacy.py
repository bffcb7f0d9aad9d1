"""Differential privacy: the exact sampler, its calibration against exact divergences and dp-accounting, rounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastimg as fi
from fastimg.errors import ArgumentError, RefusedError
from fastimg.secagg import Privacy, _native, _privacy
from fastimg.secagg._values import terms_of
from fastimg.testing import secagg as twin

from .rounds import make, play

SEED = bytes(range(32))


@settings(max_examples=25, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), variance=st.one_of(st.integers(1, 50), st.integers(1, 2**48)))
def test_the_sampler_is_its_twin(seed, variance):
    assert _native.noise(seed, variance, 40).tolist() == twin.discrete_gaussian(seed, variance, 40)


@pytest.mark.parametrize("variance", [1, 2, 7, 400])
def test_goodness_of_fit(variance):
    """Chi-square over all values that 5 draws are expected of, the tails in one."""
    drawn, n = _native.noise(SEED, variance, 200_000), 200_000
    reach = math.ceil(8 * math.sqrt(variance)) + 5
    support = np.arange(-reach, reach + 1)
    weights = np.exp(-(support.astype(float) ** 2) / (2 * variance))
    expected = n * weights / weights.sum()
    seen = np.bincount(np.clip(drawn, -reach, reach) + reach, minlength=2 * reach + 1)
    likely = expected >= 5
    cells = np.append(expected[likely], expected[~likely].sum())
    counts = np.append(seen[likely], seen[~likely].sum())
    statistic = ((counts - cells) ** 2 / np.maximum(cells, 1)).sum()
    degrees = len(cells) - 1
    assert statistic < degrees + 5 * math.sqrt(2 * degrees) + 10
    assert abs(drawn.mean()) < 5 * math.sqrt(variance / n)


def test_draws_are_independent_of_their_neighbours():
    drawn = _native.noise(SEED, 100, 100_000).astype(float)
    for lag in (1, 2, 64, 2048):
        assert abs(np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]) < 5 / math.sqrt(100_000)


def _sum_of(honest, variance):
    """The exact distribution of a sum of discrete Gaussians, by repeated convolution."""
    reach = math.ceil(12 * math.sqrt(variance)) + 2
    one = np.exp(-(np.arange(-reach, reach + 1).astype(float) ** 2) / (2 * variance))
    one /= one.sum()
    total = one
    for _ in range(honest - 1):
        total = np.convolve(total, one)
    return total


@pytest.mark.parametrize("honest", [1, 2, 3, 11])
@pytest.mark.parametrize("multiplier", [0.5, 2.0])
def test_the_bound_holds_for_the_exact_divergence_of_a_sum(honest, multiplier):
    """Renyi divergences of the sum and its shift, for a patient who moves one coordinate by all that is allowed."""
    privacy = Privacy(l2=3.0, noise_multiplier=multiplier)
    variance = _privacy.variance_of(privacy, honest, 1, 1.0)
    total = _sum_of(honest, variance)
    shift = math.floor(3.0 + 0.5)
    p, q = total[shift:], total[:-shift]
    keep = (p > 1e-200) & (q > 1e-200)
    for order in (1.5, 2.0, 4.0, 16.0):
        logs = order * np.log(p[keep]) + (1 - order) * np.log(q[keep])
        divergence = (logs.max() + np.log(np.exp(logs - logs.max()).sum())) / (order - 1)
        assert divergence <= order / (2 * multiplier**2) * (1 + 1e-9)


def test_a_sum_of_few_coarse_discrete_gaussians_needs_more_than_a_gaussian_would():
    """With variance 1 at each node tau matters: the naive count would take less."""
    many = Privacy(l2=1e-3, noise_multiplier=400.0)
    variance = _privacy.variance_of(many, 30, 10_000, 1.0)
    naive = math.ceil(((1e-3 + 50) * 400.0) ** 2 / 30)
    assert variance >= naive
    coarse = _privacy.variance_of(Privacy(l2=1.0, noise_multiplier=0.01), 30, 4, 1.0)
    assert coarse == 1
    assert _privacy.variance_of(Privacy(l2=1.0, noise_multiplier=1.3), 30, 4, 1.0) >= 1


@given(l2=st.floats(0.1, 100), multiplier=st.floats(0.2, 20), honest=st.integers(1, 50), length=st.integers(1, 10**6))
def test_the_variance_is_the_least(l2, multiplier, honest, length):
    privacy = Privacy(l2=l2, noise_multiplier=multiplier)
    variance = _privacy.variance_of(privacy, honest, length, 1000.0)

    def epsilon(v):
        sensitivity = l2 * 1000.0 * (1 + 2.0**-30) + math.sqrt(length) / 2
        tau = 10 * (honest - 1) * math.exp(-(math.pi**2) * v)
        return sensitivity / math.sqrt(honest * v) + tau * math.sqrt(length)

    assert epsilon(variance) <= 1 / multiplier
    assert variance == 1 or epsilon(variance - 1) > 1 / multiplier


def test_the_budget_is_dp_accountings():
    dp = pytest.importorskip("dp_accounting", reason="dp-accounting is not installed")
    from dp_accounting import rdp

    privacy = Privacy.for_budget(1.0, 1e-6, l2=2.0, rounds=5)
    spent = privacy.spent(1e-6, 5)
    assert 0.999 < spent <= 1.0
    accountant = rdp.RdpAccountant()
    accountant.compose(dp.GaussianDpEvent(privacy.noise_multiplier), 5)  # zCDP is what a Gaussian has
    assert accountant.get_epsilon(1e-6) == pytest.approx(spent, rel=1e-9)
    rho = 5 / (2 * privacy.noise_multiplier**2)
    assert spent <= rho + 2 * math.sqrt(rho * math.log(1e6))  # Bun and Steinke 2016, proposition 1.3
    for bad in ({"epsilon": 0, "delta": 1e-6}, {"epsilon": 1, "delta": 0}, {"epsilon": 1, "delta": 1}):
        with pytest.raises(ArgumentError):
            Privacy.for_budget(**bad, l2=1.0)


def test_the_discrete_gaussian_of_one_node_is_dp_accountings():
    """local=True against the exact privacy loss of one discrete Gaussian: ours is never below it."""
    pytest.importorskip("dp_accounting", reason="dp-accounting is not installed")
    from dp_accounting.pld import privacy_loss_distribution as pld

    privacy = Privacy(l2=1.0, noise_multiplier=2.0, local=True)
    variance = _privacy.variance_of(privacy, 1, 1, 4.0)
    exact = pld.from_discrete_gaussian_mechanism(math.sqrt(variance), 4).get_epsilon_for_delta(1e-5)
    assert exact <= privacy.spent(1e-5)


def rows_of(n, patients=40, length=6, seed=0):
    rng = np.random.default_rng(seed)
    return {i: rng.normal(size=(patients, length)) for i in range(n)}


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("local", [False, True])
def test_a_round_with_noise(active, local):
    rows = rows_of(5)
    privacy = Privacy(l2=1.5, noise_multiplier=2.0, local=local)
    clients, server = make(rows, active=active, bits=24, clip=100.0, privacy=privacy)
    value, survivors = play(clients, server, {1: 2})
    assert survivors == [0, 2, 3, 4]
    clipped = {i: r * np.minimum(1, 1.5 / np.linalg.norm(r, axis=1))[:, None] for i, r in rows.items()}
    true = sum(clipped[i].sum(axis=0) for i in survivors)
    terms = clients[0]._terms
    honest = 1 if local else terms.least(5) - terms.colluding
    scale = (2**23 - 1) / 100.0
    deviation = math.sqrt(4 * _privacy.variance_of(privacy, honest, 6, scale)) / scale
    assert deviation >= 2.0 * 1.5
    error = value - true
    assert (np.abs(error) < 6 * deviation).all()
    assert np.abs(error).max() > deviation / 50  # there is noise
    assert clients[0].clipped == int((np.linalg.norm(rows[0], axis=1) > 1.5).sum())


def test_noise_is_for_the_honest_survivors_that_the_threshold_promises():
    privacy = Privacy(l2=1.0, noise_multiplier=1.0)
    rows = rows_of(30, 2)
    clients, _ = make(rows, active=True, bits=20, clip=50.0, privacy=privacy)
    terms = clients[0]._terms
    assert (terms.threshold, terms.colluding, terms.least(30) - terms.colluding) == (20, 9, 11)


def test_one_patient_moves_the_steps_by_no_more_than_stated():
    rng = np.random.default_rng(3)
    for _ in range(50):
        rows = rng.normal(0, 10.0 ** rng.integers(-3, 4), (6, 9))
        privacy = Privacy(l2=0.7, noise_multiplier=1.0)
        common = {"graph": (0, 2, 0), "bits": 16, "clip": 5.0, "rounding": "nearest", "modular": False}
        options = common | {"privacy": privacy, "request": b"", "prg": "chacha20", "active": False}
        steps = []
        for part in (rows, rows[1:]):
            terms = terms_of(part, 3, **options)
            steps.append(fi.secagg._values.Values(part, terms, 5.0, privacy)._words)
        scale = (2**15 - 1) / 5.0
        assert np.linalg.norm((steps[0] - steps[1]).astype(float)) <= 0.7 * scale + math.sqrt(9) / 2 + 1e-6


def test_noise_has_its_variance_in_a_round():
    privacy = Privacy(l2=1.0, noise_multiplier=0.5)
    rows = {i: np.zeros((1, 4000)) for i in range(3)}
    clients, server = make(rows, bits=16, clip=50.0, privacy=privacy, threshold=2, colluding=1)
    value, _ = play(clients, server)
    scale = (2**15 - 1) / 50.0
    variance = 3 * _privacy.variance_of(privacy, 3 - 1, 4000, scale) / scale**2
    assert clients[0]._terms.least(3) == 3
    assert abs(value.var() / variance - 1) < 5 * math.sqrt(2 / 4000)
    assert value.std() >= 0.5 * (1.0 + math.sqrt(4000) / 2 / scale)


def test_wrapping_is_bounded():
    """The noise of all nodes stays within the bound from which the modulus is made."""
    for variance in (3, 1000):
        bound = _privacy.noise_bound(variance, 4, 1000)
        total = sum(_native.noise(bytes([i]) * 32, variance, 100_000) for i in range(4))
        assert np.abs(total).max() < bound
    tail = _sum_of(2, 50)
    reach = _privacy.noise_bound(50, 2, 1)
    assert tail[: max(len(tail) // 2 - reach, 0)].sum() * 2 < 2.0**-40


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"privacy": 1}, "privacy"),
        ({"rounding": "stochastic"}, "nearest"),
        ({"vector": np.ones(3)}, "row a patient"),
        ({"vector": np.ones((2, 3), np.int64), "bits": 8, "clip": None}, "floats"),
        ({"threshold": 2, "colluding": 3, "n": 4}, "above colluding"),
        ({"bits": 50, "privacy": Privacy(l2=1e6, noise_multiplier=50.0)}, "fewer bits"),
    ],
)
def test_arguments(options, words):
    arguments = {
        "vector": np.ones((2, 3)),
        "n": 4,
        "bits": 20,
        "clip": 9.0,
        "privacy": Privacy(l2=1.0, noise_multiplier=1.0),
    }
    arguments |= options
    with pytest.raises(ArgumentError, match=words):
        fi.secagg.Client(0, arguments.pop("vector"), **arguments)
    for bad in ({"l2": 0}, {"noise_multiplier": -1}, {"l2": math.nan}, {"local": 1}):
        with pytest.raises(ArgumentError):
            Privacy(**({"l2": 1.0, "noise_multiplier": 1.0} | bad))


def test_other_privacy_is_refused():
    rows = rows_of(3, 2)
    one = fi.secagg.Client(0, rows[0], n=3, bits=20, clip=9.0, privacy=Privacy(l2=1.0, noise_multiplier=1.0))
    other = fi.secagg.Client(1, rows[1], n=3, bits=20, clip=9.0, privacy=Privacy(l2=1.0, noise_multiplier=0.1))
    server = fi.secagg.Server(n=3, length=6)
    server.receive(one.start())
    with pytest.raises(RefusedError, match="other terms"):
        server.receive(other.start())
