"""The functions that users call."""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import scillm
import scillm_openai_like
from scillm import APIError, BadRequestError, Kernel, ScillmError
from scillm_cache import Caching
from scillm_preflight import Preflight, PreflightFailed
from scillm_preflight.api import (
    apreflight_models,
    aresolve_models,
    preflight_models,
    resolve_models,
)
from scillm_retry import Retry


def test_the_host_is_asked_once(host, kernel):
    """With the key; afterwards what is known counts, however the address is written."""
    found = preflight_models(api_base=f"{host.base}/v1/", api_key="sk-1", kernel=kernel)
    again = preflight_models(api_base=host.base, kernel=kernel)
    assert found == again == set(host.ids)
    assert (host.asked, host.keys) == (["/v1/models"], ["Bearer sk-1"])
    found.clear()
    assert preflight_models(api_base=host.base, kernel=kernel)


def test_it_is_lent_by_scillm(host):
    """As a module and as a function, for the calls of the default kernel."""
    from scillm.extras import preflight_models as lent
    from scillm.extras.preflight import preflight_models as of_module

    assert lent is of_module is preflight_models
    try:
        assert lent(api_base=host.base) == set(host.ids)
        with pytest.raises(ValueError, match="Nothing was sent"):
            scillm.completion(
                "nope",
                [{"role": "user", "content": "hi"}],
                custom_llm_provider="openai_like",
                api_base=host.base,
                model_preflight=True,
            )
    finally:
        scillm.close()


def test_after_its_time_the_host_is_asked_again(host, kernel, clock, monkeypatch):
    """The setting says how long; the argument wins."""
    for ttl_s, later_s, asked in [(None, 1799, 1), (None, 2, 2), (0, 0, 3), (9e9, 5000, 3)]:
        preflight_models(api_base=host.base, kernel=kernel)
        clock.now_s += later_s
        preflight_models(api_base=host.base, ttl_s=ttl_s, kernel=kernel)
        assert len(host.asked) == asked
    monkeypatch.setenv("SCILLM_MODEL_PREFLIGHT_TTL_S", "1e6")
    preflight_models(api_base=host.base, kernel=kernel)
    assert len(host.asked) == 3


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_failure_is_an_error_of_both_kinds(host, kernel, status):
    """A RuntimeError and an APIError, which keeps what the host said."""
    host.status = status
    with pytest.raises(RuntimeError, match=f"{host.base} did not tell its models") as info:
        preflight_models(api_base=host.base, api_key="sk-secret-1", kernel=kernel)
    assert isinstance(info.value, PreflightFailed)
    assert isinstance(info.value, APIError)
    assert info.value.status_code == status
    assert isinstance(info.value.__cause__, APIError)
    assert "sk-secret-1" not in str(info.value)


def test_a_failure_says_how_old_an_earlier_list_is(host, kernel, clock):
    """So that one knows what one still has."""
    preflight_models(api_base=host.base, kernel=kernel)
    host.status, clock.now_s = 503, clock.now_s + 7200
    with pytest.raises(PreflightFailed, match="an earlier list is 2 h old"):
        preflight_models(api_base=host.base, kernel=kernel)


@pytest.mark.parametrize("is_async", [False, True])
def test_soft_takes_what_was_known_or_nothing(host, kernel, clock, caplog, is_async):
    """With a warning each time."""

    def preflight():
        if is_async:
            return asyncio.run(_closing(kernel, apreflight_models, host.base, soft=True))
        return preflight_models(api_base=host.base, soft=True, kernel=kernel)

    host.status = 500
    assert preflight() == set()
    assert "going on with no models" in caplog.text
    host.status = 200
    known = preflight()
    host.status, clock.now_s = 500, clock.now_s + 1e6
    assert preflight() == known == set(host.ids)
    assert "an earlier list is 12 days old" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


async def _closing(kernel, function, base, *arguments, **more):
    async with kernel:
        return await function(*arguments, api_base=base, kernel=kernel, **more)


def test_an_empty_list_is_a_failure(host, kernel):
    """By it every call would be refused."""
    host.ids = []
    with pytest.raises(PreflightFailed, match="its list is empty"):
        preflight_models(api_base=host.base, kernel=kernel)


def test_entries_that_are_no_models_are_left_out(scillm_kernel, wire):
    """A bare id counts, as some servers list them."""
    wire.reply({"data": ["a", {"id": "b"}, {"id": 7}, {"name": "c"}, None, ""]})
    kernel = scillm_kernel(Preflight(), scillm_openai_like)
    assert preflight_models(api_base="http://h", kernel=kernel) == {"a", "b"}


