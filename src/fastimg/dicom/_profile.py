"""What de-identification does: the profile that a caller chooses, the table of PS3.15, the report of what was done."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

from fastimg._arrays import choice
from fastimg.errors import ArgumentError

from ._keys import check_key

__all__ = ["Deidentified", "Profile", "SAFE_PRIVATE", "rules"]

Action = Literal["keep", "remove", "empty", "dummy", "uid", "shift", "clean", "recurse"]

# Private elements that carry physics and no identity (PS3.15 Table E.3.10-1): group, creator, element in the block.
SAFE_PRIVATE = (
    (0x0019, "SIEMENS MR HEADER", 0x0C),  # b-value
    (0x0019, "SIEMENS MR HEADER", 0x0D),  # diffusion directionality
    (0x0019, "SIEMENS MR HEADER", 0x0E),  # diffusion gradient direction
    (0x0019, "SIEMENS MR HEADER", 0x27),  # b-matrix
    (0x0043, "GEMS_PARM_01", 0x39),  # b-value
    (0x2001, "Philips Imaging DD 001", 0x03),  # diffusion b-factor
    (0x2001, "Philips Imaging DD 001", 0x04),  # diffusion direction
    (0x2005, "Philips MR Imaging DD 001", 0x0D),  # scale intercept
    (0x2005, "Philips MR Imaging DD 001", 0x0E),  # scale slope
    (0x7053, "Philips PET Private Group", 0x00),  # SUV factor
    (0x7053, "Philips PET Private Group", 0x09),  # activity concentration factor
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How datasets are de-identified: the Basic Profile of PS3.15 and its options.

    Parameters
    ----------
    key : bytes
        The site's secret, from `load_key`. Not shown by repr.
    dates : {"shift", "remove", "keep"}
        Move all dates of a patient by one keyed, non-zero number of whole days (times of day stay); remove them as the
        Basic Profile does; or keep them, which links cases to visits.
    retain_uids : bool
        Keep UIDs: the output can then be linked to the archive, and the report says so.
    retain_patient_characteristics : bool
        Keep sex, age (above 89 told as 90), size, weight and what describes the patient's state.
    retain_device_identity : bool
        Keep serial number, station, detector and the like.
    clean_descriptors : bool
        Keep descriptions, reduced to words of a fixed radiological vocabulary and short numbers; else they are removed.
    keep_hashed : bool
        Keep the patient's identifier where an upstream tool has already replaced it by a hash: PatientIdentityRemoved is
        YES and PatientID is a long hexadecimal code or a UUID. Else it is replaced like any other.
    safe_private : sequence of (group, creator, element)
        Private elements to keep, such as `SAFE_PRIVATE`. All others are removed.
    """

    key: bytes = field(repr=False)
    dates: Literal["shift", "remove", "keep"] = "shift"
    retain_uids: bool = False
    retain_patient_characteristics: bool = False
    retain_device_identity: bool = False
    clean_descriptors: bool = False
    keep_hashed: bool = False
    safe_private: tuple[tuple[int, str, int], ...] = ()

    def __post_init__(self) -> None:
        check_key(self.key, "Profile")
        choice("Profile: dates", self.dates, ("shift", "remove", "keep"))
        safe = tuple((int(group), str(creator).strip(), int(element)) for group, creator, element in self.safe_private)
        if any(group % 2 == 0 or not creator or not 0 <= element <= 0xFF for group, creator, element in safe):
            raise ArgumentError("Profile: safe_private needs (odd group, creator, element from 0 to 255)")
        object.__setattr__(self, "safe_private", safe)

    @property
    def linkable(self) -> bool:
        """Whether the output can be linked to the archive without the key; it must not leave the site then."""
        return self.retain_uids or self.dates == "keep"

    @property
    def codes(self) -> list[tuple[str, str]]:
        """The options as codes of PS3.16 CID 7050."""
        chosen = [("113100", "Basic Application Confidentiality Profile")]
        options = (
            (self.clean_descriptors, "113105", "Clean Descriptors Option"),
            (self.dates == "keep", "113106", "Retain Longitudinal Temporal Information Full Dates Option"),
            (self.dates == "shift", "113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
            (self.retain_patient_characteristics, "113108", "Retain Patient Characteristics Option"),
            (self.retain_device_identity, "113109", "Retain Device Identity Option"),
            (self.retain_uids, "113110", "Retain UIDs Option"),
            (bool(self.safe_private), "113111", "Retain Safe Private Option"),
        )
        return chosen + [(value, meaning) for active, value, meaning in options if active]


@dataclass
class Deidentified:
    """What was done, counted by attribute and action; no value of a dataset is in it. Reports add up with `+=`.

    Attributes
    ----------
    profile : Profile or None
        What was asked for; of reports that add up, the first one's.
    datasets : int
        How many were de-identified.
    actions : Counter of (str, str)
        Elements by tag ("00100010"; "private" for all private ones) and action.
    """

    profile: Profile | None = None
    datasets: int = 0
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, tag: int, action: str) -> None:
        """Note one element."""
        self.actions[f"{tag:08X}" if not (tag >> 16) & 1 else "private", action] += 1

    def __iadd__(self, other: Deidentified) -> Deidentified:
        self.profile = self.profile or other.profile
        self.datasets += other.datasets
        self.actions.update(other.actions)
        return self

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        profile = self.profile
        return {
            "format": "fastimg-deidentification",
            "version": 1,
            "standard": edition(),
            "status": "pseudonymised: whoever holds the site's key can link it",
            "linkable": None if profile is None else profile.linkable,
            "options": [] if profile is None else [{"code": code, "meaning": text} for code, text in profile.codes],
            "datasets": self.datasets,
            "attributes": [
                {"attribute": tag, "action": action, "count": count}
                for (tag, action), count in sorted(self.actions.items())
            ],
        }


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("basic_profile.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def edition() -> str:
    """The edition of the standard that the table states."""
    return str(_table()["edition"])


@lru_cache(maxsize=16)
def rules(profile: Profile) -> dict[int, Action]:
    """Tag -> what this profile does with it, for the attributes of the table.

    Composite actions depend on the object's definition (type 1: dummy, 2: empty, 3: removed); as that is not looked up,
    the one is taken that keeps any object valid: dummy before empty before removal.
    """
    found: dict[int, Action] = {}
    for tag, text in _table()["attributes"].items():
        action, *options = text.split()
        found[int(tag, 16)] = _action(action, options, profile)
    return found


def _action(action: str, options: list[str], profile: Profile) -> Action:
    if "dates" in options and profile.dates != "remove":
        return "shift" if profile.dates == "shift" else "keep"
    if "uids" in options and profile.retain_uids:
        return "keep"
    if "device" in options and profile.retain_device_identity:
        return "keep"
    if "patient" in options and profile.retain_patient_characteristics:
        return "keep"
    if "patient-clean" in options and profile.retain_patient_characteristics:
        return "clean"
    if "descriptors" in options and profile.clean_descriptors:
        return "clean"
    if action == "U":
        return "uid"
    if "U" in action:  # X/Z/U*: sequences of references
        return "recurse"
    if "D" in action:
        return "dummy"
    return "empty" if "Z" in action else "remove"
