"""
Three scanners, one scale
=========================

The same tissue through three gains and gammas; Nyúl and Udupa's landmarks are learned from mergeable histograms and applied.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastimg as fi

rng = np.random.default_rng(4)
tissue = np.concatenate([rng.normal(60, 8, 12000), rng.normal(110, 10, 16000), rng.normal(190, 14, 4768)])
images = [
    fi.Image((gain * tissue[rng.permutation(tissue.size)] ** gamma).astype(np.float32).reshape(32, 32, 32))
    for gain, gamma in ((1, 1), (2.1, 0.9), (0.4, 1.15))
]

# %%
# The fit streams: `Nyul().partial_fit` takes one image at a time, and `Histogram` objects of other nodes merge exactly.

nyul = fi.harmonize.Nyul().fit(images)
after = [nyul.transform(image) for image in images]

figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for axis, title, group in zip(axes, ("before", "after"), (images, after), strict=True):
    for number, image in enumerate(group):
        counts, edges = np.histogram(image.array, 120)
        axis.stairs(counts, edges, label=f"scanner {number + 1}")
    axis.set(title=title, xlabel="intensity", ylabel="voxels")
axes[0].legend(frameon=False)
plt.show()
