"""Rules by which pixels may show who the patient is."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_maker import image, save
from pydicom.dataset import Dataset

import fastimg as fi
from fastimg.dicom._pixel_identity import RULES, pixel_identity


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned-in"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}, "secondary-capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "secondary-capture"),
        ({"Modality": "US"}, "ultrasound"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "document"),
        ({"BodyPartExamined": "HEAD"}, "head"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]}, "label"),
    ],
)
def test_pixels_that_may_tell(attributes, rule):
    dataset = Dataset()
    dataset.Modality, dataset.SOPClassUID, dataset.ImageType = (
        "CT",
        "1.2.840.10008.5.1.4.1.1.2",
        ["ORIGINAL", "PRIMARY"],
    )
    dataset.BodyPartExamined = "ABDOMEN"
    assert pixel_identity(dataset) == []
    dataset.update(Dataset.from_json({}))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    found = pixel_identity(dataset)
    assert [(f.code, f.details["rule"]) for f in found] == [("burned-in", rule)]
    assert rule in RULES
    assert pixel_identity(dataset, release=[rule]) == []


def test_pixel_rules_read_the_columns_of_a_scan():
    row = {"modality": "CT", "sop_class_uid": None, "image_type": ["DERIVED", "SCREEN SAVE"], "body_part": None}
    assert [f.details["rule"] for f in pixel_identity(row)] == ["secondary-capture"]
    assert pixel_identity({"modality": "MR", "body_part": "Brain"})[0].details["rule"] == "head"


@pytest.mark.parametrize(
    ("attributes", "head"),
    [
        ({"SeriesDescription": "t1_mprage BRAIN"}, True),
        ({"StudyDescription": "CT Schädel nativ"}, True),
        ({"StudyDescription": "IRM du crâne"}, True),
        ({"ProtocolName": "Kopf_Hals"}, True),
        ({"StudyDescription": "PET/CT whole body"}, True),
        ({"BodyPartExamined": "", "SeriesDescription": "Neuro"}, True),
        ({"SeriesDescription": "thorax overhead arms"}, False),
        ({"SeriesDescription": "liver arterial"}, False),
        ({"BodyPartExamined": "HEAD", "RecognizableVisualFeatures": "NO"}, False),
        ({"BodyPartExamined": "HEAD", "RecognizableVisualFeatures": "YES"}, True),
    ],
)
def test_heads_are_known_by_body_part_and_description_unless_defaced(tmp_path, attributes, head):
    dataset = image(np.zeros((4, 4), np.uint16), BodyPartExamined="CHEST", SpecificCharacterSet="ISO_IR 192")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    wanted = ["head"] if head else []
    assert [f.details["rule"] for f in pixel_identity(dataset)] == wanted
    save(dataset, tmp_path / "a.dcm")
    (series,) = fi.dicom.series(tmp_path)
    assert [f.details["rule"] for f in pixel_identity(series)] == wanted
