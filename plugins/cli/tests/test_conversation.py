from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Start = Callable[..., Any]
Install = Callable[..., dict[str, str]]


def test_a_conversation_remembers_clears_and_leaves(terminal: Start, install: Install) -> None:
    """Each turn sends what was said before it."""
    talk = terminal("chat", env=install())
    talk.until("> ")

    talk.type("hello")
    talk.until("> ")
    talk.type("count")
    assert "3 messages" in talk.until("> ")
    talk.type("/clear")
    talk.until("> ")
    talk.type("count")
    assert "1 messages" in talk.until("> ")
    talk.type("/quit")

    assert talk.ended() == 0


def test_a_conversation_is_saved_to_a_new_file_only(
    terminal: Start, install: Install, tmp_path: Path
) -> None:
    """What stands in another file is never written over."""
    talk = terminal("chat", "--system", "be brief", env=install())
    talk.until("> ")

    talk.type("hello")
    talk.until("> ")
    talk.type("/save kept.jsonl")
    assert "saved: 3 messages in kept.jsonl" in talk.until("> ")
    talk.type("/save kept.jsonl")
    assert "File exists: 'kept.jsonl'" in talk.until("> ")

    lines = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert [json.loads(line)["role"] for line in lines] == ["system", "user", "assistant"]


def test_ctrl_c_stops_the_answer_and_not_the_conversation(
    terminal: Start, install: Install
) -> None:
    """What was stopped is not remembered."""
    talk = terminal("chat", env=install())
    talk.until("> ")

    talk.type("hang")
    talk.until("begun ")
    talk.interrupt()
    assert "stopped: neither the question nor the answer is kept" in talk.until("> ")
    talk.type("count")
    assert "1 messages" in talk.until("> ")
    talk.interrupt_prompt()
    assert "/quit leaves" in talk.until("> ")
    talk.type("/quit")

    assert talk.ended() == 0


def test_an_error_in_a_turn_leaves_the_conversation_alive(
    terminal: Start, install: Install
) -> None:
    """It is one line, and the next question may do better."""
    schema = Path("schema.json")
    schema.write_text('{"type": "object", "required": ["age"]}')
    talk = terminal("chat", "--schema", str(schema), env=install())
    talk.until("> ")

    talk.type('{"ago": 1}')
    assert "Error: the answer does not conform to the schema" in talk.until("> ")
    talk.type('{"age": 1}')
    assert '\n{"age": 1}' in talk.until("> ")
    talk.type("/unknown")
    assert "/quit leaves" in talk.until("> ")


def test_what_a_model_says_does_not_command_the_terminal(terminal: Start, install: Install) -> None:
    """An escape sequence is spelled out: it could set the title, or fill the clipboard."""
    talk = terminal("chat", "red \x1b[31m\x9b0m\tend", env=install())

    assert talk.until("end").startswith("red \\x1b[31m\\x9b0m")


def test_ctrl_c_ends_one_question_without_a_traceback(install: Install) -> None:
    """With the exit code that shells know."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scillm_cli", "chat", "hang"],
        env=install(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"begun "
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert (rest, said.strip()) == (b"\n", b"")


def test_a_reader_that_leaves_ends_the_answer_quietly(install: Install) -> None:
    """`scillm chat ... | head -1` prints one line and no error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scillm_cli", "chat", "endless"],
        env=install(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.read(9) == b"more more"
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert process.returncode == 1
    assert said == b""
