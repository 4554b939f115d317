"""The course page. Build it with ``sphinx-build -W -b html docs docs/_build/html`` (``pip install -e .[docs]`` first).

Nothing is executed: the labs are the solution notebooks as `labkit build` left them. Nothing is fetched: the page works
with the network off.
"""

import sys
from pathlib import Path

import labkit

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "labkit"
author = "the labkit authors"
copyright = "2026, the labkit authors. MIT license; weights follow their cards"
version = release = labkit.__version__
language = "en"

extensions = [
    "labs",
    "mathml",
    "myst_nb",
    "performance",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_slides", "_ext"]
html_extra_path = ["_slides"]

html_theme = "sphinx_book_theme"
html_title = "labkit: colorization in labs"
html_static_path = ["_static"]
html_css_files = ["page.css"]
html_theme_options = {"show_toc_level": 2, "show_navbar_depth": 1, "use_download_button": True}
html_context = {"default_mode": "auto"}  # else the theme complains in the browser's console
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "application/vnd.labkit.check+json", None)]
suppress_warnings = ["mystnb.unknown_mime_type"]

default_role = "code"  # `name` in a docstring is code
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
