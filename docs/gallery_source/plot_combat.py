"""
Does ComBat remove the site?
============================

Features of three sites, before and after, and what a linear and a forest classifier still tell of the site in unseen subjects.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastimg as fi

rng = np.random.default_rng(2)
site = np.repeat(["A", "B", "C"], 60)
age = rng.normal(62, 9, site.size)
shift = np.repeat([0.0, 1.5, -1.0], 60)[:, None]
stretch = np.repeat([1.0, 1.6, 0.7], 60)[:, None]
X = stretch * rng.normal(size=(site.size, 24)) + shift + 0.03 * age[:, None]

combat = fi.harmonize.ComBat()
Y = combat.fit_transform(X, batch=site, covariates={"age": age})

# %%
# `site_effect(harmonizer=)` fits ComBat anew inside each fold: a harmoniser that saw the test subjects would flatter itself.

before = fi.harmonize.site_effect(X, batch=site, trees=50)
after = fi.harmonize.site_effect(X, batch=site, harmonizer=combat, trees=50)

names = {
    "variance_explained": "variance\nexplained",
    "ks_share": "features that\ndiffer (KS)",
    "auc_linear": "AUC\nlinear",
    "auc_forest": "AUC\nforest",
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name in "ABC":
    left.scatter(X[site == name, 0], X[site == name, 1], s=9, alpha=0.35, color="grey")
    left.scatter(Y[site == name, 0], Y[site == name, 1], s=9, label=f"site {name}")
left.set(title="two features (grey: before)", xlabel="feature 1", ylabel="feature 2")
left.legend(frameon=False)
place = np.arange(len(names))
right.bar(place - 0.2, [before[key] for key in names], 0.4, color="grey", label="before")
right.bar(place + 0.2, [after[key] for key in names], 0.4, label="after")
right.set_xticks(place, names.values())
right.set_title("site effect in unseen subjects")
right.legend(frameon=False)
plt.show()
