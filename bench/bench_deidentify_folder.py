"""A folder de-identified into another one, each written file read again and searched, against dicom-anonymizer's."""

from __future__ import annotations

import itertools
import shutil

import pydicom
import pytest

import fastimg as fi
from fastimg.cli._search import Search

GROUP = "dicom: de-identify a folder of 2 series of 150 CT files, 64 x 64, planted identifiers, written to disk"


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Two patients' series, in files of any name."""
    root = tmp_path_factory.mktemp("folder")
    made = fi.synth.hospitals(root / "made", patients=1, size=64)
    chosen = root / "in"
    for number, case in enumerate(made.cases[:2]):
        files = sorted((made.folder / case.folder).iterdir())
        (chosen / str(number)).mkdir(parents=True)
        for k in range(150):
            dataset = pydicom.dcmread(files[k % len(files)])
            dataset.SOPInstanceUID += f".{k}"
            dataset.ImagePositionPatient = [0, 0, k]
            dataset.save_as(chosen / str(number) / f"{k}.dcm")
    identifiers = set().union(*(case.identifiers for case in made.cases[:2]))
    return chosen, Search(text for text in identifiers if len(text) > 3)


def left(folder, search):
    return len(set().union(*(search.found(path.read_bytes()) for path in folder.rglob("*") if path.is_file())))


@pytest.mark.benchmark(group=GROUP)
def bench_folder_fastimg(case, one_thread, exported, tmp_path):
    source, search = exported
    keys = (number.to_bytes(32, "big") for number in itertools.count())

    def work():
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        done = fi.dicom.deidentify_folder(source, tmp_path / "out", fi.dicom.Profile(key=next(keys)), threads=1)
        assert done.files == 300

    work()
    case(work, items=300, unit="file", error=left(tmp_path / "out", search))


@pytest.mark.benchmark(group=GROUP)
def bench_folder_dicom_anonymizer(case, exported, tmp_path):
    peer = pytest.importorskip("dicomanonymizer", reason="peer dicom-anonymizer is not installed")
    source, search = exported

    def work():
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        (tmp_path / "out").mkdir()
        for number, path in enumerate(sorted(source.rglob("*.dcm"))):
            peer.anonymize_dicom_file(str(path), str(tmp_path / "out" / f"{number}.dcm"), delete_private_tags=True)

    work()
    case(work, items=300, unit="file", error=left(tmp_path / "out", search))
