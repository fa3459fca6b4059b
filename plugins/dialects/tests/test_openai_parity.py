"""Our answers and those of the official openai client, made from the same bytes, are equal."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import openai
import pytest

from scillm import Response, fold
from scillm_dialects import openai_chat

CORPUS = Path(__file__).parent / "corpus"
WHOLE = sorted(CORPUS.glob("*.json"))
STREAMED = sorted(CORPUS.glob("*.sse"))
ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def client():
    """The official client, and a server that answers it with the bytes of a file."""

    class Serve(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            file = CORPUS / self.path.split("/")[1]
            body = file.read_bytes()
            self.send_response(200)
            kind = "text/event-stream" if file.suffix == ".sse" else "application/json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Serve)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with openai.OpenAI(api_key="sk-none", base_url="http://none", max_retries=0) as client:
        yield lambda path: client.with_options(
            base_url=f"http://127.0.0.1:{server.server_port}/{path.name}"
        )
    server.shutdown()
    server.server_close()
    thread.join()


def _chunks(path):
    for line in path.read_bytes().split(b"\n"):
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            yield from openai_chat.read_chunk(line[6:])


@pytest.mark.parametrize("path", WHOLE, ids=lambda p: p.stem)
def test_a_whole_answer_equals_the_official_one(client, path):
    """Field by field, those that did not come included."""
    theirs = client(path).chat.completions.create(model="m", messages=ASK)
    (ours,) = openai_chat.read_chat(path.read_bytes())
    assert ours.model_dump() == theirs.model_dump()
    assert ours.to_dict() == theirs.to_dict()


@pytest.mark.parametrize("path", WHOLE, ids=lambda p: p.stem)
def test_every_field_reads_the_same(client, path):
    """By attribute, all the way down."""
    theirs = client(path).chat.completions.create(model="m", messages=ASK)
    (ours,) = openai_chat.read_chat(path.read_bytes())
    _same(ours, theirs)


def _same(ours, theirs):
    if isinstance(theirs, openai.BaseModel):
        for name in theirs.to_dict():
            _same(getattr(ours, name), getattr(theirs, name))
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for our, their in zip(ours, theirs, strict=True):
            _same(our, their)
    else:
        assert ours == theirs


@pytest.mark.parametrize("path", STREAMED, ids=lambda p: p.stem)
def test_every_chunk_equals_the_official_one(client, path):
    """Field by field, in order."""
    theirs = list(client(path).chat.completions.create(model="m", messages=ASK, stream=True))
    ours = list(_chunks(path))
    assert [c.model_dump() for c in ours] == [c.model_dump() for c in theirs]
    for our, their in zip(ours, theirs, strict=True):
        _same(our, their)


# Where the official assembler keeps the empty id of a first chunk that says nothing, or adds
# up token counts that each chunk repeats, ours takes the last that was told.
ASSEMBLED = [
    p for p in STREAMED if p.stem not in ("first_chunk_without_choices", "usage_in_every_chunk")
]


@pytest.mark.parametrize("path", ASSEMBLED, ids=lambda p: p.stem)
def test_the_assembled_answer_equals_the_official_one(client, path):
    """What the pieces amount to, as the official client's own assembler has it."""
    with client(path).chat.completions.stream(model="m", messages=ASK) as stream:
        for _ in stream:
            continue
        theirs = _without_parsed(stream.get_final_completion().to_dict())
    ours = fold(_chunks(path))
    assert isinstance(ours, Response)
    assert _without_none(_without_parsed(ours.to_dict())) == _without_none(theirs)


def _without_parsed(value):
    if isinstance(value, dict):
        dropped = ("parsed", "parsed_arguments", "index")
        return {k: _without_parsed(v) for k, v in value.items() if k not in dropped}
    return [_without_parsed(v) for v in value] if isinstance(value, list) else value


def _without_none(value):
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(v) for v in value] if isinstance(value, list) else value


def test_an_empty_first_chunk_does_not_name_the_answer():
    """The last id, model and usage told are the answer's."""
    ours = fold(_chunks(CORPUS / "first_chunk_without_choices.sse"))
    assert (ours.id, ours.model) == ("chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "gpt-4.1-2025-04-14")
    assert fold(_chunks(CORPUS / "usage_in_every_chunk.sse")).usage.total_tokens == 29
