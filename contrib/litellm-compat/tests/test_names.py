"""What `import litellm` gives."""

import ast
import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import litellm
import scillm
from scillm_litellm_compat import names


def _run(code: str) -> str:
    """Run code in a fresh interpreter; returns what it prints, or the last line of its error."""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_importing_litellm_loads_nothing_but_names() -> None:
    """No pluggy, attrs, asyncio, typing; not even scillm."""
    code = (
        "import sys; before = set(sys.modules); import litellm; "
        "print(*sorted(set(sys.modules) - before))"
    )

    assert _run(code).split() == [
        "__future__",
        "litellm",
        "scillm_litellm_compat",
        "scillm_litellm_compat.finder",
        "scillm_litellm_compat.names",
        "scillm_litellm_compat.switches",
    ]


def test_an_error_is_loaded_without_an_event_loop() -> None:
    """An `except litellm.RateLimitError` costs what the error costs."""
    code = (
        "import sys; from litellm.exceptions import RateLimitError; "
        "print({'asyncio', 'pluggy'} & set(sys.modules))"
    )

    assert _run(code) == "set()"


@pytest.mark.parametrize("name", ["completion", "acompletion", "embedding", "aembedding"])
def test_a_function_is_scillms_own(name: str) -> None:
    """Not a copy, so that a test that replaces one replaces what is called."""
    assert getattr(litellm, name) is getattr(scillm, name)


@pytest.mark.parametrize("name", sorted(names.ERRORS))
def test_an_error_has_one_class_under_all_its_names(name: str) -> None:
    """What scillm raises is caught by litellm's name."""
    error = getattr(importlib.import_module("litellm.exceptions"), name)

    assert error is getattr(litellm, name) is getattr(scillm, names.RENAMED.get(name, name))
    assert issubclass(error, scillm.ScillmError)


@pytest.mark.parametrize(("theirs", "ours"), sorted(names.RENAMED.items()))
def test_a_renamed_class_is_ours(theirs: str, ours: str) -> None:
    """`isinstance(answer, litellm.ModelResponse)` works."""
    assert getattr(litellm, theirs) is getattr(scillm, ours)


def test_an_answer_is_a_model_response() -> None:
    """By the class that users test for."""
    assert isinstance(scillm.Response({"choices": []}), litellm.ModelResponse)


@pytest.mark.parametrize("module", ["litellm", "litellm.exceptions"])
def test_what_type_checkers_see_is_what_runs(module: str) -> None:
    """The block that tools read names objects that are there, under the same names."""
    loaded = importlib.import_module(module)
    assert loaded.__file__ is not None
    tree = ast.parse(Path(loaded.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [n for n in block.body if isinstance(n, ast.ImportFrom) and n.module == "scillm"]
    aliases = {alias.asname: alias.name for node in imports for alias in node.names}
    assigned = [node for node in block.body if isinstance(node, ast.Assign)]
    seen = {name: ours for name, ours in aliases.items() if name and not name.startswith("_")}
    seen |= {ast.unparse(n.targets[0]): aliases[ast.unparse(n.value)] for n in assigned}

    assert seen
    assert {name: getattr(loaded, name) for name in seen} == {
        name: getattr(scillm, ours) for name, ours in seen.items()
    }
    assert set(seen) >= names.ERRORS


def test_dir_shows_what_is_served() -> None:
    """For completion in a shell."""
    assert {"completion", "exceptions", "ModelResponse", "RateLimitError"} <= set(dir(litellm))
    assert set(dir(litellm.exceptions)) >= names.ERRORS


@pytest.mark.parametrize(
    "code",
    [
        "from litellm import NoSuchThing",
        "import litellm; litellm.NoSuchThing",
        "import litellm.NoSuchThing",
        "import litellm.NoSuchThing.deeper",
    ],
)
def test_a_name_that_nobody_lends_is_told_as_such(code: str) -> None:
    """Without advice to install a distribution that nobody owns."""
    told = _run(code)

    assert "'litellm.NoSuchThing' is not served by scillm-litellm-compat" in told
    assert "there is no 'scillm.NoSuchThing'" in told
    assert "install " not in told


def test_an_error_that_scillm_never_raises_is_not_there() -> None:
    """The message lists those that are."""
    with pytest.raises(AttributeError, match=r"no attribute 'JSONSchemaValidationError'.*Timeout"):
        litellm.exceptions.JSONSchemaValidationError  # noqa: B018  # asking is the test


def test_files_of_another_distribution_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installer may have mixed the real litellm's files into our folder."""
    (tmp_path / "main.py").write_text("raise SystemExit('loaded')")
    monkeypatch.setattr(litellm, "__path__", [*litellm.__path__, str(tmp_path)])

    with pytest.raises(ImportError, match=r"'litellm.main' is not served"):
        importlib.import_module("litellm.main")


def test_a_switch_says_that_it_has_no_effect() -> None:
    """With the line that sets it."""
    with pytest.warns(RuntimeWarning, match=r"litellm.drop_params has no effect") as caught:
        litellm.drop_params = True

    assert caught[0].filename == __file__
    del litellm.drop_params


def test_a_name_that_is_served_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tests of other people's code do."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(litellm, "completion", scillm.acompletion)

    assert vars(litellm)["completion"] is scillm.acompletion


def test_extras_are_scillms_own() -> None:
    """One module object under two names, however it is imported, its own spec kept."""
    code = (
        "import litellm.extras, scillm.extras as ours; "
        "print(litellm.extras is ours, ours.__spec__.name)"
    )

    assert _run(code) == "True scillm.extras"


def test_a_module_below_extras_is_the_one_that_a_plugin_lends() -> None:
    """Under both names, as an attribute and as an import."""
    code = (
        "from litellm.extras.codex import chat; import litellm.extras.codex as theirs; "
        "import scillm.extras.codex as ours; print(theirs is ours, chat is ours.chat)"
    )

    assert _run(code) == "True True"


@pytest.mark.parametrize(
    "code", ["from litellm.extras import nothing", "import litellm.extras.nothing"]
)
def test_an_extra_that_nobody_lends_is_told_as_such(code: str) -> None:
    """As scillm itself says it, with no advice to install what nobody owns."""
    said = _run(code)
    assert "there is no 'scillm.extras.nothing'" in said
    assert "install " not in said


@pytest.mark.parametrize("module", ["", ".litellm_mcp_mini_agent"])
def test_the_agent_is_served_by_its_old_names(module: str) -> None:
    """Scripts import it from either place."""
    import scillm.extras.mini_agent as ours

    theirs = importlib.import_module(f"litellm.experimental_mcp_client.mini_agent{module}")
    for name in (
        *("AgentConfig", "AgentRunResult", "IterationRecord", "MCPInvoker", "EchoMCP"),
        *("LocalMCPInvoker", "HttpToolsInvoker", "arun_mcp_mini_agent", "run_mcp_mini_agent"),
    ):
        assert getattr(theirs, name) is getattr(ours, name)
    with pytest.raises(AttributeError, match="DockerMCPInvoker"):
        theirs.DockerMCPInvoker  # noqa: B018  # the attribute is what is asked for


def test_the_shim_is_served_by_its_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """``uvicorn litellm.experimental_mcp_client.mini_agent.agent_proxy:app``."""
    monkeypatch.setenv("MINI_AGENT_OPENAI_SHIM_MODE", "echo")
    code = (
        "from litellm.experimental_mcp_client.mini_agent.agent_proxy import app; "
        "print(type(app).__name__)"
    )

    assert _run(code) == "Starlette"
