"""Which harmonisation leaves least of vendor, kernel and contrast in features, and which one makes it worse?

    python site_effect_table.py [FOLDER [PICTURE.png]]

FOLDER holds the public NSCLC radiogenomics features of the OPNested-ComBat repository (Sandy-Captk.csv,
Sandy-CT-parameters.xlsx, clinical-demographics.csv); without it a cohort with features as skewed as these is made up. Each
harmoniser is fitted anew to the training part of every fold. With matplotlib at hand and a PICTURE the table is drawn.
"""

from __future__ import annotations

import csv
import re
import sys
import zipfile
from pathlib import Path

import numpy as np

from fastimg.harmonize import ComBat, CovBat, NestedComBat, site_effect

OPTIONS = {
    "before": None,
    "ComBat": ComBat(),
    "mean only": ComBat(mean_only=True),
    "no empirical Bayes": ComBat(eb=False),
    "not parametric": ComBat(parametric=False),
    "robust, 4 sd": ComBat(robust=4.0),
    "signed log": ComBat(monotone="signed-log"),
    "rank-normal": ComBat(monotone="rank-normal"),
    "rank-normal, robust": ComBat(monotone="rank-normal", robust=3.0),
    "CovBat, signed log": CovBat(ComBat(monotone="signed-log")),
    "nested, rank-normal": NestedComBat(ComBat(monotone="rank-normal")),
}
FIGURES = ("ks_share", "auc_linear", "auc_forest", "variance_explained")


def nsclc(folder: Path):
    """(features, batch variables, covariates) as Horng et al. (2022) take them: 191 cases, 100 features that vary."""
    parameters = sheet(folder / "Sandy-CT-parameters.xlsx")
    parameters = [row for row in parameters if row.get("Manufacturer") in ("GE MEDICAL SYSTEMS", "SIEMENS")]
    case_of = {(row["clc"][:-1] if len(row["clc"]) > 7 else row["clc"]): row for row in parameters}
    with (folder / "clinical-demographics.csv").open() as stream:
        clinical = {row[""]: row for row in csv.DictReader(stream)}
    with (folder / "Sandy-Captk.csv").open(encoding="utf-8-sig") as stream:
        rows = list(csv.reader(stream))[1:]
    rows = [row for row in rows if row[0] in case_of and row[0] in clinical and row[0] != "R01-159" and all(row)]
    X = np.array([row[1:] for row in rows], float)
    X = X[:, np.ptp(X, axis=0) > 0]
    cases = [row[0] for row in rows]
    batch = {name: [case_of[case][name] for case in cases] for name in ("Manufacturer", "KernelResolution", "CE")}
    kept = {name: [clinical[case][name] for case in cases] for name in ("sex", "smoking", "histology")}
    return X, batch, kept


def sheet(path: Path) -> list[dict[str, str]]:
    """The rows of an Excel file's first sheet."""
    with zipfile.ZipFile(path) as book:
        words = re.findall(r"<si>.*?</si>", book.read("xl/sharedStrings.xml").decode(), re.S)
        words = ["".join(re.findall(r"<t[^>]*>(.*?)</t>", word, re.S)) for word in words]
        body = book.read("xl/worksheets/sheet1.xml").decode()
    table = []
    for row in re.findall(r"<row .*?</row>", body, re.S):
        cells = re.findall(r'<c r="([A-Z]+)\d+"([^>]*?)(?:/>|>(?:<f>.*?</f>)?<v>(.*?)</v></c>)', row, re.S)
        table.append({at: words[int(value)] if 't="s"' in kind else value for at, kind, value in cells})
    header = table[0]
    return [{header[at]: value for at, value in row.items() if at in header} for row in table[1:]]


def made_up(n: int = 120, features: int = 15):
    """Log-normal features; vendor and kernel shift and stretch their logarithms."""
    rng = np.random.default_rng(0)
    vendor, kernel = rng.integers(0, 2, n), rng.integers(0, 2, n)
    log = rng.normal(0, 1.5, (n, features)) + vendor[:, None] * rng.normal(0.4, 0.3, features)
    log *= np.where(kernel, 1.2, 1)[:, None]
    batch = {"vendor": np.array(["one", "two"])[vendor], "kernel": np.array(["sharp", "soft"])[kernel]}
    return np.exp(log), batch, {"sex": np.array(["F", "M"])[rng.integers(0, 2, n)]}


def measure(X, batch, kept, *, trees: int, folds: int = 4, options=None):
    """{option: {variable: figures}}."""
    found = {}
    for option, harmonizer in (OPTIONS if options is None else options).items():
        nested = {"harmonizer_batch": batch} if isinstance(harmonizer, NestedComBat) else {}
        found[option] = {
            name: site_effect(
                X, rows, covariates=kept, harmonizer=harmonizer, trees=trees, folds=folds, seed=0, **nested
            )
            for name, rows in batch.items()
        }
    return found


def show(found) -> None:
    """The table: after each option the figures, with a mark where one is above the one before."""
    for name in next(iter(found.values())):
        print(f"\n{name:24}{''.join(f'{figure:>20}' for figure in FIGURES)}")
        for option, by_name in found.items():
            cells = ""
            for figure in FIGURES:
                value, before = by_name[name][figure], found["before"][name][figure]
                cells += f"{value:>18.3f}{' ^' if value > before else '  '}"
            print(f"{option:24}{cells}")
    print("\n^ above the value before: this option made it worse")


def draw(found, path: Path) -> None:
    """One panel a figure: options down, a mark a batch variable."""
    try:
        import matplotlib
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names, options = list(next(iter(found.values()))), list(found)
    figure, panels = plt.subplots(1, len(FIGURES), figsize=(12, 4.5), sharey=True, layout="constrained")
    for panel, key in zip(panels, FIGURES, strict=True):
        for name, mark in zip(names, "os^", strict=False):
            panel.plot(
                [found[option][name][key] for option in options], range(len(options)), mark, label=name, alpha=0.8
            )
            panel.axvline(found["before"][name][key], color="0.8", zorder=0)
        panel.set_title(key.replace("_", " "))
    panels[0].set_yticks(range(len(options)), options)
    panels[0].invert_yaxis()
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"drawn: {path}")


if __name__ == "__main__":
    real = len(sys.argv) > 1
    features, variables, covariates = nsclc(Path(sys.argv[1])) if real else made_up()
    few = {name: OPTIONS[name] for name in ("before", "ComBat", "signed log", "rank-normal", "nested, rank-normal")}
    levels = ", ".join(f"{name} ({len(set(rows))})" for name, rows in variables.items())
    print(f"{features.shape[0]} cases, {features.shape[1]} features; batch variables {levels}")
    table = measure(features, variables, covariates, trees=100 if real else 15, options=None if real else few)
    show(table)
    if len(sys.argv) > 2:
        draw(table, Path(sys.argv[2]))
