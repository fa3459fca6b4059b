from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pytest_scillm.endpoint import Endpoint

Run = Callable[..., Result]

PNG = base64.b64decode("iVBORw0KGgo=") + b"rest"
AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}


@pytest.fixture
def schema(tmp_path: Path) -> str:
    """The path of a schema."""
    path = tmp_path / "person.json"
    path.write_text(json.dumps(AGE))
    return str(path)


def test_the_answer_is_text_on_stdout_and_nothing_else(run: Run) -> None:
    """So that it can be piped."""
    result = run("chat", "hello there", "-m", "scripted/x")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "hello there\n", "")


def test_a_streamed_answer_of_a_server_is_printed_whole(run: Run, endpoint: Endpoint) -> None:
    """Pieces come over HTTP and end in one line."""
    url = endpoint.url("echo-n3")

    result = run("chat", "one two three", "-m", "x", "--api-base", url)

    assert result.stdout == "one two three\n"
    assert endpoint.requests_to(url)[-1].json["stream"] is True


def test_without_streaming_the_server_is_asked_for_a_whole_answer(
    run: Run, endpoint: Endpoint
) -> None:
    """--no-stream reaches the wire."""
    url = endpoint.url("echo")

    result = run("chat", "hello", "-m", "x", "--api-base", url, "--no-stream")

    assert result.stdout == "hello\n"
    assert "stream" not in endpoint.requests_to(url)[-1].json


def test_piped_text_is_the_prompt(run: Run) -> None:
    """`scillm chat < question.txt` asks what the file says."""
    assert run("chat", "-m", "scripted/x", stdin="from a pipe\n").stdout == "from a pipe\n"


def test_piped_text_stands_after_the_prompt(run: Run) -> None:
    """`scillm chat "Summarise:" < text.txt` asks for both."""
    result = run("chat", "Summarise:", "-m", "scripted/x", stdin="a text\n")

    assert result.stdout == "Summarise:\n\na text\n"


def test_piped_bytes_that_are_no_text_are_refused(run: Run) -> None:
    """Half an image as text would only cost tokens."""
    result = run("chat", "-m", "scripted/x", stdin=b"\x89PNG\xff")

    assert result.exit_code == 2
    assert "stdin is not UTF-8 text" in result.stderr


def test_nothing_to_ask_is_an_error_of_usage(run: Run) -> None:
    """An empty pipe does not reach a model."""
    result = run("chat", "-m", "scripted/x")

    assert result.exit_code == 2
    assert "nothing to ask: give a PROMPT, or pipe one in" in result.stderr


def test_options_become_parameters_of_the_call(run: Run, endpoint: Endpoint) -> None:
    """Those of their own, and any other by -o, with JSON values."""
    url = endpoint.url()

    result = run(
        *("chat", "hello", "-m", "some/model", "--provider", "openai_like", "--api-base", url),
        *("--system", "be brief", "--temperature", "0.5", "--max-tokens", "7", "--json"),
        *("-o", "top_p=0.25", "-o", "user=ada", "-o", 'stop=["a","b"]'),
    )

    assert result.exit_code == 0, result.stderr
    sent = endpoint.requests_to(url)[-1].json
    assert sent["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
    ]
    assert {name: sent[name] for name in sent if name not in ("messages", "stream")} == {
        "model": "some/model",
        "temperature": 0.5,
        "max_tokens": 7,
        "response_format": {"type": "json_object"},
        "top_p": 0.25,
        "user": "ada",
        "stop": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("api_key=sk-1", "--key-from FILE"),
        ("model=x", "is given by --model"),
        ("top_p", "is not NAME=VALUE"),
        ("temperature=1", "'temperature' is given twice"),
    ],
)
def test_an_option_that_is_given_in_another_way_is_refused(
    run: Run, pair: str, message: str
) -> None:
    """Above all a key, which would stay in the shell's history."""
    result = run("chat", "hello", "-m", "scripted/x", "--temperature", "1", "-o", pair)

    assert result.exit_code == 2
    assert message in result.stderr


def test_an_unknown_parameter_names_the_nearest(run: Run) -> None:
    """The kernel's own words, on one line."""
    result = run("chat", "hello", "-m", "scripted/x", "-o", "temperatur=1")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: unknown argument 'temperatur'")
    assert "did you mean 'temperature'?" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_answer_that_conforms_is_printed(run: Run, schema: str) -> None:
    """The schema is checked here, whatever the provider makes of it."""
    result = run("chat", '{"age": 3}', "-m", "scripted/x", "--schema", schema)

    assert (result.exit_code, result.stdout) == (0, '{"age": 3}\n')


