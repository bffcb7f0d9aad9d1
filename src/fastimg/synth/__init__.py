"""Makers of realistic DICOM: the demo, the tests and the benchmarks use them. Same seed, same bytes.

Nothing here is a measurement: bodies are ellipsoids, scanners are a gain, an offset, a blur and noise. What is real is
the form: Part 10 files in the transfer syntaxes that scanners write, in trees as a PACS exports them, with identifiers
where hospitals leave them.
"""

from ._hospitals import HOSPITALS, Hospital, hospitals
from ._manifest import Case, Fault, Manifest
from ._pet import pet_series
from ._series import ct_series
from ._write import SYNTAXES, Written

__all__ = [
    "HOSPITALS",
    "SYNTAXES",
    "Case",
    "Fault",
    "Hospital",
    "Manifest",
    "Written",
    "ct_series",
    "hospitals",
    "pet_series",
]
