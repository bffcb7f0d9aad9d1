"""Federated Nyul landmarks: the bits of a pooled fit, whatever lies where."""

from __future__ import annotations

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import RefusedError
from fastimg.federated import Federation, Node, Policy
from fastimg.harmonize import Nyul


@pytest.fixture(scope="module")
def scanners(tmp_path_factory):
    """([path], [(scanner, image, mask)]): each scanner's images lie at two nodes or more, each node has two scanners."""
    rng = np.random.default_rng(3)
    folder, paths, pooled = tmp_path_factory.mktemp("nyul"), [], []
    for site in range(3):
        cohort = fi.Cohort.create(folder / f"n{site}")
        for i in range(10):
            scanner = ["GE", "Siemens", "Philips"][(i + site) % (3 if site == 1 else 2)]
            gain = {"GE": 3.7, "Siemens": 900.0, "Philips": 1e-3}[scanner]
            voxels = rng.gamma(3, gain, (4, 6, 7))
            voxels = np.round(voxels).astype(np.int16) if scanner == "Siemens" else voxels.astype(np.float32)
            mask = (rng.random(voxels.shape) < 0.6).astype(np.uint8)
            masks = {"brain": fi.Image(mask)} if i else {}
            metadata = {"scanner": scanner, "subject": f"p{site}-{i // 2}"}
            cohort.add(f"c{i}", fi.Image(voxels), masks=masks, metadata=metadata)
            pooled.append((scanner, voxels, masks and mask))
        paths.append(cohort.path)
    return paths, pooled


@pytest.fixture
def fed(scanners, tmp_path):
    policy = Policy(min_cases=2, computations=("nyul",))
    return Federation.local([Node(p, policy, log=tmp_path / f"{k}") for k, p in enumerate(scanners[0])])


@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("scanner", [None, "GE"])
@pytest.mark.parametrize("mask", [None, "brain"])
@pytest.mark.parametrize(
    "options", [{}, {"low": 2.0, "high": 98.0, "inner": [25.0, 50.0], "scale": (-3.0, 1e6)}], ids=str
)
def test_the_standard_scale_has_the_bits_of_a_pooled_fit(fed, scanners, secure, scanner, mask, options):
    own = [(v, m) for s, v, m in scanners[1] if scanner in (None, s) and (mask is None or len(m))]
    pooled = Nyul(**options).fit([v for v, _ in own], masks=[m if mask else None for _, m in own])
    where = {} if scanner is None else {"where": {"scanner": scanner}}
    r = fed.run("nyul", mask=mask, secure=secure, **options, **where)
    assert r.value.to_dict() == pooled.to_dict()
    assert r.value.standard.tobytes() == pooled.standard.tobytes()
    image = own[0][0]
    assert r.value.transform(image).tobytes() == pooled.transform(image).tobytes()
    assert f"{len(own)} images" in r.privacy[-1]


def test_flat_and_broken_images_are_left_out_and_counted(scanners, tmp_path):
    policy, nodes = Policy(min_cases=1, computations=("nyul", "histogram")), []
    for site in range(3):
        cohort = fi.Cohort.create(tmp_path / f"c{site}")
        for i in range(4):
            voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4) * (i + 1) * (i != 2)
            cohort.add(f"c{i}", fi.Image(voxels), metadata={"subject": f"p{i}"})
        nodes.append(Node(cohort, policy))
    victim = next(
        p for p in sorted((tmp_path / "c1").rglob("*")) if p.is_file() and "c3" in str(p) and "manifest" not in p.name
    )
    victim.write_bytes(b"\xff" * victim.stat().st_size)
    fed = Federation.local(nodes)
    r = fed.run("nyul")
    assert r.value.count == 8
    assert "3 images without contrast or with NaN and 1 that could not be read were left out." in r.privacy[-1]
    counted = fed.run("histogram", bins=4, range=(0, 100)).value
    assert (counted["cases"], counted["broken"]) == (11, 1)


def test_too_few_patients_or_percentiles_out_of_order(fed, scanners, tmp_path):
    with pytest.raises(RefusedError, match="rule min_cases"):
        strict = Policy(min_cases=6, computations=("nyul",))
        Federation.local([Node(p, strict, log=tmp_path / f"s{k}") for k, p in enumerate(scanners[0])]).run("nyul")
    with pytest.raises(fi.errors.ArgumentError, match="percentiles must increase"):
        fed.run("nyul", low=20.0)
