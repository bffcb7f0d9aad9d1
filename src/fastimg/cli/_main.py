"""The group of commands and how errors leave it: 0 done, 1 something became a finding, 2 wrong use."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..errors import FastimgError, IntegrityError

__all__ = ["CohortAt", "as_json", "emit", "exit_with", "main"]

as_json = click.option("--json", "json_", is_flag=True, help="One JSON document on standard output, for programs.")


class CohortAt(click.Path):
    """A folder that exists, or the URL of a cohort in an object store."""

    def __init__(self) -> None:
        super().__init__(exists=True, file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in str(value) else super().convert(value, param, ctx)


class _Group(click.Group):
    """Turns fastimg's errors into a line on standard error, and keeps the order in which commands were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FastimgError as error:
            click.echo(f"fastimg: {error}", err=True)
            ctx.exit(1 if isinstance(error, IntegrityError) else 2)
        except KeyboardInterrupt:
            click.echo("fastimg: stopped; run the same command again to go on", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fastimg")
def main() -> None:
    """Exact, fast kernels for cancer-imaging cohorts: DICOM in, a harmonised cohort with features and a report out.

    Research software, not a medical device. Exit status: 0 all cases done, 1 some cases or files became findings or there
    was no case, 2 wrong use.
    """


def emit(value: Any) -> None:
    """A JSON document on standard output."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def exit_with(command: Callable[..., int]) -> Callable[..., None]:
    """The command's result becomes the exit status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        sys.exit(command(*args, **kwargs))

    return run
