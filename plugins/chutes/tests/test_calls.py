"""Calls with everything out of the environment."""

import pickle

import pytest

from scillm import NotFoundError
from scillm.extras import auto_router_from_env, infer_with_fallback
from scillm.extras.chutes_simple import chutes_chat_json, chutes_router_json
from scillm_chutes.fallback import AllCandidatesFailed

ASK = [{"role": "user", "content": 'Return only {"ok":true} as JSON.'}]


@pytest.fixture(autouse=True)
def _model(monkeypatch):
    monkeypatch.setenv("CHUTES_TEXT_MODEL", "mine")


def test_a_json_call_takes_all_from_the_environment(gateway):
    """Address, key and model; and asks for JSON."""
    answer = chutes_chat_json(messages=ASK)
    assert answer.choices[0].message.content == '{"ok": true}'
    path, body = gateway.asked[-1]
    assert (path, body["model"]) == ("/v1/chat/completions", "mine")
    assert body["response_format"] == {"type": "json_object"}
    assert (body["max_tokens"], body["temperature"]) == (256, 0)


@pytest.mark.parametrize("missing", ["CHUTES_API_BASE", "CHUTES_API_KEY", "CHUTES_TEXT_MODEL"])
def test_what_is_not_set_is_named(gateway, monkeypatch, missing):
    """Before anything is sent."""
    monkeypatch.delenv(missing)
    with pytest.raises(RuntimeError, match=f"{missing} is not set"):
        chutes_chat_json(messages=ASK)
    assert not gateway.asked


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_a_tenacious_call_says_what_it_took(gateway, monkeypatch, how):
    """The one model, until it answers; nobody else is asked."""
    gateway.failing["mine"] = [503, 429, 200]
    if how == "variable":
        monkeypatch.setenv("SCILLM_TENACIOUS", "1")
    answer = chutes_chat_json(messages=ASK, tenacious=how == "argument", backoff_cap_s=0.01)
    assert gateway.models_asked() == ["mine"] * 3
    meta = answer.scillm_meta
    assert (meta["tenacious"], meta["attempts"]) == (True, 3)
    assert 0 <= meta["total_sleep_s"] < 1


def test_a_tenacious_call_is_not_repeated_where_that_is_hopeless(gateway):
    """An unknown model stays unknown."""
    gateway.failing["mine"] = [404]
    with pytest.raises(NotFoundError):
        chutes_chat_json(messages=ASK, tenacious=True)
    assert gateway.models_asked() == ["mine"]


def test_a_router_out_of_the_environment(gateway, monkeypatch):
    """As the quickstart makes one; the first that can answers."""
    monkeypatch.setenv("CHUTES_TEXT_MODEL_ALT1", "second")
    gateway.failing["mine"] = [503]
    router = auto_router_from_env(kind="text", require_json=True)
    assert router.model_list[0]["model_name"] == "chutes/text"
    answer = router.completion(
        model=router.model_list[0]["model_name"],
        messages=ASK,
        response_format={"type": "json_object"},
        max_retries=3,
        retry_after=1,
        timeout=45,
    )
    assert answer.choices[0].message.get("content", "") == '{"ok": true}'
    assert gateway.models_asked() == ["mine", "second"]


def test_the_model_may_be_named_for_all_kinds(gateway, monkeypatch):
    """CHUTES_MODEL_ID, where nothing nearer names one."""
    monkeypatch.setenv("CHUTES_MODEL_ID", "any")
    chutes_chat_json(messages=ASK)
    monkeypatch.delenv("CHUTES_TEXT_MODEL")
    chutes_chat_json(messages=ASK)
    chutes_chat_json(messages=ASK, model="given")
    assert gateway.models_asked() == ["mine", "any", "given"]


def test_a_router_call_for_json_may_be_tenacious(gateway):
    """It waits for the one model that is pinned."""
    gateway.failing["mine"] = [503, 503, 503, 503, 503, 200]
    answer = chutes_router_json(messages=ASK, tenacious=True, backoff_cap_s=0.01)
    assert answer.scillm_meta["served_model"] == "mine"


@pytest.mark.parametrize("is_embedded", [False, True])
def test_the_dump_holds_who_served_only_if_wished(gateway, monkeypatch, is_embedded):
    """SCILLM_EMBED_META; the attribute is there either way, after a copy and a pickle too."""
    monkeypatch.setenv("SCILLM_EMBED_META", str(int(is_embedded)))
    answer, meta = infer_with_fallback(messages=ASK)
    assert answer.scillm_meta == meta
    assert ("scillm_meta" in answer.to_dict()) is is_embedded
    assert ("scillm_meta" in answer.model_dump()) is is_embedded
    copies = [answer.evolve(model="x"), pickle.loads(pickle.dumps(answer))]
    assert [copy.scillm_meta for copy in copies] == [meta, meta]
    assert copies[1].served_by == answer.served_by


def test_who_served_is_told(gateway, monkeypatch):
    """With the route, and everyone who was asked before."""
    monkeypatch.setenv("CHUTES_TEXT_MODEL_ALT1", "second")
    gateway.failing["mine"] = [503]
    answer, meta = infer_with_fallback(messages=ASK, kind="text", require_json=True)
    assert (meta["route"], meta["served_model"], meta["preferred"]) == ("router", "second", "mine")
    assert len(meta["attempts"]) == 1
    assert answer.scillm_meta == meta
    assert gateway.asked[-1][1]["response_format"] == {"type": "json_object"}


def test_if_the_router_fails_each_is_asked_alone(gateway):
    """Which may take somebody that the Router gave up on."""
    gateway.failing["mine"] = [404, 200]
    _, meta = infer_with_fallback(messages=ASK, max_retries=0)
    assert (meta["route"], meta["served_model"]) == ("sequential", "mine")
    assert [attempt["route"] for attempt in meta["attempts"]] == ["router"]


def test_if_all_fail_each_is_quoted(gateway):
    """In a RuntimeError, as before, which survives a pickle."""
    gateway.failing["mine"] = [404]
    with pytest.raises(RuntimeError, match="All candidates failed") as info:
        infer_with_fallback(messages=ASK, max_retries=0)
    assert len(info.value.attempts) == 2
    copy = pickle.loads(pickle.dumps(info.value))
    assert isinstance(copy, AllCandidatesFailed)
    assert copy.attempts == info.value.attempts
    assert "cpk-secret" not in str(info.value)


def test_a_router_call_for_json(gateway):
    """The short form."""
    assert chutes_router_json(messages=ASK).text == '{"ok": true}'
