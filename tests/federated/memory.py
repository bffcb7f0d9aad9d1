"""A cohort of features without a disk: for tests of many nodes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


class Table:
    """index and features of so many cases; columns are metadata, x (cases, features) the features."""

    def __init__(self, x, **columns):
        names = [f"c{i}" for i in range(len(x))]
        columns = {name: np.asarray(column).tolist() for name, column in columns.items()}
        self.index = pa.table({"case_id": names, "state": ["ok"] * len(x), "subject": names, **columns})
        features = {f"f{i}": column for i, column in enumerate(np.asarray(x).T)}
        self._features = pa.table({"case_id": names, "mask": ["m"] * len(x), **features})

    def features(self, mask=None):
        return self._features
