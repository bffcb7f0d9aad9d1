"""The documentation is built as `make docs` builds it: warnings are errors, and no link of the pages leads nowhere."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from ..conftest import ROOT


@pytest.mark.soak
def test_the_documentation_is_built_without_a_warning(tmp_path):
    for name in ("sphinx", "myst_parser", "numpydoc", "sphinx_gallery", "pydata_sphinx_theme"):
        pytest.importorskip(name, reason=f"{name} is not installed (pip install --group docs)")
    for folder in ("docs", "src"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", "html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    links = subprocess.run(
        [sys.executable, "docs/links.py", "html"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert links.returncode == 0, links.stdout[-4000:]
    pictures = {path.name for path in (tmp_path / "html" / "_images").iterdir()}
    for script in (ROOT / "docs" / "gallery_source").glob("plot_*.py"):
        assert any(name.startswith(f"sphx_glr_{script.stem}") for name in pictures), script.name
