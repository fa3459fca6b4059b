import json
import os
import shlex
import sys
import threading
import time
from pathlib import Path

import openai
import pytest

from scillm_codex_sidecar.command import prompt

FAKE = shlex.join([sys.executable, str(Path(__file__).with_name("fake_codex.py")), "--m={model}"])
MESSAGES = [{"role": "user", "content": "do it"}]


@pytest.fixture
def codex(sidecar, client, tmp_path):
    """Ask a sidecar whose command plays a part."""

    def start(part="ok", **variables):
        told = {"CODEX_CMD": FAKE, "CODEX_FAKE": part, "CODEX_FAKE_FOLDER": str(tmp_path)}
        asked = client(sidecar(**told, **variables))

        def ask(**arguments):
            merged = {"model": "gpt-5", "messages": MESSAGES, **arguments}
            return asked.chat.completions.create(**merged)

        return ask

    return start


def seen(tmp_path):
    """Return what the command was told."""
    return json.loads((tmp_path / "seen.json").read_text())


def runs(tmp_path):
    """Return how often it ran."""
    return len((tmp_path / "runs").read_text().splitlines())


def is_gone(pid):
    """Say whether a process has ended, within a while."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_events_become_text_reasoning_and_usage(codex, tmp_path):
    """A text that is told again, longer, is told once."""
    answer = codex()()
    message = answer.choices[0].message
    assert message.content == "one two three STOP four"
    assert message.reasoning_content == "I think."
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3)
    assert seen(tmp_path)["argv"] == ["--m=gpt-5", "do it"]


def test_a_stream_has_the_pieces_and_not_the_events(codex):
    """Each as it comes."""
    chunks = list(codex()(stream=True))
    texts = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
    assert texts == ["one two", " three STOP four"]
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("part", "text"), [("old", "old answer"), ("plain", "plain text\nof two lines\n")]
)
def test_older_events_and_plain_text_are_read_too(codex, part, text):
    """Whatever CODEX_CMD names."""
    assert codex(part)().choices[0].message.content == text


def test_a_stop_mark_ends_the_answer_also_across_pieces(codex):
    """What could be the beginning of one is held back."""
    ask = codex()
    for mark in ("STOP", "two three"):
        whole = ask(stop=mark).choices[0].message.content
        assert whole == "one two three STOP four".partition(mark)[0]


def test_what_is_not_honoured_is_noted_in_the_answer(codex):
    """A temperature is nothing that the command knows."""
    answer = codex()(temperature=0.1, max_tokens=5)
    assert answer.additional_kwargs["codex_sidecar"]["ignored"] == ["max_tokens", "temperature"]


@pytest.mark.parametrize(
    ("mode", "arguments", "told"),
    [
        ("flag", ["--m=gpt-5", "--say", "do it"], "do it"),
        ("json", ["--m=gpt-5"], {"model": "gpt-5", "messages": MESSAGES, "prompt": "do it"}),
    ],
)
def test_the_prompt_goes_by_flag_or_by_standard_input(codex, tmp_path, mode, arguments, told):
    """As CODEX_INPUT_MODE says."""
    codex(CODEX_INPUT_MODE=mode, CODEX_PROMPT_FLAG="--say")()
    found = seen(tmp_path)
    assert found["argv"] == arguments
    assert (json.loads(found["told"]) if mode == "json" else found["told"]) == told


@pytest.mark.parametrize("text", ["--help me", "x" * 200_000], ids=["like an option", "long"])
def test_a_prompt_that_cannot_be_an_argument_goes_to_standard_input(codex, tmp_path, text):
    """It could be taken for an option, or be longer than the system allows."""
    codex()(messages=[{"role": "user", "content": text}])
    assert seen(tmp_path)["argv"][-1] == "-"
    assert seen(tmp_path)["told"] == text


def test_the_command_does_not_learn_the_sidecars_secrets(codex, tmp_path):
    """They are none of its business."""
    codex(CODEX_FORWARD_TOKEN="sk-up", SCILLM_SERVE_TOKEN="sk-own")()
    assert "sk-" not in "".join(
        v for n, v in seen(tmp_path)["environment"].items() if n.endswith("TOKEN")
    )


@pytest.mark.parametrize(
    ("part", "variables", "status", "said"),
    [
        ("exit", {}, 502, "no more credit"),
        ("fails", {}, 500, "the model is overloaded"),
        ("nothing", {}, 500, "without an answer"),
        ("silent", {"IDLE_TIMEOUT_S": "0.5", "RETRIES": "0"}, 504, "IDLE_TIMEOUT_S"),
        ("chatty", {"ABS_TIMEOUT_S": "0.7", "RETRIES": "0"}, 504, "ABS_TIMEOUT_S"),
    ],
)
def test_a_command_that_fails_says_why(codex, part, variables, status, said):
    """With the status of older pages."""
    with pytest.raises(openai.InternalServerError, match=said) as caught:
        codex(part, **variables)()
    assert caught.value.status_code == status


def test_a_command_that_is_not_there_is_told(sidecar, client):
    """And what to do."""
    asked = client(sidecar(CODEX_CMD="no-such-codex-command"))
    with pytest.raises(openai.InternalServerError, match="CODEX_SIDECAR_ECHO=1") as caught:
        asked.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert caught.value.status_code == 500


def test_a_temporary_failure_is_tried_again_once(codex, tmp_path):
    """One retry is one retry."""
    assert codex("flaky")().choices[0].message.content.startswith("one")
    assert runs(tmp_path) == 2


@pytest.mark.parametrize("number", [0, 2])
def test_silence_is_tried_again_as_often_as_set(codex, tmp_path, number):
    """And no more often."""
    with pytest.raises(openai.InternalServerError):
        codex("silent", IDLE_TIMEOUT_S="0.6", RETRIES=str(number))()
    assert runs(tmp_path) == number + 1


def test_the_whole_group_is_killed_when_the_client_leaves(codex, tmp_path):
    """What the command started too."""
    stream = codex("hang")(stream=True)
    assert next(iter(stream)).choices[0].delta.content == "begun"
    stream.close()
    child = int((tmp_path / "child").read_text())
    assert is_gone(child)
    assert is_gone(int((tmp_path / "runs").read_text()))


def test_the_whole_group_is_killed_at_the_deadline(codex, tmp_path):
    """A stream that has begun ends with an error, and is not begun again."""
    with pytest.raises(openai.APIError, match="IDLE_TIMEOUT_S"):
        list(codex("hang", IDLE_TIMEOUT_S="1.5")(stream=True))
    assert is_gone(int((tmp_path / "child").read_text()))
    assert runs(tmp_path) == 1


def test_no_more_commands_run_at_a_time_than_set(codex, tmp_path):
    """The others wait for a place."""
    ask = codex("silent", MAX_CONCURRENCY="1", IDLE_TIMEOUT_S="1", RETRIES="0")
    began = time.monotonic()

    def one():
        with pytest.raises(openai.InternalServerError):
            ask()

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"n": 2},
        {"messages": [{"role": "user", "content": " "}]},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}],
                }
            ]
        },
    ],
)
def test_what_a_command_cannot_do_is_refused(codex, arguments):
    """By name; nothing is dropped in silence."""
    with pytest.raises(openai.BadRequestError):
        codex()(**arguments)


def test_a_conversation_is_told_as_one_text():
    """With a wish for JSON at its end."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    ]
    assert prompt(messages, {}) == "system: Be brief.\n\nuser: hi"
    assert prompt(messages, {"response_format": {"type": "json_object"}}).endswith("nothing else.")


