"""A real viewer shows what was stored: neuroglancer, in a headless Chromium, over loopback. Pictures: out/viewer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import fastimg as fi

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(find_spec("neuroglancer") is None, reason="neuroglancer is not installed (make peers)")
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_neuroglancer_shows_image_and_mask(tmp_path, request):
    k, j, i = np.ogrid[:8, :64, :48]
    image = fi.Image(((7 * i + 3 * j * j + 31 * k) % 256).astype(np.int16), spacing=(2, 1, 1), unit="HU")
    mask = ((i - 20) ** 2 + (j - 30) ** 2 < 15**2) & (k > 0)
    case = fi.Cohort.create(tmp_path / "c").add("a", image, {"m": mask})
    out = Path(request.config.rootpath) / "out" / "viewer"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    script = Path(__file__).with_name("viewer.py")
    command = [sys.executable, str(script), CHROMIUM, str(case.path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    console = (out / "console.txt").read_text()
    assert "event source connected" in console  # the page ran
    assert not [line for line in console.splitlines() if "ERROR" in line or "Uncaught" in line or "WebGL" in line]
    shown = np.load(out / "image.npy")
    rows, columns = np.nonzero((shown[..., :3] != (0, 0, 255)).any(2))
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert shown[box].shape[:2] == (4 * 64, 4 * 48)  # four pixels a voxel
    expected = np.repeat(image.array[3][:, :, None], 3, 2)
    np.testing.assert_array_equal(shown[box][1::4, 1::4, :3], expected)
    np.testing.assert_array_equal(shown[box][2::4, 2::4, :3], expected)
    red = (np.load(out / "mask.npy")[box][..., :3] == (255, 0, 0)).all(2)
    np.testing.assert_array_equal(red[1::4, 1::4], mask[3])
    assert (out / "image.png").stat().st_size > 1000
