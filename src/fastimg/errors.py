"""The kinds of error: every one names what was wrong, what came, and what would do.

A batch never raises for one bad file: there a problem is a `fastimg.findings.Finding`. All errors survive pickling, so
that process pools can carry them; they hold a message and nothing else, and no message holds a patient's identifier.
"""

from __future__ import annotations

__all__ = [
    "ArgumentError",
    "DeviceError",
    "FastimgError",
    "FormatError",
    "GeometryError",
    "IntegrityError",
    "MissingError",
    "RefusedError",
]


class FastimgError(Exception):
    """Any error that fastimg raises on purpose."""


class ArgumentError(FastimgError, ValueError):
    """A function was called with a value that it cannot use."""


class GeometryError(FastimgError, ValueError):
    """Grids, affines or positions do not fit the operation or one another."""


class FormatError(FastimgError, ValueError):
    """A file or message is not what its format promises, or is newer than this version reads."""


class DeviceError(FastimgError, RuntimeError):
    """Arrays live on different devices, or a device cannot be used."""


class IntegrityError(FastimgError, RuntimeError):
    """Stored data differ from their checksums, or a promise of the store is broken."""


class RefusedError(FastimgError, RuntimeError):
    """A policy or a disclosure rule refuses the request."""


class MissingError(FastimgError, ImportError):
    """An optional package is needed; the message holds the command that installs it."""
