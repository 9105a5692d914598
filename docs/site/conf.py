"""How sphinx builds the documentation site from the pages beside this folder; README.txt has the command."""

import sys
from pathlib import Path

from fusemap.version import VERSION

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "fusemap"
author = "The fusemap authors"
copyright = "The fusemap authors"
release = version = VERSION
extensions = ["myst_parser", "sphinx.ext.autodoc", "fusemap_docs"]
root_doc = "site/index"
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["site/_ext"]
# Anchors as GitHub makes them, so that the pages read the same there.
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
html_theme = "furo"
html_title = f"fusemap {VERSION}"
html_copy_source = False
html_show_sphinx = False
