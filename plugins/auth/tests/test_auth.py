"""How keys are sent, and what is learnt."""

import asyncio
import pickle

import pytest

import scillm_openai_like
from pytest_scillm import StrategyConformance
from scillm import AuthenticationError, BadRequestError, Kernel
from scillm.extras import choose_auth
from scillm_auth import Auth

ASK = [{"role": "user", "content": "hi"}]
ANSWER = {
    "id": "a",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    ],
}


class TestAuth(StrategyConformance):
    """As every strategy."""

    plugin = Auth


@pytest.fixture
def clock():
    """A clock that the test sets."""

    class Clock:
        now_s = 0.0

        def __call__(self):
            return self.now_s

    return Clock()


@pytest.fixture
def ask(scillm_kernel, clock):
    """Ask by a kernel with the plugin; the wire has the answers."""
    kernel = scillm_kernel(Auth(clock), scillm_openai_like)

    def ask(**more):
        arguments = {"api_base": "http://gate/v1", "api_key": "sk-1", **more}
        return kernel.completion("m", ASK, custom_llm_provider="openai_like", **arguments)

    return ask


def _sent(wire):
    """The keys that were sent, by header."""
    keys = ("authorization", "x-api-key", "x-mine")
    return [
        {n: v if isinstance(v, str) else v.reveal() for n, v in r.headers.items() if n in keys}
        for r in wire.sent
    ]


BEARER, X_KEY = {"authorization": "Bearer sk-1"}, {"x-api-key": "sk-1"}


def test_a_key_that_is_taken_is_sent_once(ask, wire):
    """As a Bearer token, and nothing is noted."""
    wire.reply(ANSWER)
    assert not ask().additional_kwargs
    assert _sent(wire) == [BEARER]


def test_one_401_is_learnt_from(ask, wire):
    """The other style goes out once, wins, and is used from then on."""
    wire.fail(401).reply(ANSWER)
    assert ask().additional_kwargs == {"auth": {"style": "x-api-key"}}
    assert ask().additional_kwargs == {"auth": {"style": "x-api-key"}}
    assert _sent(wire) == [BEARER, X_KEY, X_KEY]


def test_what_was_learnt_is_unlearnt_by_the_next_401(ask, wire):
    """A host may change its mind."""
    wire.fail(401).reply(ANSWER).fail(401).reply(ANSWER)
    ask()
    ask()
    ask()
    assert _sent(wire) == [BEARER, X_KEY, X_KEY, BEARER, BEARER]


def test_what_was_learnt_is_forgotten_in_time(ask, wire, clock):
    """After five minutes; and it holds for one address and one key only."""
    wire.fail(401).reply(ANSWER)
    ask()
    ask(api_base="http://other/v1")
    ask(api_key="sk-2")
    clock.now_s = 301
    ask()
    assert _sent(wire)[2:] == [BEARER, {"authorization": "Bearer sk-2"}, BEARER]


def test_a_wrong_key_is_not_sent_twice_every_time(ask, wire, clock):
    """Neither style helped: for a while only one request is made, and the first error stands."""
    wire.fail(401, {"error": {"message": "first"}}).fail(401, {"error": {"message": "second"}})
    with pytest.raises(AuthenticationError, match="first"):
        ask()
    with pytest.raises(AuthenticationError):
        ask()
    assert _sent(wire) == [BEARER, X_KEY, BEARER]


def test_only_a_401_is_taken_for_one(ask, wire):
    """Another failure of the second request is told as it is, and nothing is learnt."""
    wire.fail(401).fail(400, {"error": {"message": "too long"}}).reply(ANSWER)
    with pytest.raises(BadRequestError, match="too long"):
        ask()
    ask()
    assert _sent(wire)[2] == BEARER


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Token sk-1"},
        {"Authorization": "sk-1"},
        {"X-API-Key": "sk-1", "Authorization": "Bearer sk-2"},
    ],
)
def test_other_headers_of_the_caller_are_left_alone(ask, wire, headers):
    """Which of two is meant, or in what scheme, is not ours to guess."""
    wire.fail(401)
    with pytest.raises(AuthenticationError):
        ask(extra_headers=headers, api_key=None)
    assert _sent(wire) == [{name.lower(): value for name, value in headers.items()}]


@pytest.mark.parametrize(
    ("first", "second", "style"),
    [(X_KEY, BEARER, "bearer"), (BEARER, X_KEY, "x-api-key")],
)
def test_a_key_in_a_header_goes_out_as_written_and_once_in_the_other(
    ask, wire, first, second, style
):
    """What is learnt holds for that address and key, however the key is given next time."""
    wire.fail(401).reply(ANSWER)
    answer = ask(extra_headers=first, api_key=None)
    assert answer.additional_kwargs == {"auth": {"style": style}}
    ask(extra_headers=first, api_key=None)
    ask()
    assert _sent(wire) == [first, second, second, second]


