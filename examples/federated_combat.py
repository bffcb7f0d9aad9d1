"""Three hospitals fit ComBat together: no hospital shows its features, and the answer is that of the pooled table."""

import tempfile
from pathlib import Path

import numpy as np

import fastimg as fi

rng = np.random.default_rng(7)
folder = Path(tempfile.mkdtemp())
names = [f"feature_{n}" for n in range(20)]
rows, sites, nodes = [], [], []

for number, site in enumerate(["vienna", "paris", "athens"]):
    cohort = fi.Cohort.create(folder / site)
    for patient in range(15):
        values = rng.normal(number, 1 + 0.5 * number, len(names))  # each scanner shifts and stretches what it measures
        image = fi.Image(rng.integers(-1000, 1000, (2, 4, 4)).astype(np.int16), unit="HU")
        metadata = {"site": site, "subject": f"{site}-{patient}", "modality": "CT"}
        features = {"lesion": dict(zip(names, values, strict=True))}
        cohort.add(f"case-{patient:02}", image, None, metadata, features=features)
        rows.append(values)
        sites.append(site)
    nodes.append(fi.federated.Node(cohort, fi.federated.Policy(min_cases=10)))

answer = fi.federated.Federation.local(nodes).run("combat", features=names, batch="site", secure=True)

table, sites = np.array(rows), np.array(sites)
pooled = fi.harmonize.ComBat().fit(table, batch=sites).transform(table, batch=sites)
federated = answer.value.transform(table, batch=sites)
print("means by site before ", *(f"{table[sites == s].mean():6.2f}" for s in dict.fromkeys(sites)))
print("means by site after  ", *(f"{federated[sites == s].mean():6.2f}" for s in dict.fromkeys(sites)))
print(f"largest difference from the pooled fit: {np.abs(federated - pooled).max():.1e}")
