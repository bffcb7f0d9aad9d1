"""MONAI's MetaTensors through fastimg's kernels, against MONAI's own transforms."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import fastimg as fi

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    monai = pytest.importorskip("monai.transforms")


def tensor():
    image = fi.Image(np.random.default_rng(0).normal(0, 300, (2, 8, 9, 10)).astype(np.float32), dims=("channel", "z", "y", "x"),
                     spacing=(2, 1.5, 1))  # fmt: skip
    return image, fi.interop.to_monai(image)


def test_window_and_zscore_are_monai_s():
    from fastimg.interop.monai import Window, ZScore

    _, data = tensor()
    theirs = monai.ScaleIntensityRange(-160, 240, 0, 1, clip=True)(data)
    np.testing.assert_allclose(Window(-160, 240)(data), theirs, atol=1e-6)
    theirs = monai.NormalizeIntensity(channel_wise=True)(data)
    np.testing.assert_allclose(ZScore()(data), theirs, atol=1e-5)


def test_resample_keeps_the_place_in_the_patient():
    from fastimg.interop.monai import Resample

    image, data = tensor()
    made = Resample((0.5, 1, 1), order="linear")(data)
    expected = fi.resample(image, spacing=(1, 1, 0.5), order="linear")
    assert tuple(made.shape) == (2, *expected.shape[:0:-1])
    np.testing.assert_array_equal(np.asarray(made).transpose(0, 3, 2, 1), expected.array)
    inside = monai.Spacing((0.5, 1, 1), mode="bilinear", align_corners=True)(data)
    np.testing.assert_allclose(np.asarray(made.affine)[:3, :3], np.asarray(inside.affine)[:3, :3], atol=1e-9)


def test_dictionaries_in_a_compose():
    from fastimg.interop.monai import Resampled, Windowd, ZScored

    _, data = tensor()
    chain = monai.Compose([Resampled(["image"], (1, 1, 1)), Windowd("image", -160, 240), ZScored(["image"])])
    made = chain({"image": data, "label": data})
    assert made["label"] is data
    assert abs(float(made["image"][0].mean())) < 1e-5
    with pytest.raises(KeyError):
        Windowd("other", 0, 1)({"image": data})
    assert set(Windowd("other", 0, 1, allow_missing_keys=True)({"image": data})) == {"image"}
