"""Three hospitals: scanners, patients, trees."""

from __future__ import annotations

import copy
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from fastimg.errors import ArgumentError
from fastimg.image import affine_from

from . import _objects, _phantom, _strangers
from ._manifest import Case, Fault, Manifest
from ._series import CT_CLASS
from ._write import uid, write_dataset, write_slices

__all__ = ["HOSPITALS", "Hospital", "hospitals"]


@dataclass(frozen=True)
class Hospital:
    """A site: what its scanner does and how its archive writes.

    Attributes
    ----------
    folder : str
        Name of its folder.
    institution, address, manufacturer, model, station, kernel, physician : str
        What headers say.
    gain, offset : float
        The scanner's HU are gain times the true ones, plus offset.
    blur : float, pixels
        Of the kernel.
    noise : float, HU
        Standard deviation.
    spacing : (z, y, x), mm
        At 96 rows and columns.
    slices : int
        Of a CT.
    syntax : str
        Transfer syntax, such as "explicit", "rle" or "jpeg-lossless".
    masks : {"seg", "rtstruct"}
    charset : str
        SpecificCharacterSet, such as "ISO_IR 100".
    ages : (low, high)
        Years; high itself is not drawn.
    prefix : str
        PatientIDs begin with it.
    names : tuple of (str, str)
        Family and given names of its patients.
    """

    folder: str
    institution: str
    address: str
    manufacturer: str
    model: str
    station: str
    kernel: str
    gain: float
    offset: float  # HU
    blur: float  # pixels
    noise: float  # HU
    spacing: tuple[float, float, float]  # z, y, x mm
    slices: int
    syntax: str
    masks: str  # "seg" or "rtstruct"
    charset: str
    ages: tuple[int, int]
    prefix: str
    names: tuple[tuple[str, str], ...]
    physician: str


HOSPITALS = (
    Hospital(
        "vienna", "Spital St. Märzenbach", "Krankenhausgasse 17, 1097 Wien", "SIEMENS", "SOMATOM Force", "CTAWP73512",
        "Br40d", 1.00, 0.0, 0.7, 9.0, (4.0, 2.0, 2.0), 28, "explicit", "seg", "ISO_IR 100", (48, 82), "VIE",
        (("Müllegger", "Jürgen"), ("Schäferling", "Käthe"), ("Größwang", "Annelore"), ("Österreicher", "Björn"),
         ("Weißenböck", "Gudrun"), ("Hübschmann", "Ottokar")),
        "Dr. Königsfeldner^Jörg",
    ),
    Hospital(
        "paris", "Hôpital Sainte-Éléonore", "44 rue de l'Évêché, 75021 Paris", "GE MEDICAL SYSTEMS", "Revolution CT",
        "GECT0429", "STANDARD", 1.06, 9.0, 1.0, 16.0, (3.0, 2.2, 2.2), 32, "rle", "seg", "ISO_IR 192", (44, 78), "PAR",
        (("Lefèvrier", "Éloïse"), ("Bénézet", "Françoise"), ("Désormière", "Anaël"), ("Yamadera", "Tarouki"),
         ("Guérinet", "Maëlys"), ("Œuvrard", "Zéphyrin")),
        "Pr. Châteauneuf^Hélène",
    ),
    Hospital(
        "athens", "Νοσοκομείο Αγία Θέκλα", "Οδός Ασκληπιού 88, Αθήνα", "PHILIPS", "IQon Spectral", "PHCT-8841",
        "B", 0.95, -7.0, 0.5, 23.0, (5.0, 1.9, 1.9), 24, "jpeg-lossless", "rtstruct", "ISO_IR 126", (52, 88), "ATH",
        (("Παπαδοπουλέας", "Ελευθερία"), ("Γεωργακάκης", "Αθανάσιος"), ("Καραμανώλη", "Ευτυχία"),
         ("Βλαχογιάννης", "Σπυρίδων"), ("Ξενοφωντίδη", "Χρυσούλα"), ("Οικονομέας", "Θρασύβουλος")),
        "Δρ. Χατζημιχαηλίδης^Ξενοφών",
    ),
)  # fmt: skip

