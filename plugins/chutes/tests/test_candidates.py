"""Who may answer, and in which order they are asked."""

import pytest

from scillm.extras import find_best_chutes_model, warm_chutes_caches
from scillm.extras.chutes_simple import chutes_chat_json
from scillm_chutes.load import LOAD
from scillm_chutes.routers import candidates
from scillm_chutes.settings import gateways as named


def _models(entries):
    return [entry["litellm_params"]["model"] for entry in entries]


def test_without_a_gateway_it_says_what_to_set(gateways):
    """Not a name that does not resolve, or an empty list."""
    with pytest.raises(RuntimeError, match="set CHUTES_API_BASE and CHUTES_API_KEY"):
        candidates()


def test_numbered_gateways_come_first_and_none_twice(gateways, monkeypatch):
    """The one without a number is left out where a number names it too."""
    monkeypatch.setenv("CHUTES_API_BASE_2", "http://b/v1")
    monkeypatch.setenv("CHUTES_API_BASE_1", "http://a")
    monkeypatch.setenv("CHUTES_API_KEY_1", "k1")
    monkeypatch.setenv("CHUTES_API_BASE", "http://a/v1/")
    assert [(g.base, g.number) for g in named()] == [("http://a", 1), ("http://b/v1", 2)]
    assert named()[0].key.reveal() == "k1"


def test_pins_are_taken_instead_of_what_is_listed(gateway, monkeypatch):
    """In their order, an empty alternate left out; nothing need be discovered."""
    monkeypatch.setenv("CHUTES_TEXT_MODEL", "mine")
    monkeypatch.setenv("CHUTES_TEXT_MODEL_ALT1", "")
    monkeypatch.setenv("CHUTES_TEXT_MODEL_ALT2", "second")
    entries = candidates()
    assert _models(entries) == ["mine", "second"]
    assert [entry["litellm_params"]["order"] for entry in entries] == [1, 2]
    assert not any(path == "/v1/models" for path, _ in gateway.asked)


@pytest.mark.parametrize(
    ("kind", "flags", "expected"),
    [
        ("text", {}, ["a-8B", "b-tools"]),
        ("text", {"require_tools": True}, ["b-tools"]),
        ("text", {"require_json": True}, ["a-8B"]),
        ("tools", {}, ["b-tools"]),
        ("vlm", {}, ["c-VL", "d"]),
    ],
)
def test_what_the_gateway_says_of_a_model_decides(gateway, kind, flags, expected):
    """Features where it tells them, the name where it does not; never an embedding model."""
    gateway.models = [
        {"id": "e-embedding"},
        {"id": "a-8B", "supported_features": ["json_mode"]},
        {"id": "b-tools", "supported_features": ["tools"]},
        {"id": "c-VL-7B".removesuffix("-7B")},
        {"id": "d", "input_modalities": ["text", "image"]},
    ]
    assert _models(candidates(kind, per_base=9, **flags)) == expected


def test_the_least_busy_comes_first_and_the_unknown_before_the_busy(gateway, monkeypatch):
    """Never the busiest."""
    monkeypatch.setenv("SCILLM_UTIL_K", "1")
    gateway.models = [{"id": name} for name in ("busy", "idle", "half", "unknown")]
    gateway.utilization = [
        {"name": "busy", "utilization": 0.97},
        {"name": "idle", "utilization": 0.1},
        {"name": "half", "utilization": 0.5},
    ]
    assert _models(candidates(per_base=9)) == ["idle", "half", "unknown", "busy"]


def test_a_model_stays_busy_until_its_load_is_low(gateway, monkeypatch):
    """Twice above the upper mark to become so, once at the lower mark to be idle again."""
    monkeypatch.setenv("SCILLM_UTIL_TTL_S", "0")
    gateway.models = [{"id": "a"}]
    seen = []
    for share in (0.9, 0.9, 0.7, 0.5, 0.7):
        gateway.utilization = {"utilization": share}
        candidates()
        seen.append(LOAD.place(gateway.base, "a")[0])
    assert seen == [0, 2, 2, 0, 0]


