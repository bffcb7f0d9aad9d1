"""The reference's pages, one a module, from `__all__`: a public name cannot be forgotten."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any


def write_pages(folder: Path, modules: dict[str, ModuleType]) -> None:
    """Write FOLDER/NAME.rst for each module; a page that has not changed keeps its time, so that builds stay short."""
    for name, module in modules.items():
        text = _page(f"fastimg.{name}", module)
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _page(name: str, module: ModuleType) -> str:
    lines = [name, "=" * len(name), "", *inspect.getdoc(module).splitlines(), "", f".. currentmodule:: {name}", ""]
    public = [(word, getattr(module, word)) for word in module.__all__]
    groups = {
        "Functions": [word for word, value in public if inspect.isroutine(value)],
        "Classes": [word for word, value in public if inspect.isclass(value)],
    }
    for title, words in groups.items():
        if words:
            lines += [
                title,
                "-" * len(title),
                "",
                ".. autosummary::",
                "   :toctree: generated",
                "   :nosignatures:",
                "",
            ]
            lines += [f"   {word}" for word in sorted(words, key=str.lower)] + [""]
    values = [(word, value) for word, value in public if not (inspect.isroutine(value) or inspect.isclass(value))]
    if values:
        lines += ["Values", "------", ""]
        for word, value in values:
            lines += [f"``{word}``", f"    {_words(value)}", ""]
    return "\n".join(lines)


def _words(value: Any) -> str:
    if isinstance(value, ModuleType):
        return "A module."
    parts = sorted(map(str, value)) if isinstance(value, (dict, tuple, list, set, frozenset)) else [repr(value)]
    shown = ", ".join(f"``{part}``" for part in parts[:40])
    return shown + (f" and {len(parts) - 40} more" if len(parts) > 40 else "")