@pytest.fixture
def codex_on_path(monkeypatch, tmp_path):
    """A command that is called codex."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "codex"
    command.write_text(f'#!/bin/sh\nexec {FAKE} "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "auth.json"


def test_codex_without_a_login_is_a_401_that_says_what_to_do(sidecar, client, get, codex_on_path):
    """And with one it answers; no value of the file is shown."""
    running = sidecar(CODEX_SIDECAR_ECHO="0")
    asked = client(running)
    with pytest.raises(openai.AuthenticationError, match="codex login"):
        asked.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert get(running, "/healthz").json()["auth_present"] is False
    codex_on_path.write_text('{"OPENAI_API_KEY": "sk-in-file"}')
    health = get(running, "/healthz")
    assert (health.json()["auth_present"], health.json()["mode"]) == (True, "cli")
    assert "sk-in-file" not in health.text
    answer = asked.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert answer.choices[0].message.content.startswith("one")


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "not JSON"), ("{}", "no login"), ('{"a": null}', "no login"), ("[]", "no login")],
)
def test_a_login_that_is_none_is_told_apart(monkeypatch, tmp_path, text, why):
    """Each with what to do."""
    from scillm_codex_sidecar import auth

    monkeypatch.setenv("CODEX_AUTH_PATH", str(tmp_path / "a.json"))
    for name in ("OPENAI_API_KEY", "CODEX_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "a.json").write_text(text)
    assert why in auth.problem()
    assert auth.described()["ok"] is False


def test_a_described_login_shows_its_fields_and_no_value(monkeypatch, tmp_path):
    """Lengths, and whether others may read the file."""
    from scillm_codex_sidecar import auth

    path = tmp_path / "a.json"
    path.write_text('{"tokens": {"access": "very-secret"}, "last": 3}')
    path.chmod(0o644)
    monkeypatch.setenv("CODEX_AUTH_PATH", str(path))
    told = auth.described()
    assert told["fields"] == {"tokens": {"access": "*** (11 characters)"}, "last": 3}
    assert (told["ok"], told["is_private"]) == (True, False)
