"""Features as a DICOM structured report, read back by this package and by highdicom."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastimg as fi
from fastimg.errors import ArgumentError, FormatError
from fastimg.interop.sr import read_features_sr, write_features_sr

hd = pytest.importorskip("highdicom", reason="highdicom is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(series, image, mask, path of the SEG)."""
    root = tmp_path_factory.mktemp("sr")
    hospital = fi.synth.hospitals(root / "in", patients=1, size=32, seed=2)
    images = [s for s in fi.dicom.series(hospital.folder) if s.kind == "image" and len(s.files) > 5 and not s.findings]
    series = images[0]
    image = fi.dicom.read(series)
    mask = np.zeros(image.shape, np.uint8)
    mask[1:4, 8:20, 9:22] = 1
    path = fi.dicom.write_seg({"lesion": mask}, image, root / "seg.dcm", source=series)
    return series, image, mask, path


@pytest.mark.parametrize("names", ["ibsi", "pyradiomics"])
def test_features_come_back(made, names, tmp_path):
    series, image, mask, seg = made
    settings = fi.radiomics.Settings(bin_number=16, images={"Original": {}, "Square": {}})
    features = fi.radiomics.extract(image, mask, settings, names=names)
    path = write_features_sr(features, tmp_path / "sr.dcm", segmentation=seg, source=series, settings=settings)
    (found,) = read_features_sr(path).values()
    finite = {name: value for name, value in features.items() if math.isfinite(value)}
    assert len(found) == len(finite)
    tagged = fi.radiomics.extract(image, mask, settings, names="ibsi")
    for name, value in tagged.items():
        if math.isfinite(value) and not name.startswith("square"):
            assert found[name] == pytest.approx(value, rel=1e-12)
    document = hd.sr.srread(path)
    assert document.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert document.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    (group,) = document.content.get_volumetric_roi_measurement_groups()
    assert group.referenced_segment is not None
    volume = next(m for m in group.get_measurements() if m.name.value == "RNU0")
    assert (volume.name.scheme_designator, volume.unit.value) == ("IBSI", "mm3")


def test_refusals(made, tmp_path):
    series, _, _, seg = made
    with pytest.raises(ArgumentError, match="none has a finite"):
        write_features_sr({"a": math.nan}, tmp_path / "a.dcm", segmentation=seg, source=series)
    with pytest.raises(ArgumentError, match="segments \\[1\\]"):
        write_features_sr({"a": 1.0}, tmp_path / "a.dcm", segmentation=seg, segment=3, source=series)
    with pytest.raises(FormatError):
        write_features_sr({"a": 1.0}, tmp_path / "a.dcm", segmentation=series.files[0], source=series)
    with pytest.raises(FormatError):
        read_features_sr(series.files[0])
