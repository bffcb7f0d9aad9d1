"""The Python and the commands of the pages do what the pages say."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys

import pytest

from ..conftest import ROOT

PAGES = [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if re.search(r"^```(pycon|console)$", path.read_text(), re.MULTILINE)
]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def blocks(text: str, *languages: str) -> list[tuple[str, str]]:
    """(language, body) of each fenced block."""
    return re.findall(rf"^```({'|'.join(languages)})\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_python_of(page, tmp_path, monkeypatch):
    found = blocks(page.read_text(), "pycon")
    if not found:
        pytest.skip("commands only")
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest("\n".join(body for _, body in found), {}, page.stem, str(page), 0)
    assert test.examples
    said: list[str] = []
    assert doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append).failed == 0, "".join(said)


def run(command: str, folder) -> str:
    """Output of one `fastimg` or `python` command, which must not end as wrong use."""
    name, *arguments = shlex.split(command)
    words = {"fastimg": [sys.executable, "-m", "fastimg"], "python": [sys.executable]}[name]
    environment = os.environ | {"COLUMNS": "200"}
    done = subprocess.run([*words, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p.read_text(), "console")], ids=lambda path: path.name)
def test_commands_of(page, tmp_path):
    for language, body in blocks(page.read_text(), "console", "toml"):
        if language == "toml":
            (tmp_path / "recipe.toml").write_text(body)
            continue
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE):
            seen = run(command, tmp_path)
            assert doctest.OutputChecker().check_output(expected, seen, OPTIONS) or not expected, (command, seen)
