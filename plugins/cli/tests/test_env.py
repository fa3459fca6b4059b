from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from scillm import Kernel, Setting
from scillm.plugins import PluginInfo

Run = Callable[..., Result]


def number(text: str) -> int:
    """Read a number, in words that quote what was read."""
    return int(text)


class Knobs:
    __name__ = "knobs"
    SETTINGS = (
        Setting(name="KNOBS_RETRIES", default=2, read=number, option="retries", help="how often"),
        Setting(name="KNOBS_TOKEN", default=None, read=number, is_secret=True, help="a secret"),
        Setting(name="VENDOR_KEY", default=None, prefix="", is_secret=True, help="another's"),
        Setting(name="VENDOR_URL", default="", prefix="", help="an address"),
    )


@pytest.fixture
def rows(run: Run) -> Callable[[], dict[str, Any]]:
    """Read what `scillm env --json` says, by variable."""

    def read() -> dict[str, Any]:
        result = run("env", "--json", kernel=Kernel.of(Knobs()))
        return {row["variable"]: row for row in json.loads(result.stdout)}

    return read


def test_every_setting_is_listed_with_its_default(rows: Callable[[], dict[str, Any]]) -> None:
    """The kernel's own, and those of each plugin."""
    found = rows()

    assert found["SCILLM_MODEL"]["plugin"] == "kernel"
    assert found["SCILLM_KNOBS_RETRIES"] == {
        "plugin": "knobs",
        "variable": "SCILLM_KNOBS_RETRIES",
        "value": 2,
        "source": "default",
        "legacy": None,
        "option": "retries",
        "help": "how often",
        "problem": None,
    }


def test_a_value_comes_from_the_environment_a_file_or_a_legacy_name(
    rows: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And the row says which."""
    (tmp_path / ".env").write_text("SCILLM_MODEL=from/file\n")
    monkeypatch.setenv("LITELLM_KNOBS_RETRIES", "5")
    monkeypatch.setenv("VENDOR_URL", "http://ada:hidden-word@localhost/")

    found = rows()

    assert (found["SCILLM_MODEL"]["value"], found["SCILLM_MODEL"]["source"]) == (
        "from/file",
        ".env",
    )
    retries = found["SCILLM_KNOBS_RETRIES"]
    assert (retries["value"], retries["source"]) == (5, "environment")
    assert retries["legacy"] == "LITELLM_KNOBS_RETRIES"
    assert found["VENDOR_URL"]["value"] == "http://***@localhost/"


def test_a_secret_is_never_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a valid one, nor in the words of a reader that refuses it."""
    monkeypatch.setenv("VENDOR_KEY", "sk-very-secret")
    monkeypatch.setenv("SCILLM_KNOBS_TOKEN", "hidden-word")

    result = run("env", kernel=Kernel.of(Knobs()))

    assert "VENDOR_KEY" in result.stdout
    assert "***" in result.stdout
    assert "SCILLM_KNOBS_TOKEN is not valid; its text is not shown" in result.stderr
    assert "sk-very-secret" not in result.output
    assert "hidden-word" not in result.output


def test_a_vendors_variable_that_is_set_to_nothing_counts_as_unset(
    rows: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the kernel reads it."""
    monkeypatch.setenv("VENDOR_KEY", "")

    assert rows()["VENDOR_KEY"]["source"] == "default"


def test_a_value_that_is_not_valid_is_shown_with_the_reason(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are printed, and the exit code is 1."""
    monkeypatch.setenv("SCILLM_KNOBS_RETRIES", "many")

    result = run("env", kernel=Kernel.of(Knobs()))

    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if "KNOBS_RETRIES" in line)
    assert row.split()[1:5] == ["many", "environment,", "not", "valid"]
    assert row.endswith("how often [argument retries=]")
    assert "SCILLM_KNOBS_RETRIES='many' (from the environment) is not valid" in result.stderr


def test_a_variable_that_nobody_reads_is_listed_with_the_nearest(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt name would otherwise do nothing in silence; its value may be a secret."""
    monkeypatch.setenv("SCILLM_KNOBS_RETRYS", "7-hidden")
    monkeypatch.setenv("SCILLM_QUITE_ELSE", "x")

    result = run("env", kernel=Kernel.of(Knobs()))

    _, _, unknown = result.stdout.partition("\nunknown\n")
    lines = {line.split()[0]: line for line in unknown.splitlines()}
    assert result.exit_code == 0
    assert lines["SCILLM_KNOBS_RETRYS"].endswith("did you mean SCILLM_KNOBS_RETRIES?")
    assert lines["SCILLM_QUITE_ELSE"].endswith("no active plugin reads it")
    assert "7-hidden" not in result.output


def test_a_variable_of_a_plugin_that_is_not_active_is_not_taken_for_a_slip(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings cannot be known while it is not loaded."""
    kernel = Kernel.of(Knobs())
    kernel.plugins.infos["hedging"] = PluginInfo(name="hedging", dist="x 1", state="blocked")
    monkeypatch.setenv("SCILLM_HEDGE_DELAY_MS", "5")

    assert "no active plugin reads it; not active: hedging" in run("env", kernel=kernel).stdout


@pytest.mark.parametrize("command", ["env", "plugins"])
def test_what_stops_a_call_does_not_stop_looking(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A setting that cannot be read is an error of a call; these show where it is."""
    from click.testing import CliRunner

    from scillm_cli.group import cli

    monkeypatch.setattr("scillm.api._kernel", None)
    monkeypatch.setenv("SCILLM_TIMEOUT", "soon")

    asked = CliRunner().invoke(cli, ["chat", "hi"])
    looked = CliRunner().invoke(cli, [command])

    assert asked.stderr.startswith("Error: SCILLM_TIMEOUT='soon' (from the environment)")
    assert "SCILLM_TIMEOUT" in looked.output or looked.exit_code == 0
    assert "openai_like" in looked.stdout or "SCILLM_MODEL" in looked.stdout


def test_a_variable_that_blocks_wrongly_leaves_the_kernels_settings_readable(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """It is listed as what it is, and the rest of the list stands."""
    from click.testing import CliRunner

    from scillm_cli.group import cli

    monkeypatch.setenv("SCILLM_ENABLE_OPENAI_LIKE", "perhaps")
    monkeypatch.setattr("scillm.api._kernel", None)

    result = CliRunner().invoke(cli, ["env"])

    assert result.exit_code == 1
    assert "SCILLM_MODEL" in result.stdout
    assert "SCILLM_ENABLE_OPENAI_LIKE='perhaps'" in result.stderr