IDENTIFYING = (
    *("PatientID", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "OtherPatientIDs"),
    *("AccessionNumber", "StudyInstanceUID", "FrameOfReferenceUID", "DeviceSerialNumber"),
)

GROUPS = {"Yamadera": "Yamadera^Tarouki=山寺^太郎吉=やまでら^たろうき"}  # a name in three character groups


def hospitals(folder: str | Path, *, patients: int = 12, size: int = 96, seed: int = 0) -> Manifest:
    """Write a cohort of three hospitals as their archives would export it.

    Each hospital has its own scanner (gain, offset, kernel, noise), slice spacing, transfer syntax, character set and
    kind of mask; each patient a CT with one lesion whose density and texture follow age and sex. Identifiers stand in
    names, numbers, dates, addresses, comments, private elements, nested sequences, labels and paths. Each tree also
    holds what archives hold: a DICOMDIR, a PDF, a text file, a symbolic link, an archive, a report, and a damaged, an
    incomplete or a burned-in series.

    Parameters
    ----------
    folder : path
        Made if it is absent; must be empty.
    patients : int
        A hospital.
    size : int
        Rows and columns of a slice; the field of view follows the hospital's pixel spacing at 96.
    seed : int

    Returns
    -------
    Manifest
        Cases with their true masks, faults with the code each should lead to, all identifiers, the clinical table.

    Raises
    ------
    ArgumentError
        No patient, a size below 32, or a folder that is not empty.
    """
    folder = Path(folder)
    if patients < 1 or size < 32:
        raise ArgumentError(f"hospitals: needs patients >= 1 and size >= 32, got {patients} and {size}")
    if folder.exists() and any(folder.iterdir()):
        raise ArgumentError("hospitals: folder must be empty or absent")
    folder.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = []
    faults: list[Fault] = []
    for number, hospital in enumerate(HOSPITALS):
        own = [_patient(folder, hospital, index, size=size, seed=(seed, number, index)) for index in range(patients)]
        cases += own
        base = _person(hospital, 0, np.random.default_rng([seed, number, 0]))
        rng = np.random.default_rng([seed, number, 10_000])
        faults += _strangers.add(folder, hospital.folder, base, hospital.syntax, own[0], rng)
        _table(folder / hospital.folder / "clinical.csv", own)
    _table(folder / "clinical.csv", cases)
    return Manifest(folder, cases, faults, folder / "clinical.csv")


def _table(path: Path, cases: list[Case]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["subject", "age", "sex", "outcome"])
        writer.writerows([case.subject, case.age, case.sex, case.outcome] for case in cases)


def _person(hospital: Hospital, index: int, rng: np.random.Generator) -> Dataset:
    """Patient, study and equipment attributes with everything that identifies; the first draws of the patient's rng."""
    age = int(rng.integers(*hospital.ages))
    if hospital.prefix == "ATH" and index == 1:
        age = 93  # above the age that may be told
    sex = "FM"[(index + int(rng.integers(0, 2))) % 2]
    month, day = int(rng.integers(1, 13)), int(rng.integers(1, 29))
    study_month, study_day = int(rng.integers(1, 13)), int(rng.integers(1, 29))
    had_birthday = (study_month, study_day) >= (month, day)
    family, given = hospital.names[index % len(hospital.names)]
    given += "" if index < len(hospital.names) else "-" + hospital.names[(index * 5 + 1) % len(hospital.names)][1]
    dataset = Dataset()
    dataset.SpecificCharacterSet = hospital.charset
    dataset.PatientName = f"{family}^{given}"
    if index < len(hospital.names) and family in GROUPS:
        dataset.PatientName = GROUPS[family]
    dataset.PatientID = f"{hospital.prefix}-{int(rng.integers(10**6, 10**7))}"
    dataset.PatientBirthDate = f"{2021 - age - (not had_birthday)}{month:02d}{day:02d}"
    dataset.PatientSex, dataset.PatientAge = sex, f"{age:03d}Y"
    dataset.PatientWeight, dataset.PatientSize = str(int(rng.integers(52, 98))), f"1.{int(rng.integers(55, 92))}"
    dataset.PatientAddress = f"{family} {int(rng.integers(10, 99))}, {hospital.address.split(', ')[-1]}"
    dataset.PatientTelephoneNumbers = f"+{int(rng.integers(10**10, 10**11))}"
    dataset.OtherPatientIDs = f"X{int(rng.integers(10**7, 10**8))}"
    dataset.PatientComments = f"{family}: {dataset.PatientTelephoneNumbers}"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = f"2021{study_month:02d}{study_day:02d}"
    time = f"{int(rng.integers(8, 18)):02d}{int(rng.integers(0, 60)):02d}00"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = time
    dataset.AccessionNumber = f"ACC{int(rng.integers(10**8, 10**9))}"
    dataset.ReferringPhysicianName = hospital.physician
    dataset.OperatorsName = hospital.physician.split("^")[0].split()[-1] + "^Traudlinde"
    dataset.InstitutionName, dataset.InstitutionAddress = hospital.institution, hospital.address
    dataset.StationName, dataset.DeviceSerialNumber = hospital.station, f"SN{hospital.station[-4:]}7731"
    dataset.Manufacturer, dataset.ManufacturerModelName = hospital.manufacturer, hospital.model
    dataset.StudyDescription = f"CT {family}"
    dataset.StudyID = f"{int(rng.integers(10**5, 10**6))}"
    dataset.StudyInstanceUID = uid(hospital.prefix, dataset.PatientID, "study")
    dataset.FrameOfReferenceUID = uid(hospital.prefix, dataset.PatientID, "frame")
    return dataset


