"""How Sphinx builds the documentation: `make docs`, or `tox -e docs`."""

from pathlib import Path

project = "SciLLM"
author = "the SciLLM developers"
copyright = "the SciLLM developers"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "changelog.d"]

# The page of a distribution is its README, wherever its folder is.
pages = Path(__file__).parent / "distributions"
pages.mkdir(exist_ok=True)
for old in pages.glob("*.md"):
    old.unlink()
for readme in Path(__file__).parents[1].glob("*/*/README.md"):
    if (readme.parent / "pyproject.toml").exists():
        folder = readme.parent.relative_to(Path(__file__).parents[1])
        text = f"```{{include}} ../../{folder.as_posix()}/README.md\n```\n"
        (pages / f"{folder.name}.md").write_text(text)

# A reference that leads nowhere is an error. Only our own names can be resolved: those of
# Python and of libraries would have to be fetched, and a build of the docs needs no network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!scillm|pytest_scillm).*")]

autodoc_typehints = "description"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = "SciLLM"
html_copy_source = False
