"""A manifest whose checksum is right and whose content is not: an error that names it, one damaged case, no wrong file."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastimg as fi
from fastimg.cohort._case import MANIFEST, read_manifest
from fastimg.cohort._manifest import CASE, pack
from fastimg.errors import ArgumentError, IntegrityError

OPTIONAL = {"fastimg"}  # of the body: who wrote it
LATER = {"levels", "chunks_crc32c", "series"}  # manifests of before have them not
SERIES = {"series": "c0de", "modality": "CT", "kind": "image", "image": None}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    c = fi.Cohort.create(tmp_path_factory.mktemp("schema") / "c")
    image = fi.Image(np.arange(4096, dtype=np.int16).reshape(16, 16, 16))
    for name in "ab":
        padded = fi.Image(image.array, padding=image.array < 9)
        found = [fi.Finding("lossy", "JPEG", "series 1")]
        masks = {"m": image.array > 90}
        c.add(name, padded, masks, {"site": "A"}, source=name, findings=found, series=[SERIES], levels=2)
    return c


def places(node, at=()):
    """Each value of a manifest that its schema speaks of."""
    for key, value in node.items():
        if at[-1:] not in (("metadata",), ("provenance",), ("coords",), ("codec",)) and key not in OPTIONAL:
            yield (*at, key)
            if isinstance(value, dict):
                yield from places(value, (*at, key))


def changed(body, place, value=None, *, gone=False):
    body = copy.deepcopy(body)
    node = body
    for key in place[:-1]:
        node = node[key]
    if gone:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return body


def check(cohort, body, words="does not fit its schema"):
    """Case b is damaged and says so wherever it is met; case a is read as before."""
    file = cohort.path / "cases" / "b" / MANIFEST
    good = file.read_bytes()
    file.write_bytes(pack(CASE, body))
    try:
        with pytest.raises(IntegrityError, match=words):
            fi.Cohort.open(cohort.path)["b"]
        report = fi.Cohort.open(cohort.path).verify(full=True)
        assert {(f.code, f.where) for f in report.findings} == {("case-damaged", "b")}
        assert fi.Cohort.open(cohort.path)["a"].image().array.sum() == 4096 * 4095 // 2
    finally:
        file.write_bytes(good)


def refused(body, words="does not fit its schema"):
    with pytest.raises(IntegrityError, match=f"case b: .*{words}"):
        read_manifest("b", pack(CASE, body))


def test_each_field_that_is_missing_or_of_another_type_is_told(cohort):
    body = cohort["b"].manifest
    assert read_manifest("b", pack(CASE, body)) == body
    seen = 0
    for place in places(body):
        mask, file = (place[0] == kind and len(place) == 2 for kind in ("masks", "files"))
        if not (mask or (file and place[1].endswith(".json")) or place[-1] in LATER):  # those need not be there
            refused(changed(body, place, gone=True))
        for wrong in (1.5, [[]]):
            refused(changed(body, place, wrong))
        seen += 1
    assert seen > 60


@pytest.mark.parametrize(
    "place, value",
    [
        (("state",), "fine"),
        (("image", "dtype"), "complex64"),
        (("image", "shape"), [16, 16]),
        (("image", "shape"), [16, 16, 0]),
        (("image", "chunks"), [16, 16, 2.5]),
        (("image", "path"), "../a/image.ome.zarr/0/c/0/0/0"),
        (("image", "path"), "image.ome.zarr/none"),
        (("image", "size"), 3),
        (("image", "affine"), [[1, 0, 0, 0]]),
        (("image", "dims"), ["y", "x"]),
        (("masks", "m"), None),
        (("findings",), [{"code": 3}]),
        (("series",), [3]),
        (("series",), [SERIES | {"modality": None}]),
        (("files", "/etc/hostname"), {"size": 1, "crc32c": "00000000"}),
        (("files", "../a/manifest.json"), {"size": 1, "crc32c": "00000000"}),
    ],
)
def test_values_that_cannot_be(cohort, place, value):
    check(cohort, changed(cohort["b"].manifest, place, value))


@pytest.mark.parametrize("wrong", [3, {}, {**SERIES, "kind": None}, {**SERIES, "uid": "1.2"}])
def test_series_that_do_not_fit_are_refused_before_anything_is_written(cohort, wrong):
    with pytest.raises(ArgumentError, match="series: each must have series, modality, kind, image"):
        cohort.add("c", cohort["a"].image(), series=[wrong])
    with pytest.raises(ArgumentError, match="series: each must have"):
        cohort.record("c", "failed", findings=[], series=[wrong])
    assert list(cohort) == ["a", "b"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(body=st.dictionaries(st.sampled_from(["case_id", "state", "image", "files", "masks", "x"]), JSON))
def test_any_object_at_all_is_refused(body):
    refused(json.loads(json.dumps(body)), "")