@pytest.mark.parametrize(
    ("variables", "shares", "place"),
    [
        ({}, [0.9, 0.9], 2),
        ({"SCILLM_UTIL_HI": "0.95"}, [0.9, 0.9], 0),
        ({"SCILLM_UTIL_K": "3"}, [0.9, 0.9], 0),
        ({}, [0.9, 0.9, 0.6], 2),
        ({"SCILLM_UTIL_LO": "0.7"}, [0.9, 0.9, 0.6], 0),
        ({"SCILLM_UTIL_TTL_S": "45"}, [0.9, 0.9], 0),
    ],
)
def test_each_mark_is_a_variable(gateway, monkeypatch, variables, shares, place):
    """The upper, the lower, how many readings, and how long one counts."""
    for name, value in {"SCILLM_UTIL_TTL_S": "0", **variables}.items():
        monkeypatch.setenv(name, value)
    gateway.models = [{"id": "a"}]
    for share in shares:
        gateway.utilization = {"utilization": share}
        candidates()
    assert LOAD.place(gateway.base, "a")[0] == place


def test_the_load_is_also_looked_for_where_it_used_to_be(gateway):
    """At the second path, if the first is not there."""
    gateway.utilization_path = "/chutes/utilization_legacy"
    gateway.utilization = {"utilization": 0.4}
    candidates()
    assert LOAD.share(gateway.base, "text-8B") == 0.4


@pytest.mark.parametrize(
    ("kind", "variable"),
    [("text", "TEXT_MODEL_1"), ("vlm", "VLM_MODEL_1"), ("tools", "TOOLS_MODEL_1")],
)
def test_a_numbered_gateway_has_pins_of_its_own(gateway, monkeypatch, kind, variable):
    """By kind; the pins of the other are not its."""
    monkeypatch.setenv("CHUTES_API_BASE_1", gateway.base)
    monkeypatch.setenv("CHUTES_API_KEY_1", "k1")
    monkeypatch.setenv("CHUTES_TEXT_MODEL", "not-mine")
    monkeypatch.setenv(f"CHUTES_{variable}", "pinned")
    (entry,) = candidates(kind)
    assert entry["litellm_params"]["model"] == "pinned"
    assert entry["litellm_params"]["api_key"].reveal() == "k1"


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
def test_an_address_is_taken_with_and_without_v1(gateway, monkeypatch, end):
    """By every helper: list, load, call."""
    monkeypatch.setenv("CHUTES_API_BASE", gateway.base.removesuffix("/v1") + end)
    (entry,) = candidates()
    chutes_chat_json(messages=[{"role": "user", "content": "hi"}], model="m")
    assert entry["litellm_params"]["model"] == "text-8B"
    wanted = {"/v1/models", "/chutes/utilization", "/v1/chat/completions"}
    assert {path for path, _ in gateway.asked} == wanted | {"/chutes/utilization_legacy"}


def test_the_load_is_not_read_at_every_call(gateway):
    """SCILLM_UTIL_TTL_S bounds how often."""
    candidates()
    candidates()
    assert sum(path == "/chutes/utilization" for path, _ in gateway.asked) == 1


def test_a_gateway_that_fails_leaves_the_others(gateways, monkeypatch):
    """And if all fail, each is quoted."""
    bad, good = gateways(), gateways()
    bad.models = []
    monkeypatch.setenv("CHUTES_API_BASE_1", bad.base)
    monkeypatch.setenv("CHUTES_API_BASE_2", good.base)
    assert _models(candidates()) == ["text-8B"]
    good.models = [{"id": "x-embed"}]
    with pytest.raises(RuntimeError, match=r"status 500 .* lists no model for 'vlm'"):
        candidates("vlm")


def test_the_best_is_under_the_threshold_else_the_least_busy(gateway):
    """An entry for a model list, in which no key shows."""
    gateway.models = [{"id": "a"}, {"id": "b"}]
    gateway.utilization = [{"name": "a", "utilization": 0.9}, {"name": "b", "utilization": 0.3}]
    assert _models([find_best_chutes_model(kind="text", util_threshold=0.85)]) == ["b"]
    LOAD.clear()
    gateway.utilization = [{"name": "a", "utilization": 0.97}, {"name": "b", "utilization": 0.95}]
    best = find_best_chutes_model(kind="text", util_threshold=0.85)
    assert _models([best]) == ["b"]
    assert "cpk-secret" not in repr(best)


def test_there_may_be_no_best(gateways):
    """No gateway, no candidate."""
    assert find_best_chutes_model() is None


def test_warming_reads_what_the_next_call_would(gateway):
    """Both counts; afterwards neither list nor load is asked for again."""
    gateway.utilization = {"utilization": 0.2}
    entries = candidates()
    asked = len(gateway.asked)
    assert warm_chutes_caches(entries) == (1, 1)
    candidates()
    assert len(gateway.asked) == asked
