"""tool: run a tool that the nodes have registered over their cases; only aggregates of its numbers return.

A tool is a Python function over a case, or an ONNX file pinned by its SHA-256. It declares each number that it gives and
the range in which the number is meaningful; that is where the bins lie.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, FastimgError, IntegrityError, MissingError, RefusedError
from ._disclosure import Cells
from ._registry import Done, Parameter, computation
from ._rows import Rows

__all__ = ["Tool", "onnx_tool", "tool", "tools"]

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_MOST_BYTES = 1 << 31
_TOOLS: dict[str, Tool] = {}

Run = Callable[[Any, Mapping[str, float]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A registered tool: run(case, options) -> {output: number}; outputs {name: (low, high)}; options {name: default}.

    Attributes
    ----------
    name : str
    version : int
    outputs : mapping of str to (float, float)
        The range of each output's histogram.
    run : callable
    options : mapping of str to float
    digest : str
        "sha256:..." of a model's file; empty for a function.
    """

    name: str
    version: int
    outputs: Mapping[str, tuple[float, float]]
    run: Run
    options: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""


def tools() -> dict[str, Tool]:
    """All tools of this node by name."""
    from ._registry import registered

    registered()  # imports the packages that register some
    return dict(_TOOLS)


def tool(
    *,
    name: str,
    outputs: Mapping[str, tuple[float, float]],
    version: int = 1,
    options: Mapping[str, float] | None = None,
) -> Callable[[Run], Run]:
    """Register the decorated function as a tool.

    Parameters
    ----------
    name : str
        Lower-case letters, digits, _ . -
    outputs : {name: (low, high)}
        The numbers that the function gives, each with the range of its histogram.
    version : int
    options : {name: default}, optional
        Numbers that a question may set.

    Returns
    -------
    decorator
        It gives back the function.

    Raises
    ------
    ArgumentError
        A name or a range that is not allowed, no output, or a name that is registered already.

    Examples
    --------
    >>> import fastimg as fi
    >>> @fi.federated.tool(name="lesion-volume", outputs={"ml": (0, 500)})
    ... def lesion_volume(case, options):
    ...     mask = case.masks()["lesion"]
    ...     return {"ml": float(mask.array.sum() * abs(np.linalg.det(mask.affine[:3, :3])) / 1000)}
    >>> sorted(fi.federated.tools()["lesion-volume"].outputs)
    ['ml']
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError("tool: name must match [a-z][a-z0-9_.-]{0,63}")
    checked = {}
    for output, limits in outputs.items():
        low, high = (float(v) for v in limits)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ArgumentError(f"tool: the range of {output!r} must be two rising numbers")
        checked[str(output)] = (low, high)
    if not checked:
        raise ArgumentError("tool: at least one output must be declared")

    def register(run: Run) -> Run:
        before = _TOOLS.get(name)
        if before is not None and getattr(before.run, "__module__", "") != getattr(run, "__module__", ""):
            raise ArgumentError(f"tool: {name!r} is registered already by {before.run.__module__}")
        _TOOLS[name] = Tool(name, version, checked, run, dict(options or {}), getattr(run, "digest", ""))
        return run

    return register


def onnx_tool(
    path: str | os.PathLike[str],
    *,
    name: str,
    sha256: str,
    outputs: Mapping[str, tuple[float, float]],
    size: Sequence[int],
    window: tuple[float, float],
    spacing: Sequence[float] | None = None,
    version: int = 1,
) -> Tool:
    """Register an ONNX model as a tool; needs onnxruntime (extra "onnx").

    The model takes one float32 tensor (1, 1, z, y, x) and gives one number an output, in the order of `outputs`.

    Parameters
    ----------
    path : path
        The model's file.
    name : str
        As for `tool`.
    sha256 : str
        Of the file, 64 hexadecimal digits; another file is an IntegrityError, when registering and at each question.
    outputs : {name: (low, high)}
        As for `tool`.
    size : (z, y, x)
        The image is cropped or padded about its middle to these voxels.
    window : (low, high)
        Values are clipped to it and scaled to 0 to 1.
    spacing : (z, y, x), mm, optional
        Resample to it first.
    version : int
        Told with every answer. Default 1.

    Returns
    -------
    Tool

    Raises
    ------
    ArgumentError
        A size, window, name or range that cannot be used; a name that is registered already.
    IntegrityError
        The file is not the one of this digest.
    """
    file = Path(path)
    shape = tuple(int(n) for n in size)
    if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > 1 << 30:
        raise ArgumentError(f"onnx_tool: size must be three positive numbers of voxels (z, y, x), got {tuple(size)}")
    low, high = (float(v) for v in window)
    if not low < high:
        raise ArgumentError("onnx_tool: window must be two rising numbers")
    names = list(outputs)
    _session(file, sha256)

    def run(case: Any, options: Mapping[str, float]) -> dict[str, float]:
        image = case.image()
        if spacing is not None:
            from .. import resample

            image = resample(image, spacing=tuple(spacing))
        array = (np.clip(image.array.astype(np.float32), low, high) - np.float32(low)) / np.float32(high - low)
        session = _session(file, sha256)
        found = session.run(None, {session.get_inputs()[0].name: _fitted(array, shape)[None, None]})
        values = np.concatenate([np.asarray(part, np.float64).ravel() for part in found])
        if values.size != len(names):
            raise ArgumentError(f"onnx_tool: {name} gives {values.size} numbers, {len(names)} are declared")
        return dict(zip(names, values.tolist(), strict=True))

    run.__module__ = f"onnx:{sha256}"
    run.digest = f"sha256:{sha256}"  # type: ignore[attr-defined]
    tool(name=name, outputs=outputs, version=version)(run)
    return _TOOLS[name]


_SESSIONS: dict[str, Any] = {}


def _session(file: Path, sha256: str) -> Any:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ArgumentError(f"onnx_tool: {file.name} is larger than {_MOST_BYTES} bytes")
        data = file.read_bytes()
    except OSError as error:
        raise ArgumentError(f"onnx_tool: {file.name} cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != sha256.lower():
        raise IntegrityError(f"onnx_tool: {file.name} is not the file of that SHA-256")
    if sha256 not in _SESSIONS:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingError("an ONNX tool needs onnxruntime: pip install 'fastimg[onnx]'") from error
        _SESSIONS[sha256] = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return _SESSIONS[sha256]


def _fitted(array: Any, shape: tuple[int, ...]) -> Any:
    """Cropped or padded with 0 about its middle."""
    out = np.zeros(shape, np.float32)
    source, target = [], []
    for have, want in zip(array.shape[-3:], shape, strict=True):
        n = min(have, want)
        source.append(slice((have - n) // 2, (have - n) // 2 + n))
        target.append(slice((want - n) // 2, (want - n) // 2 + n))
    out[tuple(target)] = array[(0,) * (array.ndim - 3) + tuple(source)]
    return out


def _combine(total: Any, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    n, sums = total["n"].astype(np.float64), total["sums"]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums[:, 0] / n
        spread = np.sqrt(np.maximum(sums[:, 1] / n - mean**2, 0) * n / (n - 1))
    outputs = {}
    for k, (name, low, high) in enumerate(_declared(parameters)):
        half = (high - low) / 2
        outputs[name] = {
            "n": int(n[k]),
            "mean": float(low + half + half * mean[k]),
            "standard_deviation": float(half * spread[k]),
            "counts": total["counts"][k],
            "edges": np.linspace(low, high, parameters["bins"] + 1),
            "overflow": int(total["overflow"][k]),
        }
    cases, failed = total["cases"].tolist()
    return Done({"tool": parameters["tool"], "cases": cases, "failed": failed, "outputs": outputs})


def _declared(parameters: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    found = _find(parameters)
    return [(name, *found.outputs[name]) for name in sorted(found.outputs)]


def _find(parameters: Mapping[str, Any]) -> Tool:
    found = tools().get(parameters["tool"])
    if found is None or found.version != parameters["tool_version"]:
        raise RefusedError("rule tools: this tool or version is not installed at this node")
    return found


@computation(
    name="tool",
    version=1,
    parameters={
        "tool": Parameter("name"),
        "tool_version": Parameter("int", 1, low=1),
        "options": Parameter("arrays", None, high=100),
        "bins": Parameter("int", 20, low=1, high=4096),
    },
    combine=_combine,
    result={"tool": "string", "cases": "integer", "failed": "integer", "outputs": "object"},
    discloses="number, mean, standard deviation and histogram of each number that the tool gives, over all nodes",
    counts=("counts", "overflow"),
)
def run_tool(rows: Rows, parameters: dict[str, Any], shared: dict[str, Any]) -> Any:
    """Run a registered tool over the cases with voxels.

    Parameters: tool, tool_version, options {name: number} of those that the tool declares, bins (over each output's
    declared range), where. Value: tool, cases, failed (cases for which the tool raised, or gave something else than its
    declared finite numbers), outputs {name: n, mean, standard_deviation, counts, edges, overflow}: values outside the
    range count as its ends; overflow is the mass of bins of few patients. The policy's `tools` says which tools may run.
    """
    found = _find(parameters)
    rows.policy.check("tool", (found.name, found.version))
    options = _options(found, parameters["options"])
    names = sorted(found.outputs)
    bins = parameters["bins"]
    cells = [Cells(bins, rows.minimum, rows.n_patients) for _ in names]
    one = np.zeros(bins, np.int64)
    n, sums = np.zeros(len(names), np.int64), np.zeros((len(names), 2))
    cases = failed = 0
    seen: set[int] = set()
    for patient, case in rows.cases():
        if not case.has_voxels:
            continue
        cases += 1
        values = _values(found, case, options)
        if values is None:
            failed += 1
            continue
        seen.add(patient)
        for k, name in enumerate(names):
            low, high = found.outputs[name]
            value = min(max(values[name], low), high)
            unit = (value - low) / (high - low)
            place = min(int(unit * bins), bins - 1)
            one[place] = 1
            cells[k].add(patient, one)
            one[place] = 0
            n[k] += 1
            sums[k] += [2 * unit - 1, (2 * unit - 1) ** 2]
    rows.contribute([f"tool {found.name}@{found.version}"], np.isin(rows.patients, sorted(seen)))
    shown, overflow = zip(*(filled.suppressed() for filled in cells), strict=True)
    return {
        "cases": np.array([cases, failed], np.int64),
        "n": n,
        "sums": sums,
        "counts": np.array(shown),
        "overflow": np.array(overflow),
    }


def _options(found: Tool, given: Any) -> dict[str, float]:
    options = {name: float(value) for name, value in found.options.items()}
    for name, value in (given or {}).items():
        if name not in options or np.asarray(value).size != 1:
            known = ", ".join(options) or "none"
            raise ArgumentError(f"options: {found.name} takes one number for each of: {known}")
        options[name] = float(np.asarray(value).reshape(-1)[0])
    return options


def _values(found: Tool, case: Any, options: Mapping[str, float]) -> dict[str, float] | None:
    """What the tool gives for a case; None where it fails: a broken case never stops a node's answer."""
    try:
        values = {name: float(value) for name, value in found.run(case, options).items()}
    except (MissingError, IntegrityError) as error:
        if str(error).startswith("onnx_tool") or isinstance(error, MissingError):
            raise
        return None
    except (
        FastimgError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        AttributeError,
        RuntimeError,
        MemoryError,
    ):
        return None
    good = values.keys() == found.outputs.keys() and all(math.isfinite(v) for v in values.values())
    return values if good else None