def test_the_schema_is_sent_under_the_name_of_its_file(
    run: Run, endpoint: Endpoint, schema: str
) -> None:
    """As OpenAI takes it."""
    url = endpoint.url("echo")

    run("chat", '{"age": 3}', "-m", "x", "--api-base", url, "--schema", schema)

    assert endpoint.requests_to(url)[-1].json["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": AGE},
    }


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('{"age": "3"}', """at ['age'] "3" is not of type "integer\""""),
        ("{}", '"age" is a required property'),
        ('{"age": 3', "the answer is not JSON: "),
        ('{"age": NaN}', "NaN is no JSON value"),
        ("[" * 100_000 + "{", "the answer is not JSON: "),
    ],
)
def test_an_answer_that_does_not_conform_reaches_no_pipe(
    run: Run, schema: str, answer: str, why: str
) -> None:
    """It is shown on stderr with the reason, and the exit code is 1."""
    result = run("chat", "-m", "scripted/x", "--schema", schema, stdin=answer)

    assert (result.exit_code, result.stdout) == (1, "")
    assert why in result.stderr.splitlines()[-1]
    assert "answer: " in result.stderr


@pytest.mark.parametrize("text", ['{"type": "objet"}', "not json", '{"$ref": "file:///etc/hosts"}'])
def test_a_file_that_holds_no_schema_is_an_error_of_usage(
    run: Run, tmp_path: Path, text: str
) -> None:
    """Before anything is asked."""
    path = tmp_path / "schema.json"
    path.write_text(text)

    result = run("chat", "{}", "-m", "scripted/x", "--schema", str(path))

    assert result.exit_code == 2
    assert "Error: --schema: " in result.stderr


def test_a_schema_makes_nobody_fetch_anything(run: Run, tmp_path: Path, endpoint: Endpoint) -> None:
    """A reference to an address is refused, not followed."""
    url = endpoint.url()
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"$ref": f"{url}/models"}))

    result = run("chat", "{}", "-m", "scripted/x", "--schema", str(path))

    assert "nothing is fetched: put that part into $defs" in result.stderr
    assert endpoint.requests_to(url) == ()


def test_json_and_schema_exclude_each_other(run: Run, schema: str) -> None:
    """Both say what the answer shall be."""
    assert run("chat", "x", "-m", "scripted/x", "--json", "--schema", schema).exit_code == 2


def test_images_stand_after_the_text_of_the_message(
    run: Run, endpoint: Endpoint, tmp_path: Path
) -> None:
    """A path is read now; an address is sent as it is."""
    url, path = endpoint.url(), tmp_path / "dot.png"
    path.write_bytes(PNG)

    run(
        *("chat", "What is it?", "-m", "x", "--api-base", url),
        *("--image", str(path), "--image", "https://example.com/cat.png"),
    )

    sent: Any = endpoint.requests_to(url)[-1].json["messages"]
    text, first, second = sent[0]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    assert first["image_url"]["url"].startswith("data:image/png;base64,")
    assert second["image_url"]["url"] == "https://example.com/cat.png"


def test_an_image_that_is_not_there_is_one_line(run: Run) -> None:
    """With the path, as it was written."""
    result = run("chat", "x", "-m", "scripted/x", "--image", "no/such.png")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the image 'no/such.png' cannot be read")


def test_raw_prints_the_whole_answer_as_json(run: Run) -> None:
    """For programs."""
    answer = json.loads(run("chat", "hello", "-m", "scripted/x", "--raw").stdout)

    assert answer["choices"][0]["message"]["content"] == "hello"
    assert answer["usage"]["total_tokens"] == 8


def test_usage_tells_who_answered_on_stderr(run: Run) -> None:
    """The last line: route, tokens, seconds."""
    result = run("chat", "hello", "-m", "scripted/x", "--usage")

    assert result.stdout == "hello\n"
    assert result.stderr.startswith("scripted/x (says it is parrot): 3 + 5 tokens, 0.")
    assert result.stderr.endswith(" s\n")


def test_usage_says_so_if_the_provider_told_none(run: Run, endpoint: Endpoint) -> None:
    """Nothing is estimated in silence."""
    url = endpoint.url("nousage")

    result = run("chat", "hello", "-m", "x", "--api-base", url, "--usage")

    assert "tokens not told" in result.stderr


def test_a_key_from_a_file_is_sent_and_never_shown(
    run: Run, endpoint: Endpoint, tmp_path: Path
) -> None:
    """Not even where the server quotes it in an error."""
    url, path = endpoint.url("leak"), tmp_path / "key"
    path.write_text("sk-very-secret\nanother line\n")

    result = run("chat", "hello", "-m", "x", "--api-base", url, "--key-from", str(path))

    assert endpoint.requests_to(url)[-1].headers["authorization"] == "Bearer sk-very-secret"
    assert result.exit_code == 1
    assert "sk-very-secret" not in result.output


