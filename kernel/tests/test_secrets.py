"""Secrets stay hidden."""

import copy
import pickle

import pytest

from scillm import Call, Request, Route, Secret


def test_a_secret_hides_in_every_text():
    """repr, str, format and containers show stars."""
    secret = Secret("sk-abc")
    assert [repr(secret), str(secret), f"{secret}", f"{secret:>5}", repr([secret])] == [
        "***",
        "***",
        "***",
        "  ***",
        "[***]",
    ]
    assert secret.reveal() == "sk-abc"


def test_a_pickled_secret_holds_no_value():
    """The value stays in its process, and asking for it says what to do."""
    data = pickle.dumps({"key": Secret("sk-abc")})
    assert b"sk-abc" not in data
    with pytest.raises(ValueError, match="set the key again in this process"):
        pickle.loads(data)["key"].reveal()
    assert not pickle.loads(data)["key"]


def test_a_copied_secret_keeps_its_value():
    """Copying a call must not lose its key."""
    assert copy.deepcopy(Call(api_key=Secret("k"))).api_key == copy.copy(Secret("k")) == Secret("k")


def test_a_secret_whose_end_was_cut_off_is_hidden_too():
    """An error that shows the first bytes of an answer may cut an echoed key in two."""
    route = Route(provider="p", model="m")
    headers = {"authorization": Secret("Bearer sk-0123456789abcdef")}
    request = Request(route=route, url="x:", read=lambda f: (), headers=headers)
    assert request.redact("you sent sk-0123456789ab") == "you sent ***"


def test_secrets_compare_by_value():
    """Equal secrets are equal, and none equals a text."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.copy(Secret("")) is not None
    assert not Secret("")


def test_only_text_can_be_a_secret():
    """Bytes or None are a mistake."""
    with pytest.raises(TypeError, match="not bytes"):
        Secret(b"x")


def test_calls_and_requests_show_no_secret():
    """What holds a secret may be printed."""
    call = Call(api_key=Secret("sk-abc"), headers={"authorization": Secret("Bearer sk-abc")})
    route = Route(provider="p", model="m")
    request = Request(route=route, url="x:", read=lambda f: (), headers=call.headers)
    assert "sk-abc" not in repr(call) + repr(request)


def test_a_request_takes_its_secrets_out_of_a_text():
    """The key is removed with and without the word before it."""
    route = Route(provider="p", model="m")
    request = Request(
        route=route, url="x:", read=lambda f: (), headers={"authorization": Secret("Bearer sk-abc")}
    )
    assert request.redact("you sent 'Bearer sk-abc', sk-abc") == "you sent '***', ***"
