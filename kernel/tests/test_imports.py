"""What ``import scillm`` costs."""

import subprocess
import sys


def _loaded(code):
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; old = set(sys.modules); {code}; print(*sorted(set(sys.modules) - old))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.split()


def test_importing_scillm_loads_itself_and_its_finders():
    """Nothing else: no pluggy, attrs, asyncio, typing, httpx."""
    assert _loaded("import scillm") == ["__future__", "scillm", "scillm._exports"]


def test_asking_for_an_error_loads_no_event_loop():
    """Names load what they need, and no more."""
    loaded = _loaded("from scillm import RateLimitError")
    assert "scillm.errors" in loaded
    assert not {"asyncio", "pluggy", "importlib.metadata"} & set(loaded)


def test_every_name_that_is_declared_can_be_imported():
    """The table that tools read and the one that runs are the same."""
    import ast
    import pathlib

    import scillm

    tree = ast.parse(pathlib.Path(scillm.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        (n.module, a.name) for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names
    }
    declared -= {("typing", "Any")}

    assert declared == {(f"scillm.{home}", name) for name, home in scillm._HOME.items()}
    assert all(getattr(scillm, name) is not None for name in scillm._HOME)
