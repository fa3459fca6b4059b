import threading

import openai
import pytest

from scillm_codex_sidecar.upstream import key_for

MESSAGES = [{"role": "user", "content": "hi there"}]
PICTURE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    }
]


def ask(client, **arguments):
    """Ask any model."""
    return client.chat.completions.create(**{"model": "m", "messages": MESSAGES, **arguments})


def test_what_is_asked_reaches_the_upstream_whole(sidecar, client, endpoint, get):
    """Pictures, tools, parameters and fields that nobody knows; under the sidecar's own key."""
    base = endpoint.url("echo")
    running = sidecar(CODEX_FORWARD_BASE=base, CODEX_FORWARD_TOKEN="sk-up")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    answer = ask(
        client(running, "sk-client"),
        messages=PICTURE,
        tools=[tool],
        temperature=0.5,
        extra_body={"of_my_own": 1},
    )
    sent = endpoint.requests_to(base)[0]
    assert sent.json["messages"] == PICTURE
    assert sent.json["tools"] == [tool]
    assert (sent.json["temperature"], sent.json["of_my_own"]) == (0.5, 1)
    assert sent.headers["authorization"] == "Bearer sk-up"
    assert answer.usage.total_tokens > 0
    assert get(running, "/healthz").json()["forward_mode"] is True


def test_a_stream_is_passed_on_as_it_comes(sidecar, client, endpoint):
    """Piece by piece, with tool calls and usage."""
    asked = client(sidecar(CODEX_FORWARD_BASE=endpoint.url("tools2")))
    chunks = list(ask(asked, stream=True, stream_options={"include_usage": True}))
    assert any(c.choices and c.choices[0].delta.tool_calls for c in chunks)
    assert chunks[-1].usage is not None
    whole = ask(asked)
    assert whole.choices[0].finish_reason == "tool_calls"


def test_an_upstream_that_never_ends_is_passed_on_and_left(sidecar, client, endpoint):
    """True streaming: the first piece is here while the last is not even made."""
    stream = ask(client(sidecar(CODEX_FORWARD_BASE=endpoint.url("endless"))), stream=True)
    assert next(iter(stream)).choices
    stream.close()


@pytest.mark.parametrize(
    ("option", "error", "said"),
    [
        ("s401", openai.AuthenticationError, "CODEX_FORWARD_TOKEN"),
        ("s404", openai.NotFoundError, "/v1/models lists"),
        ("s429-ra7", openai.RateLimitError, ""),
        ("s503", openai.InternalServerError, "not ready"),
        ("s422", openai.UnprocessableEntityError, ""),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_upstreams_status_is_kept_and_a_hint_added(  # noqa: PLR0917  # fixtures and cases
    sidecar, client, endpoint, option, error, said, stream
):
    """Its own words too, and when to come again."""
    asked = client(sidecar(CODEX_FORWARD_BASE=endpoint.url(option)))
    with pytest.raises(error) as caught:
        ask(asked, stream=stream)
    assert caught.value.status_code == int(option[1:4])
    assert said in str(caught.value)
    if "ra7" in option:
        assert caught.value.response.headers["retry-after"] == "7"


def test_an_upstream_that_is_not_there_is_a_bad_gateway(sidecar, client, get):
    """Also for the list of models: no empty list that looks like a good one."""
    running = sidecar(CODEX_FORWARD_BASE="http://127.0.0.1:1")
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client(running))
    assert caught.value.status_code == 502
    assert "CODEX_FORWARD_BASE" in str(caught.value)
    assert get(running, "/v1/models").status_code == 502


def test_the_models_are_the_upstreams(sidecar, endpoint, get):
    """With a guess at what chats."""
    listed = get(sidecar(CODEX_FORWARD_BASE=endpoint.url("ok")), "/v1/models").json()["data"]
    assert listed
    assert all(isinstance(model["capabilities"]["chat"], bool) for model in listed)


def test_a_key_goes_to_its_own_host_only(sidecar, client, endpoint):
    """OpenAI's or Chutes' key is not sent to whatever else the base names."""
    base = endpoint.url("echo")
    asked = client(
        sidecar(
            CODEX_FORWARD_BASE=base,
            OPENAI_API_KEY="sk-openai",
            CHUTES_API_KEY="cpk-chutes",
            CHUTES_API_BASE="https://llm.chutes.example/v1",
        ),
        "sk-client",
    )
    ask(asked)
    assert "authorization" not in endpoint.requests_to(base)[-1].headers
    assert key_for("https://api.openai.com/v1").reveal() == "sk-openai"
    assert key_for("https://llm.chutes.example:443/other").reveal() == "cpk-chutes"
    assert key_for("http://llm.chutes.example/v1") is None
    assert key_for("https://llm.chutes.example.evil.example/v1") is None


def test_forwarding_to_itself_is_noticed(sidecar, client, monkeypatch):
    """At once, also through another sidecar."""
    one = sidecar(CODEX_FORWARD_BASE="http://127.0.0.1:1")
    other = sidecar(CODEX_FORWARD_BASE=one.base)
    monkeypatch.setenv("CODEX_FORWARD_BASE", other.base)  # which both read when they are asked
    for running in (one, other):
        with pytest.raises(openai.InternalServerError, match="forwards to itself") as caught:
            ask(client(running))
        assert caught.value.status_code == 508


def test_20_streams_at_a_time_come_whole(sidecar, client, endpoint):
    """None is another's."""
    running = sidecar(CODEX_FORWARD_BASE=endpoint.url("echo"))
    said = {}

    def one(number):
        messages = [{"role": "user", "content": f"number {number}"}]
        stream = ask(client(running), messages=messages, stream=True)
        said[number] = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {number: f"number {number}" for number in range(20)}


def test_a_key_travels_as_the_upstream_wants_it(sidecar, client, endpoint):
    """How it is sent is decided in one place, scillm-auth, which learns from one 401."""
    base = endpoint.url("xkey")
    answer = ask(client(sidecar(CODEX_FORWARD_BASE=base, CODEX_FORWARD_TOKEN="sk-up")))
    assert answer.choices[0].message.content
    assert endpoint.requests_to(base)[-1].headers["x-api-key"] == "sk-up"


def test_a_failure_is_not_tried_again_here(sidecar, client, endpoint):
    """The client does, or else each of its attempts would be several."""
    base = endpoint.url("s503")
    with pytest.raises(openai.InternalServerError):
        ask(client(sidecar(CODEX_FORWARD_BASE=base)))
    assert len(endpoint.requests_to(base)) == 1