def _identifiers(dataset: Dataset, hospital: Hospital) -> frozenset[str]:
    """Every planted value by which patient, staff or hospital could be known."""
    values = {str(dataset[keyword].value) for keyword in IDENTIFYING}
    values |= {hospital.institution, hospital.address, hospital.station}
    for name in (str(dataset.PatientName), hospital.physician):
        for group in name.split("="):
            values.update(part for part in group.split("^") if part)
    values.add(hospital.physician.split("^")[0].split()[-1])
    return frozenset(values)


def _image(dataset: Dataset, hospital: Hospital, number: int, description: str) -> Dataset:
    """A CT series of that person."""
    dataset = copy.deepcopy(dataset)
    family = str(dataset.PatientName).split("^")[0]
    dataset.SOPClassUID, dataset.Modality = CT_CLASS, "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesInstanceUID = uid(dataset.StudyInstanceUID, "ct", number)
    dataset.SeriesNumber, dataset.SeriesDescription = number, f"{description} {family}"
    dataset.ProtocolName = "Abdomen"
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.PatientPosition = "HFS"
    dataset.KVP, dataset.XRayTubeCurrent = "120", "210"
    dataset.ConvolutionKernel = hospital.kernel
    dataset.ImageComments = f"{dataset.PatientID} {family}"
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    request = Dataset()
    request.RequestedProcedureDescription = f"CT {family}"
    request.RequestedProcedureID = dataset.AccessionNumber
    dataset.RequestAttributesSequence = Sequence([request])
    block = dataset.private_block(0x0029, "SYNTH ARCHIVE 1.0", create=True)
    block.add_new(0x10, "LO", f"{family} {dataset.PatientID}")
    nested = Dataset()
    nested.PatientName = dataset.PatientName
    block.add_new(0x20, "SQ", Sequence([nested]))
    return dataset


