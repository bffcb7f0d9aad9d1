"""From DICOM files to radiomic features: read, resample, measure."""

import tempfile
from pathlib import Path

import fastimg as fi

# three small hospitals; with files of your own: series = fi.dicom.series("PACS_EXPORT")
tree = fi.synth.hospitals(Path(tempfile.mkdtemp()) / "tree", patients=1, size=64)
case = tree.cases[0]

series = {s.uid: s for s in fi.dicom.series(tree.folder)}[case.series_uid]
image = fi.dicom.read(series)
masks = fi.dicom.read_masks(tree.folder / case.mask_file, like=image)
name, mask = next(iter(masks.items()))
print("read      ", image)

# image and mask go to one grid; the mask by nearest neighbour, so that it stays a mask
image = fi.resample(image, spacing=(2, 2, 2), order="linear")
mask = fi.resample(mask, like=image, order="nearest")
print("resampled ", image)

features = fi.radiomics.extract(image, mask, fi.radiomics.Settings(bin_width=25))
print(f"measured   {len(features)} features of a mask of {int(mask.array.sum())} voxels, for example")
for feature in ("original_firstorder_Mean", "original_glcm_Contrast", "original_shape_MeshVolume"):
    print(f"           {feature:28} {features[feature]:.4g}")