def test_an_empty_key_file_is_an_error_of_usage(run: Run, tmp_path: Path) -> None:
    """Asking without a key would fail later, and less clearly."""
    path = tmp_path / "key"
    path.write_text("\nsk-1\n")

    result = run("chat", "hello", "-m", "scripted/x", "--key-from", str(path))

    assert result.exit_code == 2
    assert "the first line is empty; it must hold the key" in result.stderr


def test_a_failed_call_is_one_line(run: Run, endpoint: Endpoint) -> None:
    """Who failed, with what status, and no traceback."""
    result = run("chat", "hello", "-m", "x", "--api-base", endpoint.url("503"))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: openai_like/x: status 503 from http://127.0.0.1:")
    assert len(result.stderr.splitlines()) == 1


def test_what_came_before_a_break_stays_on_a_line_of_its_own(run: Run, endpoint: Endpoint) -> None:
    """The error does not stick to the text."""
    result = run("chat", "hello", "-m", "x", "--api-base", endpoint.url("cutsse"))

    assert result.exit_code == 1
    assert result.stdout.endswith("\n")
    assert result.stdout.strip()
    assert result.stderr.startswith("Error: ")


def test_an_unknown_model_names_those_who_are_there(run: Run) -> None:
    """The kernel's own words."""
    result = run("chat", "hello", "-m", "script/x")

    assert result.exit_code == 1
    assert "did you mean 'scripted/...'?" in result.stderr


@pytest.mark.parametrize("more", [(), ("--no-stream",)])
def test_tool_calls_are_printed_as_json_lines(
    run: Run, endpoint: Endpoint, more: tuple[str, ...]
) -> None:
    """An answer without text is not an empty answer."""
    result = run("chat", "hello", "-m", "x", "--api-base", endpoint.url("tools2"), *more)

    calls = [json.loads(line) for line in result.stdout.splitlines()]
    assert [call["function"]["name"] for call in calls] == ["get_weather", "get_time"]


def test_a_refusal_is_printed(run: Run, endpoint: Endpoint) -> None:
    """It is what the model said."""
    result = run("chat", "hello", "-m", "x", "--api-base", endpoint.url("refusal"))

    assert result.stdout == "I'm sorry, I can't help with that.\n"


def test_more_than_one_answer_says_that_the_first_is_shown(run: Run, endpoint: Endpoint) -> None:
    """Nothing is left out in silence."""
    url = endpoint.url("choices3")

    result = run("chat", "hello", "-m", "x", "--api-base", url, "-o", "n=3", "--no-stream")

    assert result.stderr == "note: the first of 3 answers; --raw prints all\n"


def test_a_history_is_kept_and_taken_up(run: Run, tmp_path: Path) -> None:
    """One message a line, the file for its owner alone."""
    path = tmp_path / "talk.jsonl"

    run("chat", "hello", "-m", "scripted/x", "--history", str(path), "--system", "be brief")
    result = run("chat", "count", "-m", "scripted/x", "--continue", str(path))

    assert result.stdout == "4 messages\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "count"},
        {"role": "assistant", "content": "4 messages"},
    ]


def test_a_new_conversation_in_an_old_file_forgets_what_stands_there(
    run: Run, tmp_path: Path
) -> None:
    """The file is only appended to; --continue takes up the last conversation of it."""
    path = tmp_path / "talk.jsonl"
    run("chat", "first", "-m", "scripted/x", "--history", str(path))
    run("chat", "second", "-m", "scripted/x", "--history", str(path))

    result = run("chat", "count", "-m", "scripted/x", "--continue", str(path))

    assert result.stdout == "3 messages\n"
    assert "first" in path.read_text()


def test_a_question_that_failed_is_not_kept(run: Run, endpoint: Endpoint, tmp_path: Path) -> None:
    """A history holds whole turns."""
    path = tmp_path / "talk.jsonl"

    run("chat", "x", "-m", "x", "--api-base", endpoint.url("503"), "--history", str(path))

    assert not path.exists()


def test_a_line_that_is_no_message_is_named(run: Run, tmp_path: Path) -> None:
    """With its number, so that it can be mended."""
    path = tmp_path / "talk.jsonl"
    path.write_text('{"role": "user", "content": "hello"}\n{"role": "assis')

    result = run("chat", "count", "-m", "scripted/x", "--continue", str(path))

    assert result.exit_code == 1
    assert f"line 2 of {str(path)!r} is not a message" in result.stderr


def test_a_file_without_a_last_line_end_is_continued_on_a_new_line(
    run: Run, tmp_path: Path
) -> None:
    """An editor may have dropped it."""
    path = tmp_path / "talk.jsonl"
    path.write_text('{"role": "user", "content": "hello"}')

    run("chat", "count", "-m", "scripted/x", "--continue", str(path))

    assert [json.loads(line)["role"] for line in path.read_text().splitlines()] == [
        "user",
        "user",
        "assistant",
    ]
