"""radiomics: features of one image and mask."""

from __future__ import annotations

from pathlib import Path

import click

from ._main import as_json, emit, exit_with, main

__all__: list[str] = []

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@main.command()
@click.argument("image", type=_file)
@click.argument("mask", type=_file)
@click.option("--settings", type=_file, help="A PyRadiomics parameter file.")
@click.option("--names", type=click.Choice(["pyradiomics", "ibsi"]), default="pyradiomics", show_default=True)
@as_json
@exit_with
def radiomics(image: Path, mask: Path, settings: Path | None, names: str, json_: bool) -> int:
    """Features of IMAGE inside MASK, both NIfTI, on one grid. For many cases: fastimg run with a table."""
    from .. import radiomics as leaf
    from ..image import Image

    chosen = leaf.Settings.from_yaml(settings) if settings is not None else leaf.Settings()
    found = leaf.extract(Image.from_nifti(image), Image.from_nifti(mask), chosen, names=names)
    if json_:
        emit({name: float(value) for name, value in found.items()})
    else:
        for name, value in found.items():
            click.echo(f"{name:<60} {float(value):.9g}")
    return 0
