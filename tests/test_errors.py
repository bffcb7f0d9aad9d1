"""Errors and findings: the kinds, pickling, the registry."""

from __future__ import annotations

import pickle

import pytest

import fastimg as fi
from fastimg import errors, findings

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_survives_pickling(kind):
    again = pickle.loads(pickle.dumps(kind("spacing must be positive, got 0")))
    assert type(again) is kind
    assert str(again) == "spacing must be positive, got 0"


@pytest.mark.parametrize(("kind", "base"), [("ArgumentError", ValueError), ("MissingError", ImportError)])
def test_kinds_are_what_python_users_catch(kind, base):
    assert issubclass(getattr(errors, kind), base)
    assert issubclass(getattr(errors, kind), errors.FastimgError)


def test_a_finding_is_a_value():
    finding = fi.Finding("missing-slice", "1 slice between 12.5 and 17.5 mm", where="series 3", details={"gap_mm": 5.0})
    assert finding.severity == "quarantine"
    assert findings.Finding.from_dict(finding.to_dict()) == finding
    assert pickle.loads(pickle.dumps(finding)) == finding
    assert str(finding) == "missing-slice [series 3]: 1 slice between 12.5 and 17.5 mm"


def test_an_unknown_code_is_refused():
    with pytest.raises(errors.ArgumentError, match="unknown code 'oops'"):
        fi.Finding("oops")


@pytest.mark.parametrize(
    ("codes", "state"),
    [
        ([], "ok"),
        (["lossy"], "ok"),
        (["lossy", "saturated"], "warned"),
        (["saturated", "burned-in"], "quarantined"),
        (["burned-in", "decode-failed", "lossy"], "failed"),
    ],
)
def test_the_worst_finding_decides_the_state(codes, state):
    assert findings.worst(fi.Finding(code) for code in codes) == state


def test_every_code_is_explained():
    for name, code in findings.CODES.items():
        assert name == name.lower()
        assert code.meaning.endswith(".")
