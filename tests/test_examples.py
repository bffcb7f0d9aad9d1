"""Every script in examples/ and of the gallery runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
GALLERY = sorted((ROOT / "docs" / "gallery_source").glob("plot_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example(script, tmp_path):
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip(), "an example prints what it shows"


@pytest.mark.parametrize("script", GALLERY, ids=lambda path: path.stem)
def test_gallery(script, tmp_path):
    """Each draws at least one picture."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra report)")
    shown = (
        "import atexit, matplotlib.pyplot as plt; atexit.register(lambda: print(len(plt.get_fignums()), 'figures'))\n"
    )
    (tmp_path / script.name).write_text(shown + script.read_text().replace("from __future__ import annotations\n", ""))
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-2]) >= 1
