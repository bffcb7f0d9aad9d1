"""The command line. Each command imports what it needs when it runs, so that `fastimg --help` is quick."""

from ._commands import main

__all__ = ["main"]