def test_no_address_is_said_so(kernel):
    """Soft or not: the program is wrong, not the host."""
    for base in ("", None, 7, "localhost:8000", "ftp://h"):
        with pytest.raises(BadRequestError, match="is no address"):
            preflight_models(api_base=base, soft=True, kernel=kernel)


def test_a_kernel_without_the_plugin_is_said_so(host):
    """Nothing would come of the list."""
    with pytest.raises(ScillmError, match="no plugin 'preflight'"):
        preflight_models(api_base=host.base, kernel=Kernel.of())


def test_other_plugins_carry_the_question(endpoint, kernels, monkeypatch):
    """A retry, as with any other call."""
    monkeypatch.setenv("SCILLM_RETRY_AFTER", "0")
    base = endpoint.url("s503.503.ok-ram1")
    found = preflight_models(api_base=base, kernel=kernels(Retry()))
    assert found == {"mock-model", "gpt-4o-mini"}
    assert len(endpoint.requests_to(base)) == 3


def test_a_cache_does_not_answer_for_the_host(host, kernels, monkeypatch):
    """A list that was kept would be taken for a new one."""
    monkeypatch.setenv("SCILLM_CACHE", "1")
    kernel = kernels(Caching())
    preflight_models(api_base=host.base, kernel=kernel)
    host.ids = ["new"]
    assert preflight_models(api_base=host.base, ttl_s=0, kernel=kernel) == {"new"}


def test_a_host_that_is_late_is_not_waited_for(endpoint, kernel):
    """As long as the caller says."""
    with pytest.raises(PreflightFailed):
        preflight_models(api_base=endpoint.url("hang"), timeout_s=0.05, kernel=kernel)


def test_sync_code_within_a_loop_may_ask_too(host, kernel):
    """As in a notebook."""

    async def main():
        return preflight_models(api_base=host.base, kernel=kernel)

    assert asyncio.run(main()) == set(host.ids)


def test_many_at_the_same_time_are_one_question(host, kernel):
    """Of tasks, and of threads."""

    async def main():
        async with kernel:
            asked = (apreflight_models(api_base=host.base, kernel=kernel) for _ in range(20))
            return await asyncio.gather(*asked)

    assert asyncio.run(main()) == [set(host.ids)] * 20
    assert host.asked == ["/v1/models"]


def test_many_threads_are_one_question(host, kernel):
    """They wait for the first."""
    ready = threading.Barrier(8)

    def ask(_):
        ready.wait()
        return preflight_models(api_base=host.base, kernel=kernel)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [set(host.ids)] * 8
    assert host.asked == ["/v1/models"]


def test_a_failure_of_one_thread_is_that_of_all_who_waited(endpoint, kernel):
    """They do not wait for the host one after another."""
    base = endpoint.url("lat300-500")
    ready = threading.Barrier(8)

    def ask(_):
        ready.wait()
        try:
            return preflight_models(api_base=base, kernel=kernel)
        except PreflightFailed as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(ask, range(8)))
    assert {type(error) for error in errors} == {PreflightFailed}
    assert len(endpoint.requests_to(base)) < 8


def test_a_failure_of_one_is_that_of_all_who_waited(host, kernel):
    """They do not ask one after another; one who comes later asks anew."""
    host.status = 500

    async def main():
        async with kernel:
            asked = (apreflight_models(api_base=host.base, kernel=kernel) for _ in range(20))
            errors = await asyncio.gather(*asked, return_exceptions=True)
            host.status = 200
            return errors, await apreflight_models(api_base=host.base, kernel=kernel)

    errors, found = asyncio.run(main())
    assert {type(error) for error in errors} == {PreflightFailed}
    assert found == set(host.ids)
    assert len(host.asked) == 2


def test_one_who_leaves_does_not_take_the_others_along(endpoint, kernel):
    """They ask for themselves."""
    base = endpoint.url("shang.ok")

    async def main():
        async with kernel:
            tasks = [
                asyncio.ensure_future(apreflight_models(api_base=base, kernel=kernel))
                for _ in range(3)
            ]
            await asyncio.to_thread(endpoint.wait_until, lambda e: e.requests_to(base))
            tasks[0].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    first, *rest = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert rest == [{"mock-model", "gpt-4o-mini"}] * 2


