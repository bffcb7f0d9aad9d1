"""Differential privacy of a sum over patients: discrete Gaussian noise at every node, before the masks."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from .._arrays import finite
from ..errors import ArgumentError, MissingError
from ._mask import whole

__all__ = ["Privacy", "noise_bound", "variance_of"]

_FIELDS = struct.Struct("<ddB")
_LARGEST = 1 << 48  # variance in steps: the exact sampler's limit
_WRAP = 40  # bits: a coordinate of the sum leaves the modulus


@dataclass(frozen=True, slots=True)
class Privacy:
    """Differential privacy whose unit is the patient: two data sets are neighbours if one has one patient more.

    A node gives one row a patient. It clips each row to `l2`, rounds it, adds the rows and an exact discrete Gaussian, and
    masks. The noise is calibrated to the survivors who are certainly honest, threshold - colluding, not to all: what the
    others add is more than was promised.

    Parameters
    ----------
    l2 : float
        A row with a larger Euclidean norm is shortened to it (and counted in `Client.clipped`). In the vector's unit; with
        a range for each column, in ranges.
    noise_multiplier : float
        Deviation of the honest noise in units of what one patient can change, rounding included: a round is rho-zCDP with
        rho = 1 / (2 * noise_multiplier**2). `Privacy.for_budget` finds it.
    local : bool
        Every node's own noise is enough, and nobody else need be trusted to add any.

    Notes
    -----
    In steps of the fixed point, for vectors of d values and h honest survivors with variance v each:

    - one patient changes the sum by at most D = l2 / step + sqrt(d) / 2 in norm: 1/2 a coordinate by rounding;
    - a sum of h discrete Gaussians is not one: eps = D / sqrt(h v) + tau sqrt(d) with tau = 10 sum_{k<h} exp(-2 pi^2 v k /
      (k + 1)), and the sum is eps^2 / 2 - zCDP (P. Kairouz, Z. Liu, T. Steinke, The Distributed Discrete Gaussian
      Mechanism, ICML 2021, proposition 14); v is the least whole number for which eps <= 1 / noise_multiplier;
    - the sum is taken modulo 2**k after the noise: wrapping is post-processing and costs no privacy; k is so large that
      a coordinate wraps with probability below 2**-40.

    The number of patients at a node does not travel with the sum. Noise that is not calibrated like this, or rounding of
    counts, is obfuscation and not privacy. The sampler's time depends on what it draws.

    Examples
    --------
    >>> import fastimg as fi
    >>> fi.secagg.Privacy(l2=1.0, noise_multiplier=4.0)
    Privacy(l2=1.0, noise_multiplier=4.0, local=False)
    """

    l2: float
    noise_multiplier: float
    local: bool = False

    def __post_init__(self) -> None:
        for name in ("l2", "noise_multiplier"):
            if finite(name, getattr(self, name)) <= 0:
                raise ArgumentError(f"{name}: must be above 0")
        if not isinstance(self.local, bool):
            raise ArgumentError("local: True or False")

    @classmethod
    def for_budget(cls, epsilon: float, delta: float, *, l2: float, rounds: int = 1, local: bool = False) -> Privacy:
        """The least noise for which `rounds` rounds together are (epsilon, delta)-private.

        Needs the extra `dp` (dp-accounting).

        Raises
        ------
        ArgumentError
            A budget that is not above 0, a delta outside 0 to 1, or a budget that no noise meets.
        """
        dp = _dp_accounting()
        if finite("epsilon", epsilon) <= 0 or not 0 < finite("delta", delta) < 1:
            raise ArgumentError("epsilon: above 0; delta: between 0 and 1")
        whole("rounds", rounds, 1, 1 << 20)

        def spent(multiplier: float) -> float:
            return cls(l2, multiplier, local).spent(delta, rounds)

        low, high = 1e-3, 1e6
        if spent(high) > epsilon:
            raise ArgumentError("epsilon: no noise is enough for so little")
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (low, middle) if spent(middle) <= epsilon else (middle, high)
        assert dp
        return cls(
            l2,
            float(f"{high * (1 + 1e-6):.6g}") if spent(float(f"{high:.6g}")) > epsilon else float(f"{high:.6g}"),
            local,
        )

    def spent(self, delta: float, rounds: int = 1) -> float:
        """epsilon of so many rounds, by dp-accounting (the extra `dp`); a round is one event of zero-concentrated DP.

        At this `delta`.
        """
        dp = _dp_accounting()
        accountant = dp.rdp.RdpAccountant(neighboring_relation=dp.NeighboringRelation.ADD_OR_REMOVE_ONE)
        accountant.compose(self.event(), whole("rounds", rounds, 1, 1 << 20))
        return float(accountant.get_epsilon(delta))

    def event(self) -> Any:
        """One round as a `dp_accounting.DpEvent`, to be composed with others of the same patients."""
        return _dp_accounting().ZCDpEvent(1 / (2 * self.noise_multiplier**2))

    def to_bytes(self) -> bytes:
        """What all nodes of a round must state alike."""
        return _FIELDS.pack(self.l2, self.noise_multiplier, self.local)


def _dp_accounting() -> Any:
    try:
        import dp_accounting
        import dp_accounting.rdp
    except ImportError:
        raise MissingError("Privacy: accounting needs the package dp-accounting: pip install 'fastimg[dp]'") from None
    return dp_accounting


def variance_of(privacy: Privacy, honest: int, length: int, scale: float) -> int:
    """Each node's variance in steps: the least whole number that is enough with `honest` nodes (1: local)."""
    sensitivity = privacy.l2 * scale * (1 + 2.0**-30) + math.sqrt(length) / 2
    wanted = 1 / privacy.noise_multiplier

    def enough(variance: int) -> bool:
        tau = 0.0 if honest == 1 else 10 * (honest - 1) * math.exp(-(math.pi**2) * variance)  # k / (k + 1) >= 1 / 2
        return sensitivity / math.sqrt(honest * variance) + tau * math.sqrt(length) <= wanted

    if not enough(_LARGEST):
        raise ArgumentError("privacy: so much noise at so fine a step cannot be drawn: use fewer bits")
    low, high = 1, _LARGEST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def noise_bound(variance: int, n: int, length: int) -> int:
    """Steps that a coordinate of n nodes' noise exceeds with probability below 2**-40, over all coordinates.

    A discrete Gaussian is subgaussian with its variance parameter (Canonne, Kamath, Steinke 2020, corollary 17).
    """
    return math.ceil(math.sqrt(2 * n * variance * (math.log(2 * length) + _WRAP * math.log(2))))
