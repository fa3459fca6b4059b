"""The benchmarks are run by hand; that they start is tested here."""

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).parent / "benchmarks" / "run.py"


def test_the_benchmarks_list_what_they_measure():
    """Each metric with its clients; nothing is installed and nothing measured."""
    done = _run("--list")

    assert done.returncode == 0, done.stderr
    assert "first      first completed call of a cold process" in done.stdout
    assert "scillm, scillm_few, scillm_httpx, raw_httpx, openai, litellm" in done.stdout


def test_an_unknown_metric_is_named():
    """And what there is."""
    done = _run("--list", "--metrics", "frist")

    assert done.returncode == 2
    assert "no 'frist'; there are import, first" in done.stderr


def _run(*arguments):
    """The driver with these arguments, ended."""
    command = [sys.executable, RUN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
