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

    def features(self, mask=None, *, names=None, cases=None):
        table = self._features if names is None else self._features.select(["case_id", "mask", *names])
        return table if cases is None else table.take([int(case[1:]) for case in cases])
