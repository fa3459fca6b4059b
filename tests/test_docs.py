"""The documentation cannot lie: its code is run, and its tables are compared with the code."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.myst import CodeBlockParser

import scillm
import workspace
from scillm import FailureKind, errors, hookspecs, kernel
from scillm.plugins import HOOKS
from scillm.settings import KERNEL_SETTINGS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SETTINGS = (ROOT / "docs/settings.md").read_text()


def _python(example: Example) -> None:
    """Run a block; what it prints is kept for a ``text`` block that may follow."""
    said = io.StringIO()
    code = compile("\n" * example.line + example.parsed, example.path, "exec")
    with contextlib.redirect_stdout(said):
        exec(code, example.namespace)  # our own documentation
    example.namespace["_said"] = said.getvalue()


def _text(example: Example) -> None:
    """Compare what the block above printed."""
    _same(example.parsed, example.namespace.pop("_said"))


def _console(example: Example) -> None:
    """Run each line after ``$``, and compare what it prints on either stream."""
    for part in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
        command, _, wanted = part.partition("\n")
        done = subprocess.run(
            ["sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=120,
            cwd=example.namespace["_folder"],
        )
        _same(wanted, done.stdout + done.stderr)


def _same(wanted: str, said: str) -> None:
    pattern = ".*".join(re.escape(part.strip()) for part in wanted.split("..."))
    assert re.fullmatch(pattern, said.strip(), re.DOTALL), f"\n{said}\n--- is not ---\n{wanted}"


@pytest.fixture
def _friendly(endpoint, monkeypatch, tmp_path):
    """An endpoint that says back what it is asked stands for the hosts of the examples."""
    for name in list(os.environ):
        if name.startswith(("SCILLM_", "LITELLM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SCILLM_DOTENV", "0")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-docs")
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url("echo"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("_friendly")
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, tmp_path):
    """Every python block runs, in order; every text block below one is its output."""
    parsers = [
        CodeBlockParser(language="python", evaluator=_python),
        CodeBlockParser(language="text", evaluator=_text),
        CodeBlockParser(language="console", evaluator=_console),
    ]
    document: Document = Sybil(parsers=parsers, path=str(ROOT)).parse(page)
    document.namespace.update({"__name__": "page", "_folder": tmp_path, "_said": ""})
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_is_documented_with_its_signature(hook):
    """A heading per hook, with exactly its arguments."""
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"## `{hook}({arguments})`" in (ROOT / "docs/hooks.md").read_text()


def test_each_setting_is_documented():
    """Every variable of the kernel and of every plugin stands in the tables."""
    for setting in (*KERNEL_SETTINGS, *kernel().plugins.settings):
        assert f"`{setting.variable}`" in SETTINGS
        row = next(line for line in SETTINGS.splitlines() if f"`{setting.variable}`" in line)
        if type(setting.default) in (int, float) and setting.default:
            assert str(setting.default).removesuffix(".0") in row
        if setting.option:
            assert f"`{setting.option}`" in row


def test_no_setting_is_documented_that_does_not_exist():
    """A table row without code behind it would be a lie."""
    known = {s.variable for s in (*KERNEL_SETTINGS, *kernel().plugins.settings)}
    rows = [line for line in SETTINGS.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}
    assert told <= known


def test_each_kind_of_failure_and_each_error_is_documented():
    """The table of kinds and the tree of errors are complete."""
    page = (ROOT / "docs/errors.md").read_text()
    for kind in FailureKind:
        assert f"| `{kind}` |" in page
    for name in scillm._HOMES["errors"].split():
        assert name in page
        assert name in errors.__doc__
    drawn = [line.strip() for line in errors.__doc__.splitlines() if "──" in line]
    assert all(line in page for line in drawn)


def test_each_provider_is_documented():
    """The table of hosts holds every host that needs a key or an address."""
    from scillm_openai_like.hosts import HOSTS

    for host in HOSTS:
        if host.settings:
            assert f"| `{host.names[0]}` |" in SETTINGS


def test_links_between_pages_lead_somewhere():
    """No dangling file."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


INSTALL = re.compile(r"pip install (.*?)(?:`|\)|$)", re.MULTILINE)


def test_commands_that_install_name_what_there_is():
    """Nothing is on an index: each takes a wheel of `make wheels`, or the folder one stands in."""
    readmes = [*ROOT.glob("*/*/README.md"), *PAGES]
    said = [(page, words) for page in readmes for words in INSTALL.findall(page.read_text())]
    wheels = {f"dist/{dist.name.replace('-', '_')}-*.whl" for dist in workspace.find().values()}
    wheels |= {"dist/scillm-0*.whl", "..."}  # the second: a text about the command
    for page, words in said:
        found = words.partition("#")[0].split()
        if found not in (["."], []):
            assert found[:2] == ["--find-links", "dist"], f"{page}: {words}"
            assert set(found[2:]) <= wheels, f"{page}: {words}"


def test_setting_up_says_that_it_takes_a_while(tmp_path):
    """Nobody should look at a silent terminal for a minute."""
    said = _run("make", "--dry-run", f"VENV={tmp_path / 'venv'}", "demo")
    assert f"setting up {tmp_path / 'venv'}, about a minute" in said


@pytest.mark.slow
def test_the_commands_that_install_install(tmp_path):
    """Into an empty environment: the wheels are built, and one brings what it needs."""
    dist, environment = tmp_path / "dist", tmp_path / "venv"
    _run("make", "--silent", "wheels", f"DIST={dist}")
    _run(sys.executable, "-m", "venv", environment)
    wheels = [*dist.glob("scillm_cli-*.whl"), *dist.glob("scillm_echo-*.whl")]
    _run(environment / "bin/pip", "install", "--quiet", "--find-links", dist, *wheels)

    assert _run(environment / "bin/scillm", "chat", "-m", "echo/any", "hello you") == "hello you\n"


def _run(*command):
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_distribution_has_a_page_and_a_row():
    """The README links each, and the documentation has the page."""
    readme = (ROOT / "README.md").read_text()
    for dist in workspace.find().values():
        assert f"]({dist.path}/README.md)" in readme


def test_each_command_is_documented():
    """Every command that a distribution of ours brings stands in the table."""
    from importlib.metadata import entry_points

    page = (ROOT / "docs/commands.md").read_text()
    for command in entry_points(group="scillm.commands"):
        assert f"| `scillm {command.name}" in page
