"""What a project's page needs: who to cite, where to report, what is new; one version in all of them."""

from __future__ import annotations

import re
import tomllib

from ..conftest import ROOT


def test_one_version_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_files_are_there_and_say_something():
    words = {
        "LICENSE": "Apache License",
        "NOTICE": "Copyright",
        "SECURITY.md": "report",
        "CONTRIBUTING.md": "how to add a kernel",
        "CITATION.cff": "cff-version",
    }
    for name, word in words.items():
        assert word.lower() in (ROOT / name).read_text().lower(), name


def test_what_is_new_is_told_by_fragments():
    fragments = sorted((ROOT / "changes").glob("*.md"))
    assert fragments
    for path in fragments:
        assert path.read_text().startswith("- "), path.name