@pytest.mark.parametrize("is_async", [False, True])
def test_names_are_resolved_together(host, kernel, is_async):
    """Each with what it means, how far that is, and why; in order."""
    host.ids += ["deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3-0324"]
    names = ["Qwen/Qwen3-8B", "Kimi K2", "Qwen3-14B", "deepseek v3-0324", "qwen3-8b"]
    if is_async:
        found = asyncio.run(_closing(kernel, aresolve_models, host.base, names))
    else:
        found = resolve_models(names, api_base=host.base, kernel=kernel)
    assert found.ok is False
    assert found["missing"] == ["Qwen3-14B"]
    assert (found.catalog_size, found.catalog_ts, found.catalog_age_s) == (5, 1_790_000_000.0, 0.0)
    assert [one.input for one in found.resolved] == names
    assert [one.canonical for one in found.resolved] == [
        "Qwen/Qwen3-8B",
        "moonshotai/Kimi-K2-Instruct-0905",
        None,
        "deepseek-ai/DeepSeek-V3-0324",
        "Qwen/Qwen3-8B",
    ]
    distances = [one["distance"] for one in found["resolved"]]
    assert distances[0] == 0
    assert len(set(distances)) == 4
    assert {one.source for one in found.resolved} == {"live"}
    assert found.resolved[0].to_dict() == {
        "input": "Qwen/Qwen3-8B",
        "canonical": "Qwen/Qwen3-8B",
        "distance": 0.0,
        "exists": True,
        "source": "live",
        "reason": "exact",
        "candidates": [],
    }
    assert found.resolved[2].reason.startswith("unknown; nearest: Qwen/Qwen3-")


def test_an_ambiguous_name_is_missing_with_its_candidates(host, kernel):
    """One name may be given alone."""
    host.ids = ["a/Some-7B", "b/Some-7B"]
    found = resolve_models("some 7b", api_base=host.base, kernel=kernel)
    assert (found.ok, found.missing) == (False, ["some 7b"])
    assert found.resolved[0].candidates == ["a/Some-7B", "b/Some-7B"]
    assert found.resolved[0].exists is False


def test_offline_what_is_known_counts(host, kernel, kernels, clock):
    """If it is fresh; a stale list only if it may, from the file too."""
    names = {"models": ["qwen3 8b"], "api_base": host.base}
    resolve_models(**names, kernel=kernel)
    host.status = 500

    assert resolve_models(**names, kernel=kernel).resolved[0].source == "cache"
    clock.now_s += 7200
    with pytest.raises(PreflightFailed, match="an earlier list is 2 h old"):
        resolve_models(**names, kernel=kernel)
    later = resolve_models(**names, allow_stale=True, kernel=kernels())
    assert (later.ok, later.resolved[0].source, later.catalog_age_s) == (True, "stale", 7200.0)


def test_not_live_nobody_is_asked_if_something_that_counts_is_known(host, kernel, clock):
    """Else the host is."""
    names = {"models": ["qwen3 8b"], "api_base": host.base, "prefer_live": False}
    sources = []
    for later_s, more in [(0, {}), (10, {}), (7200, {"allow_stale": True}), (0, {})]:
        clock.now_s += later_s
        found = resolve_models(**names, **more, kernel=kernel)
        sources.append(found.resolved[0].source)
    assert sources == ["live", "cache", "stale", "live"]
    assert len(host.asked) == 2


def test_live_the_host_is_asked_though_its_models_are_known(host, kernel):
    """So that what is told is true now."""
    preflight_models(api_base=host.base, kernel=kernel)
    host.ids = ["new-1b"]
    assert resolve_models("New 1B", api_base=host.base, kernel=kernel).ok
    assert len(host.asked) == 2


def test_the_cutoff_of_names(host, kernel, monkeypatch):
    """The argument, else the setting."""
    where = {"models": "Kimi K2", "api_base": host.base, "kernel": kernel}
    assert resolve_models(**where).ok
    assert not resolve_models(cutoff=0.9, **where).ok
    monkeypatch.setenv("SCILLM_MODEL_ALIAS_CUTOFF", "0.9")
    found = resolve_models(**where)
    assert not found.ok
    assert found.resolved[0].reason == "below the cutoff of 0.9: moonshotai/Kimi-K2-Instruct-0905"
    with pytest.raises(BadRequestError, match="no number from 0 to 1"):
        resolve_models(cutoff=7, **where)
    with pytest.raises(BadRequestError, match="a model's name is text"):
        resolve_models(models=[7], api_base=host.base, kernel=kernel)
