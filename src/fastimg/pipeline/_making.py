"""What a cohort was made with: a run goes on only with the recipe and the key that began it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import RefusedError
from ._names import Names
from ._recipe import Recipe
from ._summary import FOLDER, MADE_WITH, write_whole

__all__ = ["check_key", "note_making", "same_making"]


def same_making(target: Path, recipe: Recipe, key: bytes) -> bool:
    """Refuse a cohort that another recipe or key made; False if only its features are asked for differently."""
    path = target / FOLDER / MADE_WITH
    if not path.exists():
        note_making(target, recipe, key)
        return True
    made = check_key(target, key)
    if made["voxels"] != recipe.voxel_digest:
        raise RefusedError(
            "recipe: this cohort was made with other input, resample, harmonize, clinical or store settings; "
            "give another output folder, or the recipe that it was made with"
        )
    return bool(made["features"] == recipe.feature_digest)


def check_key(target: Path, key: bytes) -> dict[str, Any]:
    """Refuse a key that is not the one which a run made this cohort with; returns what is noted of its making.

    Parameters
    ----------
    target : Path
        The cohort's folder.
    key : bytes
        The site's key.

    Returns
    -------
    dict
        Empty where no run has noted anything.

    Raises
    ------
    RefusedError
        Another key.
    """
    try:
        made: dict[str, Any] = json.loads((target / FOLDER / MADE_WITH).read_bytes())
    except FileNotFoundError:
        return {}
    if made["key"] != Names(key).code("fastimg cohort"):
        raise RefusedError("key: this cohort was made with another key; its pseudonyms would not fit together")
    return made


def note_making(target: Path, recipe: Recipe, key: bytes) -> None:
    record = {
        "format": "fastimg-making",
        "version": 1,
        "voxels": recipe.voxel_digest,
        "features": recipe.feature_digest,
        "key": Names(key).code("fastimg cohort"),
    }
    write_whole(target / FOLDER / MADE_WITH, json.dumps(record).encode())
