"""Recipes: what a run does, as a small TOML file whose every key is checked, with its line, before any work starts.

The schema is the dataclasses below: a field's `check` turns the written value into the used one or says what is wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from . import _schema as check
from . import _toml_lines
from ._sections import Problems, option, read_section

__all__ = ["Combat", "Deidentify", "Harmonize", "Input", "Radiomics", "Recipe", "Resample", "Run", "Store"]

FORMAT = 1
MODALITIES = ("CT", "MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "SC", "OT")
TOLERABLE = (
    "uneven-spacing",
    "missing-slice",
    "duplicate-position",
    "duplicate-instance",
    "gantry-tilt",
    "no-geometry",
)
RULES = ("burned-in", "secondary-capture", "ultrasound", "document", "head", "label")
METHODS = ("none", "zscore", "percentile", "window", "nyul")


@dataclass(frozen=True)
class Input:
    """Which series are taken, and what is forgiven."""

    modalities: tuple[str, ...] = option(
        ("CT", "MR", "PT"),
        check.list_of(check.choice(*MODALITIES), least=1),
        "modalities taken; other series are counted",
    )
    min_slices: int = option(1, check.integer(1), "series with fewer slices are left out and counted")
    tolerate: tuple[str, ...] = option(
        (), check.list_of(check.choice(*TOLERABLE)), "findings that would set a case aside but are forgiven"
    )
    release: tuple[str, ...] = option(
        (), check.list_of(check.choice(*RULES)), "rules on pixels that may show the patient, released; a warning"
    )
    suv: bool = option(True, check.boolean, "PET in SUV (body weight); without what it needs: a finding, and Bq/mL")
    masks: tuple[str, ...] = option(
        ("*",), check.list_of(check.text), "names of the masks taken; * and ? as in a shell"
    )
    rename: tuple[tuple[str, str], ...] = option(
        (), check.text_table, "mask name pattern -> common name; the first fits"
    )


@dataclass(frozen=True)
class Deidentify:
    """What is kept of headers, besides the captured metadata; names, dates, UIDs and descriptions never are."""

    header: bool = option(True, check.boolean, "keep the de-identified header of each case: how it was acquired")
    clean_descriptors: bool = option(False, check.boolean, "keep descriptions, reduced to harmless words")
    safe_private: bool = option(False, check.boolean, "keep private elements that hold physics only")
    keep_hashed: bool = option(
        False, check.boolean, "patient identifiers that an upstream tool has hashed are the subjects' codes"
    )


@dataclass(frozen=True)
class Resample:
    """The common grid."""

    spacing: tuple[float, float, float] | None = option(None, check.spacing, "voxel edge: keep, one length, or z, y, x")
    order: str = option("linear", check.choice("nearest", "linear", "cubic"), "interpolation of intensities")
    mask_order: str = option("nearest", check.choice("nearest", "linear"), "of masks; linear: cut at one half")
    antialias: bool = option(False, check.boolean, "Gaussian before down-sampling")


@dataclass(frozen=True)
class Harmonize:
    """Intensities. Each modality may have its own: [harmonize.CT]."""

    method: str = option("none", check.choice(*METHODS), "none, zscore, percentile, window or nyul")
    low: float | None = option(
        None, check.quantity("%", low=0, high=100), "lower end (window: HU; percentile, nyul: %)"
    )
    high: float | None = option(None, check.quantity("%", low=0, high=100), "upper end")
    region: str = option(
        "foreground",
        check.choice("foreground", "all"),
        "voxels measured; foreground: those above the mean, not the air",
    )


@dataclass(frozen=True)
class Radiomics:
    """Features of each mask."""

    enabled: bool = option(True, check.boolean, "compute features")
    settings: str | None = option(
        None, check.optional(check.text), "a PyRadiomics parameter file, relative to the recipe"
    )
    bin_width: float | None = option(None, check.number(above=0), "width of grey-level bins, in the image's unit")
    bin_count: int | None = option(None, check.integer(2, 4096), "number of grey-level bins, instead of a width")
    classes: tuple[str, ...] = option(
        (),
        check.list_of(check.choice("firstorder", "shape", "glcm", "glrlm", "glszm", "gldm", "ngtdm")),
        "families; empty: all",
    )
    names: str = option("pyradiomics", check.choice("pyradiomics", "ibsi"), "how features are named")
    compat: str = option(
        "ibsi", check.choice("ibsi", "pyradiomics"), "whose definitions are followed where they differ"
    )


@dataclass(frozen=True)
class Combat:
    """Harmonisation of features over batches."""

    enabled: bool = option(True, check.boolean, "fit ComBat and write features_combat.parquet")
    batch: str = option("site", check.choice("site", "batch"), "batch: site with manufacturer, model and kernel")
    covariates: tuple[str, ...] = option((), check.list_of(check.text), "metadata columns whose effect is kept")
    parametric: bool = option(True, check.boolean, "parametric priors")
    eb: bool = option(True, check.boolean, "empirical Bayes shrinkage")
    mean_only: bool = option(False, check.boolean, "adjust locations, not scales")
    monotone: str = option(
        "none",
        check.choice("none", "signed-log", "rank-normal"),
        "work on sign(x) log(1 + |x|) or on normal scores of the ranks: for skewed features",
    )
    shape: bool = option(
        False,
        check.boolean,
        "shape features too: size and form are the lesion's, not the scanner's, and stay unless asked",
    )
    min_cases: int = option(3, check.integer(2), "batches with fewer cases are left out, with a finding")


@dataclass(frozen=True)
class Clinical:
    """Columns of the clinical table."""

    columns: tuple[str, ...] = option((), check.list_of(check.text), "columns taken into the cohort's metadata")
    subject: str = option("patient_id", check.text, "the column that holds the patient's id")
    types: tuple[tuple[str, str], ...] = option(
        (),
        check.column_types,
        'column -> number, whole, text, date, or its words ("I|II|III"); what does not fit is left out',
    )
    dates: str = option(
        "refuse", check.choice("refuse", "shift"), "dates: left out, or moved by days that the key gives each patient"
    )


@dataclass(frozen=True)
class Store:
    """How voxels are kept."""

    profile: str = option("default", check.choice("default", "hot", "gpu"), "compression: default, hot or gpu")
    levels: int = option(
        1, check.integer(1, 12), "of the pyramid (OME-Zarr multiscales): each has half the voxels an axis"
    )


@dataclass(frozen=True)
class Run:
    """The machine's share."""

    workers: int = option(0, check.integer(0, 1024), "processes; 0: as many as cores and memory allow")
    reserve: float = option(1e9, check.quantity("bytes", low=0), "disk that stays free")


