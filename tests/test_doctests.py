"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib

import pytest

from .test_import import OPTIONAL, modules


@pytest.mark.parametrize("name", sorted(name for name in modules() if not name.endswith(("_cuda", "_native", "_core"))))
def test_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").split(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"optional package {error.name} is not installed")
    failed, _ = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert failed == 0
