"""fastimg as pydicom's decoder: the same arrays as dicom.pixels, through pixel_array."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
import warnings
from pathlib import Path
import numpy as np, pydicom, fastimg as fi
warnings.simplefilter("ignore")
syntaxes = fi.dicom.register_pydicom()
assert syntaxes == fi.dicom.register_pydicom()
assert "1.2.840.10008.1.2.5" in syntaxes
seen = 0
for path in sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm")):
    ds = pydicom.dcmread(path, force=True)
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    if syntax not in syntaxes or "PixelData" not in ds or "sequence-delimiter" in path.name:
        continue
    decoder = pydicom.pixels.get_decoder(syntax)
    assert decoder.available_plugins[0] == "fastimg"
    array, _ = decoder.as_array(ds, decoding_plugin="fastimg")
    np.testing.assert_array_equal(array, fi.dicom.pixels(path), path.name)
    np.testing.assert_array_equal(ds.pixel_array, array, path.name)
    seen += 1
print(seen)
"""


def test_pydicom_decodes_through_fastimg():
    """In a process of its own: the registration is global."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.fail(done.stderr[-3000:])
    assert int(done.stdout) >= 30