SECTIONS: dict[str, type] = {
    "input": Input,
    "deidentify": Deidentify,
    "resample": Resample,
    "harmonize": Harmonize,
    "radiomics": Radiomics,
    "combat": Combat,
    "clinical": Clinical,
    "store": Store,
    "run": Run,
}


@dataclass(frozen=True)
class Recipe:
    """A checked recipe.

    Attributes
    ----------
    name, description : str
    input, deidentify, resample, harmonize, radiomics, combat, clinical, store, run : object
        The sections of the file, one class each; their fields are the keys, with defaults.
    by_modality : tuple of (str, Harmonize)
        The sections [harmonize.CT] and the like, by modality.
    settings_text : str
        The text of the PyRadiomics parameter file; empty without one.

    Examples
    --------
    >>> import fastimg as fi
    >>> recipe = fi.pipeline.Recipe.parse('[resample]\\nspacing = "1 mm"')
    >>> recipe.resample.spacing
    (1.0, 1.0, 1.0)
    """

    name: str = "recipe"
    description: str = ""
    input: Input = field(default_factory=Input)
    deidentify: Deidentify = field(default_factory=Deidentify)
    resample: Resample = field(default_factory=Resample)
    harmonize: Harmonize = field(default_factory=Harmonize)
    by_modality: tuple[tuple[str, Harmonize], ...] = ()
    radiomics: Radiomics = field(default_factory=Radiomics)
    combat: Combat = field(default_factory=Combat)
    clinical: Clinical = field(default_factory=Clinical)
    store: Store = field(default_factory=Store)
    run: Run = field(default_factory=Run)
    settings_text: str = ""  # the parameter file's text: part of the digest, and all that a worker needs

    @classmethod
    def load(cls, source: str | Path) -> Recipe:
        """From a file, or by the name of one that ships with fastimg ("default").

        `source` is its path or name.

        Raises
        ------
        FormatError
            Every problem found, each as "file:line: key: what is wrong and what would do".
        ArgumentError
            No such file, and no recipe of that name.
        """
        path = Path(source)
        if not path.is_file():
            shipped = {entry.name[:-5]: entry for entry in files(__package__).iterdir() if entry.name.endswith(".toml")}
            if str(source) in shipped:
                return cls.parse(shipped[str(source)].read_text(encoding="utf-8"), file=f"{source}.toml")
            raise ArgumentError(f"recipe: no file {str(source)!r}; shipped ones: {', '.join(sorted(shipped))}")
        return cls.parse(_toml_lines.read(path, "a recipe"), file=path.name, folder=path.parent)

    @classmethod
    def parse(cls, text: str, *, file: str = "recipe.toml", folder: Path | None = None) -> Recipe:
        """From TOML text; `file` is the name used in messages, `folder` where relative paths start."""
        document = _toml_lines.parse(text, file)
        problems = Problems(file, _toml_lines.lines_of(text))
        values = dict(_read(document, problems))
        radiomics = values.get("radiomics", Radiomics())
        if radiomics.settings is not None:
            values["settings_text"] = _settings_text(radiomics.settings, folder, problems)
        if radiomics.bin_width is not None and radiomics.bin_count is not None:
            problems.add(("radiomics", "bin_count"), "give bin_width or bin_count, not both")
        problems.stop()
        values.setdefault("name", Path(file).stem)
        return cls(**values)

    def harmonize_for(self, modality: str) -> Harmonize:
        """The intensity harmonisation of a modality: its own section, else the common one."""
        return dict(self.by_modality).get(modality, self.harmonize)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def digest(self, *sections: str) -> str:
        """Of the named sections (default: all): equal digests do equal work."""
        plain = self.to_dict()
        for name in ("name", "description", "run"):
            plain.pop(name)
        if plain["store"]["levels"] == 1:  # cohorts that were made before there was a choice
            del plain["store"]["levels"]
        if sections:
            plain = {name: plain[name] for name in sections}
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def voxel_digest(self) -> str:
        """Of what decides voxels and masks."""
        return self.digest("input", "deidentify", "resample", "harmonize", "by_modality", "store", "clinical")

    @property
    def feature_digest(self) -> str:
        """Of what decides features."""
        return self.digest("radiomics", "settings_text")

    def describe(self) -> list[str]:
        """One line a step, as a dry run prints them."""
        taken, grid = self.input, self.resample
        lines = [
            f"take {', '.join(taken.modalities)}"
            + (f", tolerate {', '.join(taken.tolerate)}" if taken.tolerate else ""),
            "capture what later steps need, de-identify headers",
        ]
        if grid.spacing is None:
            lines.append("keep each volume's grid")
        else:
            z, y, x = grid.spacing
            lines.append(f"resample to {z:g} x {y:g} x {x:g} mm (z, y, x), {grid.order}")
        methods = [("", self.harmonize), *((f" ({modality})", own) for modality, own in self.by_modality)]
        lines += [f"harmonise intensities{which}: {_told(own)}" for which, own in methods]
        lines.append("write voxels, masks and index" + (", then radiomic features" if self.radiomics.enabled else ""))
        if self.radiomics.enabled and self.combat.enabled:
            kept = f", keeping {', '.join(self.combat.covariates)}" if self.combat.covariates else ""
            lines.append(f"ComBat of features over {self.combat.batch}{kept}")
        return lines


