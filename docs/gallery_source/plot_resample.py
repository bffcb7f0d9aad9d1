"""
One lesion, three grids
=======================

A CT series with 5 mm slices is read, brought to 1 mm by nearest, linear and cubic interpolation, and shown from the side.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import fastimg as fi

tree = fi.synth.hospitals(Path(tempfile.mkdtemp()) / "tree", patients=1, size=64)
case = tree.cases[0]
series = {s.uid: s for s in fi.dicom.series(tree.folder)}[case.series_uid]
image = fi.dicom.read(series)
print(image)

# %%
# The affine goes along; a mask would go by ``order="nearest"`` or, with several labels, ``order="label"``.

made = {order: fi.resample(image, spacing=(1, 1, 1), order=order) for order in ("nearest", "linear", "cubic")}

figure, axes = plt.subplots(1, 4, figsize=(10, 3.4), layout="constrained")
for axis, (name, shown) in zip(axes, {"as scanned": image, **made}.items(), strict=True):
    side = shown.array[:, shown.shape[1] // 2]
    axis.imshow(side, cmap="gray", vmin=-900, vmax=300, aspect=shown.spacing[0] / shown.spacing[2], origin="lower")
    axis.set(title=f"{name}\n{' × '.join(map(str, shown.shape))}", xticks=[], yticks=[])
plt.show()
