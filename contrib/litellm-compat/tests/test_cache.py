"""The cache, as the quickstart switches it on."""

import pytest

import scillm
from scillm import completion

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture
def ask(endpoint):
    """Ask the same twice; returns the answers and how many requests were made."""
    base = endpoint.url("echo")

    def ask():
        answers = [
            completion("m", ASK, custom_llm_provider="openai_like", api_base=base, api_key="k")
            for _ in range(2)
        ]
        return answers, len(endpoint.requests_to(base))

    yield ask
    scillm.disable_cache()
    scillm.close()


def test_initialize_litellm_cache_takes_redis_if_it_answers(ask, redis_server, monkeypatch):
    """By REDIS_HOST and REDIS_PORT."""
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", str(redis_server.port))
    from litellm.extras import initialize_litellm_cache

    assert initialize_litellm_cache() is None
    answers, requests = ask()
    assert requests == 1
    assert answers[1].additional_kwargs["cache"]["backend"] == "redis"


def test_without_redis_it_is_memory(ask, monkeypatch):
    """And says so."""
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", "1")
    from litellm.extras import initialize_litellm_cache

    initialize_litellm_cache()
    answers, requests = ask()
    assert requests == 1
    assert answers[1].additional_kwargs["cache"]["backend"] == "memory"


def test_a_cache_is_set_on_the_module(ask, redis_server):
    """With a namespace of the run."""
    import litellm
    from litellm.caching.caching import Cache, LiteLLMCacheType

    litellm.cache = Cache(
        type=LiteLLMCacheType.REDIS,
        host="127.0.0.1",
        port=str(redis_server.port),
        namespace="run:dev",
    )
    answers, requests = ask()
    assert requests == 1
    assert answers[1].additional_kwargs["cache"]["backend"] == "redis"
    litellm.cache = None
    assert ask()[1] == 3


def test_to_switch_it_on_leaves_what_was_set(ask, tmp_path):
    """As older scripts do it: first the cache, then the switch."""
    import litellm
    from litellm.caching.caching import Cache

    litellm.cache = Cache(type="disk", disk_cache_dir=tmp_path)
    litellm.enable_cache()
    answers, _ = ask()
    assert answers[1].additional_kwargs["cache"]["backend"] == "disk"
    litellm.cache = None
    litellm.enable_cache()
    answers, _ = ask()
    assert answers[1].additional_kwargs["cache"]["backend"] == "memory"


def test_it_is_switched_on_and_off(ask):
    """By functions of the module."""
    import litellm

    litellm.enable_cache()
    assert ask()[1] == 1
    litellm.disable_cache()
    assert ask()[1] == 3


def test_other_names_of_the_module_are_refused():
    """With those that there are."""
    import litellm.caching

    with pytest.raises(AttributeError, match="there are Cache, LiteLLMCacheType"):
        litellm.caching.RedisCache  # noqa: B018  # asking is the test
