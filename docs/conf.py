"""Sphinx: `make docs`. Pages are MyST; the reference is made from the docstrings of every public name."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import fastimg

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from accuracy import accuracy_page  # noqa: E402
from pages import write_pages  # noqa: E402

project = "fastimg"
author = "The fastimg developers"
copyright = author
version = release = fastimg.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["gallery_source/**"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "fastimg"
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": True, "secondary_sidebar_items": ["page-toc"]}

sphinx_gallery_conf = {
    "examples_dirs": "gallery_source",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "min_reported_time": 1e9,
}
suppress_warnings = ["config.cache"]

(HERE / "accuracy.md").write_text(accuracy_page(json.loads((HERE / "accuracy.json").read_text())))

# name in the reference -> what it is for
MODULES = [name for name in fastimg._MODULES if name not in ("testing",)]
write_pages(HERE / "reference", {name: importlib.import_module(f"fastimg.{name}") for name in MODULES})
