"""Datasets full of identity, and the key of the tests."""

from __future__ import annotations

import warnings

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fastimg.dicom._profile import Profile, rules

KEY = b"0123456789abcdef0123456789abcdef"
PLAIN = Profile(key=KEY)
SECRET = "Zwetschgenröster"  # stands in every text of the full dataset


def value_for(vr, tag):
    if vr == "SQ":
        item = Dataset()
        item.PatientName, item.PatientComments, item.SeriesDescription = SECRET, SECRET, SECRET
        return Sequence([item])
    return {
        "DA": "19530412",
        "DT": "19530412101112",
        "TM": "101112",
        "AS": "093Y",
        "DS": "1.5",
        "IS": "3",
        "UI": f"1.2.826.0.1.3680043.10.1338.{tag}",
        "PN": f"{SECRET}^Anna",
        "CS": "ZWETSCHGE",
        "UR": "http://x",
        **dict.fromkeys(("US", "UL", "SS", "SL", "UV", "SV"), 3),
        **dict.fromkeys(("FL", "FD"), 1.5),
        **dict.fromkeys(("OB", "OW", "OF", "OD", "OL", "OV", "UN"), SECRET.encode() + b"00000"),
        "AT": 0x00100010,
    }.get(vr, SECRET)


def full():
    """A dataset with every attribute of the table that is allowed outside of commands and file headers."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for tag in rules(PLAIN):
        if tag >> 16 in (0, 2, 4) or tag >> 16 == 0xFFFC:
            continue
        try:
            vr = dictionary_VR(tag).split()[0]
        except KeyError:
            vr = "LO"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.add(DataElement(tag, vr, value_for(vr, tag), validation_mode=pydicom.config.IGNORE))
    return dataset


def ordinary():
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = "Änderung^Björn=山寺^太郎吉", "HOS-774411"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19300105", "M", "091Y"
    dataset.PatientWeight = "81.5"
    dataset.StudyDate, dataset.StudyTime = "20210304", "101500"
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.6"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4.5", "1.2.3.4.5.7"
    dataset.StationName, dataset.DeviceSerialNumber = "CT-7-OST", "SN8815521"
    dataset.SeriesDescription = "CT Thorax Änderung 5mm arterial phase ANDERUNG Krämer"
    return dataset
