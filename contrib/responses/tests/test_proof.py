"""What this folder is there to show: that a third party can, with the public kit alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import scillm
import scillm_responses

SOURCE = Path(scillm_responses.__file__)


def test_it_is_one_file_of_less_than_250_lines():
    """Blank lines count."""
    files = [path for path in SOURCE.parent.rglob("*.py") if "__pycache__" not in path.parts]
    assert files == [SOURCE]
    assert len(SOURCE.read_text().splitlines()) < 250


def test_it_imports_the_public_names_of_the_kernel_alone():
    """Besides attrs and the standard library; no module below ``scillm``, no library of ours."""
    tree = ast.parse(SOURCE.read_text())
    plain = {name.name for n in ast.walk(tree) if isinstance(n, ast.Import) for name in n.names}
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    asked = plain | {node.module for node in froms}
    assert {name for name in asked if name.partition(".")[0] not in sys.stdlib_module_names} == {
        "attrs",
        "scillm",
    }
    named = {name.name for node in froms if node.module == "scillm" for name in node.names}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "scillm"
    }
    assert named | used <= {*scillm.__all__}
