"""What the tests of the pipeline share: a small recipe, a key, and what a run must bring back."""

from __future__ import annotations

import fastimg as fi

RECIPE = """
name = "small"
[input]
rename = { "Lesion*" = "lesion" }
[resample]
spacing = "6 mm"
[harmonize]
method = "nyul"
[radiomics]
bin_count = 16
classes = ["firstorder", "shape"]
[combat]
covariates = ["age_years"]
[run]
reserve = "1 MB"
"""
KEY = b"a key of the tests, 32 bytes long"


def digests(path):
    """What a run must bring back: voxels, masks, features and states of all cases."""
    cohort = fi.Cohort.open(path)
    return {
        case.case_id: (
            case.state,
            case.digest,
            {name: entry["digest"] for name, entry in case.manifest["masks"].items()},
            case.features,
            sorted(f.code for f in case.findings),
        )
        for case in cohort.cases()
    }