@pytest.mark.parametrize("header", [{"X-API-Key": "sk-1"}, {"Authorization": "Bearer sk-1"}])
def test_a_key_in_a_header_that_is_taken_is_sent_once(ask, wire, header):
    """As it was written, whatever style the environment names; nothing is noted."""
    wire.reply(ANSWER)
    assert not ask(extra_headers=header, api_key=None).additional_kwargs
    assert _sent(wire) == [{name.lower(): value for name, value in header.items()}]


def test_a_wrong_key_in_a_header_is_a_401(ask, wire):
    """The first refusal is raised, and the second request is saved for a while."""
    wire.fail(401)
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            ask(extra_headers={"x-api-key": "sk-1"}, api_key=None)
    assert _sent(wire) == [X_KEY, BEARER, X_KEY]


@pytest.mark.parametrize(
    ("style", "sent"),
    [
        ("bearer", BEARER),
        ("x-api-key", X_KEY),
        ("raw", {"authorization": "sk-1"}),
        ("X-Mine", {"x-mine": "sk-1"}),
    ],
)
def test_a_style_that_is_said_is_used(ask, wire, monkeypatch, style, sent):
    """By argument or by variable; and a 401 then is one."""
    wire.fail(401)
    with pytest.raises(AuthenticationError):
        ask(auth_style=style)
    monkeypatch.setenv("SCILLM_OPENAI_AUTH", style)
    with pytest.raises(AuthenticationError):
        ask()
    with pytest.raises(AuthenticationError):
        ask(extra_headers=X_KEY, api_key=None)
    assert _sent(wire) == [sent, sent, X_KEY]


def test_a_style_that_is_none_is_refused(ask, wire):
    """Rather than becoming a header."""
    with pytest.raises(BadRequestError, match="auth_style='a b' is no style"):
        ask(auth_style="a b")
    assert not wire.sent


def test_learning_can_be_switched_off(ask, wire, monkeypatch):
    """Then a 401 is a 401."""
    monkeypatch.setenv("SCILLM_CHUTES_CANONICALIZE_OPENAI_AUTH", "0")
    wire.fail(401)
    with pytest.raises(AuthenticationError):
        ask()
    assert len(wire.sent) == 1


@pytest.mark.parametrize(
    ("variables", "sent"),
    [
        ({"SAFE_MODE": "1"}, 1),
        ({"SAFE_MODE": "1", "ENABLE_AUTO_AUTH": "1"}, 2),
        ({"SAFE_MODE": "0"}, 2),
        ({"SAFE_MODE": "0", "ENABLE_AUTO_AUTH": "0"}, 1),
        ({"ENABLE_AUTO_AUTH": "0"}, 1),
    ],
)
def test_safe_mode_and_auto_auth_say_whether_it_learns(ask, wire, monkeypatch, variables, sent):
    """The one forbids, the other has the last word."""
    for name, value in variables.items():
        monkeypatch.setenv(f"SCILLM_{name}", value)
    wire.fail(401)
    with pytest.raises(AuthenticationError):
        ask()
    assert len(wire.sent) == sent


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('"sk-secret"', "is in quotes"),
        ("'sk-secret'", "is in quotes"),
        ("CHUTES_API_KEY=sk-secret", "looks like NAME=value"),
        ("export KEY=sk-secret", "looks like NAME=value"),
        ("Bearer sk-secret", 'begins with "Bearer"'),
        ("sk-secret\n", "line break"),
        (" sk-secret", "a space"),
        ("${CHUTES_KEY_secret}", "name of a variable"),
    ],
)
@pytest.mark.parametrize("where", ["api_key", "x-api-key"])
def test_a_key_that_cannot_be_right_is_not_sent(ask, wire, key, said, where):
    """The message says what to mend, and does not show it."""
    given = {"api_key": key}
    if where == "x-api-key":
        given = {"api_key": None, "extra_headers": {"x-api-key": key}}
    with pytest.raises(BadRequestError, match=said) as info:
        ask(**given)
    assert not wire.sent
    assert "secret" not in str(info.value)
    assert info.value.status_code == 400


@pytest.mark.parametrize("key", ["sk-proj_a.b-c", "cpk_0a.b1==", "eyJhbGciOi.J9.e30=", "abc"])
def test_a_key_that_may_be_right_is_sent(ask, wire, key):
    """Tokens of all kinds, those with padding among them."""
    wire.reply(ANSWER)
    ask(api_key=key)
    assert _sent(wire) == [{"authorization": f"Bearer {key}"}]