def _patient(root: Path, hospital: Hospital, index: int, *, size: int, seed: tuple[int, int, int]) -> Case:
    rng = np.random.default_rng(list(seed))
    person = _person(hospital, index, rng)
    age, sex = int(str(person.PatientAge)[:3]), str(person.PatientSex)
    lesion = _phantom.lesion_of(age, sex, rng)
    outcome = int(rng.random() < 1 / (1 + np.exp(-(lesion.mean - 95) / 12)))

    scale = 96 / size
    spacing = (hospital.spacing[0], round(hospital.spacing[1] * scale, 4), round(hospital.spacing[2] * scale, 4))
    shape = (hospital.slices, size, size)
    origin = tuple(round(-(n - 1) * s / 2, 3) for n, s in zip(shape[::-1], spacing[::-1], strict=True))
    affine = affine_from(spacing, origin)
    z, y, x = (affine[2 - a, 3] + affine[2 - a, a] * np.arange(shape[a]) for a in range(3))
    hu = _phantom.tissue(x[None, None, :], y[None, :, None], z[:, None, None], lesion, rng)
    hu = _phantom.acquire(
        hu, gain=hospital.gain, offset=hospital.offset, blur=hospital.blur, noise=hospital.noise, rng=rng
    )
    padding = None
    if hospital.prefix == "PAR":  # General Electric marks what lies outside the field of view with -2000 HU
        padding = np.broadcast_to(x[None, :] ** 2 + y[:, None] ** 2 > (0.5 * size * spacing[1]) ** 2, shape)
    stored, bits = _stored(hu, padding)

    template = _image(person, hospital, 2, "CT abdomen")
    if padding is not None:
        template.add_new(0x00280120, "SS", -976)  # PixelPaddingValue: -2000 HU before the rescale
    where = Path(hospital.folder, *_tree(hospital, person, index))
    names = [f"IM{n:04d}" if hospital.prefix != "PAR" else f"I{n * 10}" for n in rng.permutation(hospital.slices)]
    _, uids = write_slices(
        root / where / "SE0002",
        template,
        stored,
        affine=affine,
        syntax=hospital.syntax,
        bits=bits,
        names=names,
        reverse_numbers=hospital.prefix == "PAR",
    )
    outlines = {k: lesion.outline(float(z[k])) for k in range(shape[0])}
    mask = np.zeros(shape, bool)
    for k, outline in outlines.items():
        if len(outline):
            mask[k] = _phantom.inside(outline, x, y)
    family = str(person.PatientName).split("^")[0]
    name = f"Lesion {family}" if index == 2 else "Lesion"
    described = {name: f"drawn for {family}, {person.PatientID}"}
    person.SeriesDescription = f"Masks {family}"
    if hospital.masks == "seg":
        found = _objects.segmentation(person, {name: mask}, affine=affine, sources=uids, descriptions=described)
    else:
        contours = [np.column_stack([o, np.full(len(o), z[k])]) for k, o in outlines.items() if len(o)]
        found = _objects.rtstruct(
            person,
            {name: contours},
            series_uid=str(template.SeriesInstanceUID),
            sources={float(z[k]): u for k, u in enumerate(uids)},
            descriptions=described,
            points={"Isocentre": np.array(lesion.centre).round(2)} if index == 3 else None,
        )
    mask_file = where / "SE0900" / "MASK0001"
    write_dataset(root / mask_file, found)
    return Case(
        hospital=hospital.folder,
        subject=str(person.PatientID),
        age=age,
        sex=sex,
        outcome=outcome,
        study_uid=str(person.StudyInstanceUID),
        series_uid=str(template.SeriesInstanceUID),
        frame_uid=str(person.FrameOfReferenceUID),
        folder=where / "SE0002",
        mask_file=mask_file,
        mask_name=name,
        shape=shape,
        affine=affine,
        packed=np.packbits(mask),
        identifiers=_identifiers(person, hospital)
        | {str(template.SeriesInstanceUID), *uids, str(found.SOPInstanceUID)},
    )


def _stored(hu: Any, padding: Any) -> tuple[Any, int]:
    """Stored values under intercept -1024: 12 bits unsigned, or 16 bits signed with padding at -2000 HU."""
    values = np.rint(np.clip(hu, -1024, 3071)) + 1024
    if padding is None:
        return values.astype(np.uint16), 12
    stored = values.astype(np.int16)
    stored[padding] = -976
    return stored, 16


_ASCII = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ö": "Oe"})


def _tree(hospital: Hospital, person: Dataset, index: int) -> tuple[str, str]:
    """One archive names its folders after the patient, the others number them."""
    if hospital.prefix == "VIE":
        family, given = str(person.PatientName).translate(_ASCII).upper().split("^")[:2]
        return f"{family}_{given}_{person.PatientBirthDate}", "ST0001"
    return f"DICOM/PA{index:04d}", "ST0001"
