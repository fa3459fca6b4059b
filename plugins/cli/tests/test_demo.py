from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

Install = Callable[..., dict[str, str]]


def demo(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the demonstration in a process of its own."""
    command = [sys.executable, "-m", "scillm_cli.demo"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)


def test_the_demo_shows_each_line_and_what_it_gives(install: Install) -> None:
    """In order: whole, streamed, in a schema, who answered, what next."""
    ran = demo(install())

    assert (ran.returncode, ran.stderr) == (0, "")
    landmarks = [
        "1. A whole answer",
        "response = completion(",
        "print(response.text)",
        "2. A stream",
        "for chunk in stream:",
        "print(chunk.text, end",
        "3. JSON in a schema",
        "{'name': 'Ada', 'age': 36}  (checked: it conforms)",
        "4. Who answered",
        "provider='scripted', model='parrot'",
        "'total_tokens': 8",
        "    seconds ",
        'scillm chat "',
        "OPENAI_API_KEY",
        "docs/",
    ]
    places = [ran.stdout.index(landmark) for landmark in landmarks]
    assert places == sorted(places)


def test_the_demo_fails_with_a_clear_line(install: Install) -> None:
    """If nobody answers for the model that is set."""
    ran = demo({**install(), "SCILLM_MODEL": "nobody/x"})

    assert ran.returncode == 1
    assert "Error: the demo stopped: no active plugin answers" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_demo_fails_if_the_json_does_not_conform(install: Install) -> None:
    """A provider that ignores the schema is not let through."""
    rude = "from scripted import *\nimport scripted\nscripted.json.dumps = lambda value: '{}'\n"
    entry = "[scillm.plugins]\nscripted = rude"

    ran = demo(install("scillm-rude", entry, {"rude": rude}))

    assert ran.returncode == 1
    assert (
        "Error: the demo stopped: the answer does not conform to the schema 'person'" in ran.stderr
    )