def _told(own: Harmonize) -> str:
    if own.method == "none":
        return own.method
    low, high = limits(own)
    if own.method == "window":
        return f"window {low:g} to {high:g} HU"
    ends = "" if own.method == "zscore" else f" {low:g} to {high:g} %"
    return f"{own.method}{ends} of {'the foreground' if own.region == 'foreground' else 'all voxels'}"


def limits(own: Harmonize) -> tuple[float, float]:
    """The ends of a window (HU) or of a percentile scaling (%), defaults filled in."""
    low, high = {"window": (-160.0, 240.0)}.get(own.method, (1.0, 99.0))
    return (low if own.low is None else own.low), (high if own.high is None else own.high)


def _read(document: dict[str, Any], problems: Problems) -> Iterator[tuple[str, Any]]:
    top = ("format", "name", "description", *SECTIONS)
    for key, value in document.items():
        if key == "format":
            if value != FORMAT or isinstance(value, bool):
                problems.add((key,), f"this version reads recipes of format {FORMAT}, got {value!r}")
        elif key in ("name", "description"):
            if isinstance(value, str):
                yield key, value
            else:
                problems.add((key,), f"expected a text in quotes, got {value!r}")
        elif key not in SECTIONS:
            problems.add(
                (key,), f"unknown {'section' if isinstance(value, dict) else 'key'}; {check.nearest(key, top)}"
            )
        elif not isinstance(value, dict):
            problems.add((key,), f"expected a section [{key}], got {value!r}")
        elif key == "harmonize":
            yield from _read_harmonize(value, problems)
        else:
            yield key, read_section(SECTIONS[key], (key,), value, problems)


def _read_harmonize(table: dict[str, Any], problems: Problems) -> Iterator[tuple[str, Any]]:
    own = {key: value for key, value in table.items() if not isinstance(value, dict)}
    yield "harmonize", _one_harmonize(("harmonize",), own, problems)
    sections = []
    for key, value in table.items():
        if not isinstance(value, dict):
            continue
        if key not in MODALITIES:
            problems.add(("harmonize", key), f"no such modality; {check.nearest(key, MODALITIES)}")
            continue
        sections.append((key, _one_harmonize(("harmonize", key), value, problems)))
    yield "by_modality", tuple(sections)


def _one_harmonize(path: tuple[str, ...], table: dict[str, Any], problems: Problems) -> Harmonize:
    checkers = {}
    if table.get("method") == "window":
        checkers = dict.fromkeys(("low", "high"), check.quantity("HU"))
    section: Harmonize = read_section(Harmonize, path, table, problems, **checkers)
    if section.method in ("none", "zscore") and (section.low is not None or section.high is not None):
        problems.add((*path, "low" if "low" in table else "high"), f"{section.method} takes no limits")
    elif section.method in ("window", "percentile", "nyul"):
        low, high = limits(section)
        if low >= high:
            problems.add(
                (*path, "low" if "low" in table else "high"), f"low must be below high, got {low:g} and {high:g}"
            )
    return section


def _settings_text(name: str, folder: Path | None, problems: Problems) -> str:
    path = (folder or Path()) / name
    try:
        if path.stat().st_size > 1 << 20:
            raise OSError("larger than 1 MiB")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.add(("radiomics", "settings"), f"cannot read {name!r}: {error.__class__.__name__}")
        return ""
