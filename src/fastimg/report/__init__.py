"""One self-contained HTML file on a cohort: what went in, what was found, what harmonisation did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ._view import View, view

__all__ = ["View", "view", "write"]


def write(cohort: Any, path: str | os.PathLike[str], *, shareable: bool = False) -> Path:
    """Write the report of a cohort.

    The file needs no network and no script, follows the reader's light or dark setting and holds no identifier. By
    default it is marked node-internal: it shows a slice of each case.

    Parameters
    ----------
    cohort : Cohort, path or pipeline.Summary
        What to report on.
    path : path
        The HTML file; replaced as a whole.
    shareable : bool
        Leave out pictures and per-case rows; counts below 10, and those that would give them away, are not shown.

    Returns
    -------
    Path

    Examples
    --------
    >>> import numpy as np, fastimg as fi, tempfile
    >>> c = fi.Cohort.create(tempfile.mkdtemp() + "/c")
    >>> _ = c.add("case-1", fi.Image(np.arange(60.0).reshape(3, 4, 5)))
    >>> fi.report.write(c, c.path / "report.html").name
    'report.html'
    """
    from ..cohort import Cohort
    from ..pipeline import Summary
    from ..pipeline._summary import load, write_whole
    from ._collect import collect
    from ._html import page

    if isinstance(cohort, Summary):
        opened = Cohort.open(cohort.cohort)
    else:
        opened = cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)
    summary = cohort if isinstance(cohort, Summary) else load(opened.path)
    target = Path(path)
    text = page(collect(opened, summary, pictures=not shareable), shareable=shareable)
    write_whole(target, text.encode("utf-8"))
    return target
