"""What objects show of themselves in a notebook; a real IPython where it is installed."""

from __future__ import annotations

import base64
import json
import pickle
import re
from html.parser import HTMLParser

import imagecodecs
import numpy as np
import pytest

import fastimg as fi
from fastimg import _notebook

EVIL = '<script>alert("1")</script>'


class Seen(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


def picture(text):
    (stored,) = re.findall(r'base64,([^"]+)"', text)
    return imagecodecs.png_decode(base64.b64decode(stored))


def test_an_image_shows_its_middle_slice():
    voxels = np.zeros((2, 5, 12, 10), np.int16)
    voxels[0, 2, 3:6, 4:9] = 200
    voxels[:, :2] = voxels[:, 3:] = voxels[1] = 77  # other slices and the other echo
    image = fi.Image(voxels, spacing=(3, 2, 1), dims=("echo", "z", "y", "x"), unit="HU", metadata={"note": "SMITH^ANN"})
    text = image._repr_html_()
    seen = Seen(text)
    drawn = picture(text)[..., 0]
    assert drawn.shape == (12, 10)
    inside = np.zeros((12, 10), bool)
    inside[3:6, 4:9] = True
    assert len(np.unique(drawn[inside])) == len(np.unique(drawn[~inside])) == 1
    assert drawn[inside][0] > drawn[~inside][0] + 80  # 200 HU and 0 HU in a window of 400
    assert 'width="240" height="576"' in text  # 12 rows of 2 mm, 10 columns of 1 mm
    assert {"echo 2 × z 5 × y 12 × x 10", "3 × 2 × 1 mm (z, y, x)", "int16, HU", "cpu"} <= set(seen.cells)
    assert "SMITH" not in text


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64, np.complex64])
def test_images_of_any_kind(dtype):
    text = fi.Image(np.ones((1, 3, 4), dtype))._repr_html_()
    assert Seen(text).tags.count("img") == (dtype != np.complex64)
    values = np.full((2, 3, 4), np.nan, np.float32)
    padded = fi.Image(values, unit="HU", padding=np.ones((2, 3, 4), bool))
    assert "img" in Seen(padded._repr_html_()).tags
    assert "img" not in Seen(fi.Image(np.ones((0, 3, 4)))._repr_html_()).tags


def test_an_image_on_a_device_stays_there():
    with fi.testing.host_device() as put:
        image = fi.Image(put(np.ones((2, 3, 4), np.float32)))
        assert image.device != "cpu"
        seen = Seen(image._repr_html_())
    assert "img" not in seen.tags
    assert image.device in seen.cells


def test_a_cohort_and_a_feature_table(tmp_path):
    cohort = fi.Cohort.create(tmp_path / "c")
    image = fi.Image(np.arange(60.0).reshape(3, 4, 5), spacing=(2, 1, 1))
    features = fi.radiomics.extract(image, np.ones((3, 4, 5), np.uint8), fi.radiomics.Settings(bin_width=10))
    for number in range(23):
        metadata = {"site": "s<1>", "subject": f"SMITH^{number}", "modality": "CT"}
        cohort.add(f"case-{number:02}", image, None, metadata, features={"lesion": features})
    cohort.record("case-99", "failed", findings=[fi.Finding("case-failed", "so it is")])
    seen = Seen(cohort._repr_html_())
    assert "Cohort c: 24 cases (1 failed, 23 ok)" in seen.cells
    assert "case-19" in seen.cells
    assert "case-20" not in seen.cells
    assert "and 4 more rows" in seen.cells
    assert "SMITH" not in " ".join(seen.cells)
    told = Seen(features._repr_html_())
    assert told.cells[:2] == ["feature", "value"]
    assert f"and {len(features) - 20} more rows" in told.cells
    few = fi.radiomics.extract(
        image,
        np.ones((3, 4, 5), np.uint8),
        fi.radiomics.Settings(bin_width=10, families=("statistics",), features={"statistics": ("Mean",)}),
    )
    assert Seen(few._repr_html_()).cells[-2:] == ["original_firstorder_Mean", "29.5"]
    assert pickle.loads(pickle.dumps(features)) == features
    assert json.loads(json.dumps(few)) == {"original_firstorder_Mean": 29.5}


def test_a_series_names_no_patient():
    findings = [fi.Finding("missing-slice", "of SMITH^ANN", "SMITH.dcm", {})]
    series = fi.dicom.Series(
        "1.2.3", "image", "CT", "1.2", "SMITH^ANN", ["SMITH/a.dcm"] * 7, findings, axes=(("b", (0, 50)),)
    )
    seen = Seen(series._repr_html_())
    assert {"image", "CT", "7", "b", "2 values", "missing-slice"} <= set(seen.cells)
    assert "SMITH" not in " ".join(seen.cells)


def test_nothing_is_read_as_markup():
    for text in (
        _notebook.Features({EVIL: 1.0})._repr_html_(),
        fi.Image(np.ones((1, 2, 2)), unit=EVIL)._repr_html_(),
        fi.dicom.Series("1", "image", EVIL, "1", "", [])._repr_html_(),
    ):
        assert "script" not in Seen(text).tags
        assert EVIL in " ".join(Seen(text).cells)


def test_ipython_shows_them(tmp_path):
    formatters = pytest.importorskip("IPython.core.formatters", reason="IPython is not installed (make peers)")

    class Shell:
        display_formatter = formatters.DisplayFormatter()

    table = fi.Cohort.create(tmp_path / "c").index
    show = lambda thing: Shell.display_formatter.format(thing)[0]  # noqa: E731
    assert "text/html" not in show(table)
    assert "<table>" in show(fi.Image(np.ones((1, 2, 2))))["text/html"]
    fi.load_ipython_extension(Shell)
    assert "case_id</th>" in show(table)["text/html"]