def test_a_stream_that_began_is_not_begun_again(scillm_kernel, wire):
    """It is switched before its first event, or not at all."""
    chunk = {
        "id": "a",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}],
    }
    wire.fail(401).reply(chunk, b"[DONE]")
    kernel = scillm_kernel(Auth(), scillm_openai_like)

    async def main():
        stream = await kernel.acompletion(
            "m",
            ASK,
            api_base="http://g",
            api_key="sk-1",
            stream=True,
            custom_llm_provider="openai_like",
        )
        return [piece.text async for piece in stream], stream.response

    pieces, response = asyncio.run(main())
    assert pieces == ["hi"]
    assert response.additional_kwargs == {"auth": {"style": "x-api-key"}}
    assert len(wire.sent) == 2


def test_nothing_of_a_key_is_kept(ask, wire):
    """Neither in the plugin nor in an error that travels."""
    plugin = Auth()
    kernel = Kernel.of(plugin, wire, scillm_openai_like)
    wire.fail(401).fail(401)
    with pytest.raises(AuthenticationError) as info:
        kernel.completion(
            "m", ASK, api_base="http://g", api_key="sk-secret", custom_llm_provider="openai_like"
        )
    assert b"sk-secret" not in pickle.dumps(info.value)
    assert "sk-secret" not in repr(vars(plugin))


@pytest.mark.parametrize(
    ("headers", "stream", "kept", "style"),
    [
        ({"Authorization": "Bearer a", "x-api-key": "b"}, False, {"x-api-key": "b"}, "x-api-key"),
        ({"Authorization": "B a", "x-api-key": "b"}, True, {"Authorization": "B a"}, "bearer"),
        ({"X-API-KEY": "b", "y": "1"}, True, {"X-API-KEY": "b", "y": "1"}, "x-api-key"),
        ({"authorization": "B a"}, False, {"authorization": "B a"}, "bearer"),
        ({}, False, {}, "none"),
    ],
)
def test_one_of_two_headers_is_chosen(headers, stream, kept, style):
    """A stream takes the Bearer token, everything else x-api-key."""
    assert choose_auth(headers, stream=stream) == (kept, style)


@pytest.mark.parametrize(
    "value",
    [
        "bearer sk-1",
        "BEARER sk-1",
        "Basic dXNlcjpwYXNz=x",
        'Digest username="u", realm="r"',
        "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c",
        'Token token="abc"',
        "sk-1==",
    ],
)
def test_a_header_of_another_scheme_is_sent_as_it_is(ask, wire, value):
    """Explicit headers win, and their parameters are no key that could be wrong."""
    wire.reply(ANSWER)
    ask(extra_headers={"Authorization": value})
    assert _sent(wire) == [{"authorization": value}]


@pytest.mark.parametrize(
    "key",
    [
        "\u201csk-hush-1\u201d",
        "`sk-hush-1`",
        "export KEY=sk-hush-1",
        "sk-hush-1\u200b",
        "sk-hush-\u00fc",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("how", ["api_key", "Authorization", "x-api-key", "api-key"])
def test_a_key_that_a_document_spoilt_is_not_sent_and_not_shown(ask, wire, key, how):
    """Typographic quotes, spaces of no width, letters outside ASCII."""
    more = {"api_key": key} if how == "api_key" else {"extra_headers": {how: key}}

    def sent():
        wire.reply(ANSWER)
        ask(**more)
        wire.sent[0].wire_headers()

    with pytest.raises(BadRequestError) as info:
        sent()
    assert "hush" not in f"{info.value!r} {info.value.__cause__!r} {info.value.__context__!r}"


@pytest.mark.parametrize("style", [5, "no such", "a:b", "none", "content-type", "schl\u00fcssel"])
def test_what_is_no_style_is_told_before_anything_is_sent(ask, wire, style):
    """Also one that would break the request itself."""
    wire.reply(ANSWER)
    with pytest.raises(BadRequestError, match="is no style"):
        ask(auth_style=style)
    assert not wire.sent


@pytest.mark.parametrize(
    ("style", "header"),
    [
        ("Bearer", BEARER),
        ("X-API-Key", X_KEY),
        (" RAW ", {"authorization": "sk-1"}),
        (None, BEARER),
    ],
)
def test_a_style_may_be_written_in_any_case(ask, wire, style, header):
    """``Bearer`` is no header of that name."""
    wire.reply(ANSWER)
    ask(auth_style=style)
    assert _sent(wire) == [header]
