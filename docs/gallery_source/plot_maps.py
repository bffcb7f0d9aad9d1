"""
Where is the texture?
=====================

Voxel-based features: a lesion with a smooth and a rough half, and the map of its GLCM contrast.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastimg as fi

rng = np.random.default_rng(1)
z, y, x = np.indices((9, 48, 48))
ball = ((y - 24) ** 2 + (x - 24) ** 2 < 400).astype(np.uint8)
rough = np.where(x < 24, 6, 45)
image = fi.Image(rng.normal(80, rough).astype(np.float32), spacing=(3, 1, 1))
mask = fi.Image(ball, affine=image.affine)

settings = fi.radiomics.Settings(bin_width=20)
maps = fi.radiomics.maps(image, mask, settings)
name = next(key for key in maps if key.lower().endswith("glcm_contrast"))

# %%
# A map covers the mask's box; its affine says where that lies, so it goes back onto the image's grid like any image.

on_grid = fi.resample(maps[name], like=image, order="nearest")

figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
axes[0].imshow(image.array[4], cmap="gray")
axes[0].contour(ball[4], [0.5], colors="orange", linewidths=1)
shown = axes[1].imshow(np.where(ball[4], on_grid.array[4], np.nan), cmap="viridis")
figure.colorbar(shown, ax=axes[1], shrink=0.8)
for axis, title in zip(axes, ("image and mask", name), strict=True):
    axis.set(title=title, xticks=[], yticks=[])
plt.show()
