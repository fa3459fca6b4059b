"""How Sphinx builds the documentation: `make docs`, or `tox -e docs`."""

project = "SciLLM"
author = "the SciLLM developers"
copyright = "the SciLLM developers"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "changelog.d"]

# A reference that leads nowhere is an error. Only our own names can be resolved: those of
# Python and of libraries would have to be fetched, and a build of the docs needs no network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!scillm|pytest_scillm).*")]

autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "SciLLM"
html_copy_source = False
