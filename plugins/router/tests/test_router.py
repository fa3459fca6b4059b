"""Who is asked, in which order, and when no more."""

import asyncio
import copy
import logging
import pickle
from collections import Counter

import pytest

from scillm import (
    APIConnectionError,
    BadRequestError,
    ContextWindowExceededError,
    Kernel,
    NotFoundError,
    RateLimitError,
    ServiceUnavailableError,
    Setting,
    UnknownModelError,
)
from scillm.errors import StatusError
from scillm_router import BudgetExceeded, Router, hookimpl

ASK = [{"role": "user", "content": "hi"}]
LONG = '{"error": {"code": "context_length_exceeded", "message": "too long"}}'
RUDE = '{"error": {"code": "content_policy_violation", "message": "no"}}'


@pytest.fixture
def router(kernel, clock):
    """Make a Router over groups: name to the models of its deployments, or to their params."""

    def router(groups, **more):
        models = [
            {
                "model_name": name,
                "litellm_params": {"model": f"fleet/{each}"} if isinstance(each, str) else each,
            }
            for name, deployments in groups.items()
            for each in deployments
        ]
        return Router(models, kernel=kernel, clock=clock, **more)

    return router


def params(model, **more):
    """The params of a deployment."""
    return {"model": f"fleet/{model}", **more}


def test_order_is_obeyed_and_the_next_is_asked_at_once(router, fleet):
    """And the answer says who gave it, and who did not."""
    fleet.fails["a"] = [503]
    one = router({"g": [params("b", order=2), params("a", order=1)]})
    answer = one.completion("g", ASK)
    assert (answer.text, fleet.asked) == ("by b", ["a", "b"])
    assert answer.served_by.model == "b"
    notes = answer.additional_kwargs["router"]
    assert (notes["model_group"], notes["served_group"], notes["fallback_used"]) == (
        "g",
        "g",
        False,
    )
    assert [(each["model"], each["kind"]) for each in notes["attempted"]] == [
        ("fleet/a", "overloaded")
    ]


def test_while_it_rests_it_is_not_asked(router, fleet, clock):
    """Then one request probes it, and if it is well it takes its place again."""
    fleet.fails["a"] = [503, None]
    one = router({"g": [params("a", order=1), params("b", order=2)]}, cooldown_time=5)
    for _ in range(3):
        one.completion("g", ASK)
    assert fleet.asked == ["a", "b", "b", "b"]
    clock.now_s += 5.1
    one.completion("g", ASK)
    one.completion("g", ASK)
    assert fleet.asked[4:] == ["a", "a"]


def test_a_wait_that_the_host_asks_for_is_kept_and_never_shortened(router, fleet, clock):
    """A minute, even if a later failure says a second."""
    fleet.fails["a"] = [StatusError(429, "", {"retry-after": "60"}), 503, None]
    one = router({"g": [params("a", order=1), params("b", order=2)]}, cooldown_time=5)
    one.completion("g", ASK)
    clock.now_s += 30
    one.completion("g", ASK)
    clock.now_s += 31
    one.completion("g", ASK)  # the probe fails
    clock.now_s += 1
    one.completion("g", ASK)
    assert fleet.asked == ["a", "b", "b", "a", "b", "b"]


def test_one_request_probes_and_the_others_go_elsewhere(router, fleet, clock):
    """A host that may still be down is not met by a crowd."""
    fleet.fails["a"] = [503, None]
    one = router({"g": [params("a", order=1), params("b", order=2)]}, cooldown_time=5)
    one.completion("g", ASK)
    clock.now_s += 6

    async def main():
        opened = asyncio.Event()

        async def gate(model):
            if model == "a":
                await opened.wait()

        fleet.gate = gate
        calls = [asyncio.ensure_future(one.acompletion("g", ASK)) for _ in range(5)]
        await asyncio.sleep(0.01)
        opened.set()
        return await asyncio.gather(*calls)

    answers = Counter(answer.text for answer in asyncio.run(main()))
    assert answers == {"by a": 1, "by b": 4}


def test_a_cancelled_request_leaves_nothing_behind(router, fleet, clock):
    """No cooldown, no place taken, no probe that never ends."""
    one = router({"g": [params("a", max_parallel_requests=1)]})

    async def main():
        async def gate(model):
            await asyncio.Event().wait()

        fleet.gate = gate
        call = asyncio.ensure_future(one.acompletion("g", ASK))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        fleet.gate = None
        return await one.acompletion("g", ASK), len(asyncio.all_tasks())

    answer, tasks = asyncio.run(main())
    assert (answer.text, tasks) == ("by a", 1)


def test_when_nobody_is_left_the_error_says_how_long(router, fleet, clock):
    """Typed, with the shortest wait, and it is known who was asked; nobody is asked in vain."""
    fleet.fails = {"a": [StatusError(429, "", {"retry-after": "60"})], "b": [503]}
    one = router({"g": ["a", "b"]}, cooldown_time=7, routing_strategy="ordered")
    with pytest.raises(ServiceUnavailableError) as info:
        one.completion("g", ASK)
    assert info.value.failure.retry_after_s == pytest.approx(7)
    assert [each["model"] for each in info.value.attempted] == ["fleet/a", "fleet/b"]
    with pytest.raises(
        RateLimitError, match="no deployment of group 'g' may be asked for the next 7.0 s"
    ):
        one.completion("g", ASK)
    assert fleet.asked == ["a", "b"]


@pytest.mark.parametrize("status", [400, 422])
def test_the_callers_own_fault_is_told_at_once(router, fleet, status):
    """Nobody else would take it, and nobody rests for it."""
    fleet.fails["a"] = [status, None]
    one = router(
        {"g": [params("a", order=1), params("b", order=2)]}, fallbacks=[{"g": ["fleet/b"]}]
    )
    with pytest.raises(Exception, match=str(status)):
        one.completion("g", ASK)
    one.completion("g", ASK)
    assert fleet.asked == ["a", "a"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_fault_of_one_deployment_is_mended_by_another(router, fleet, status):
    """Its key, its list of models."""
    fleet.fails["a"] = [status]
    assert (
        router({"g": [params("a", order=1), params("b", order=2)]}).completion("g", ASK).text
        == "by b"
    )


@pytest.mark.parametrize(
    ("error", "option"),
    [
        (503, "fallbacks"),
        (StatusError(400, LONG), "context_window_fallbacks"),
        (StatusError(400, RUDE), "content_policy_fallbacks"),
    ],
)
@pytest.mark.parametrize("where", ["router", "call", "star"])
def test_each_kind_of_failure_has_its_fallbacks(router, fleet, error, option, where):
    """Of the Router or of the call, which wins; the answer says so."""
    fleet.fails["a"] = [error]
    table = [{"*" if where == "star" else "g": ["other"]}]
    groups = {"g": ["a"], "other": ["b"]}
    one = router(groups) if where == "call" else router(groups, **{option: table})
    answer = one.completion("g", ASK, **({option: ["other"]} if where == "call" else {}))
    assert answer.text == "by b"
    notes = answer.additional_kwargs["router"]
    assert (notes["model_group"], notes["served_group"], notes["fallback_used"]) == (
        "g",
        "other",
        True,
    )


def test_fallbacks_are_for_their_kind_alone_and_can_be_left_out(router, fleet):
    """A message that is too long is no reason to ask a group that is there for outages."""
    fleet.fails["a"] = [StatusError(400, LONG)]
    one = router({"g": ["a"], "other": ["b"]}, fallbacks=[{"g": ["other"]}])
    with pytest.raises(ContextWindowExceededError):
        one.completion("g", ASK)
    fleet.fails["a"] = [503]
    with pytest.raises(ServiceUnavailableError):
        one.completion("g", ASK, disable_fallbacks=True)
    assert "b" not in fleet.asked


def test_fallbacks_may_be_chained_and_name_plain_models(router, fleet):
    """Each once, in their order, and no circle."""
    fleet.fails = {"a": [503], "b": [503]}
    one = router({"g": ["a"], "h": ["b"]}, fallbacks=[{"g": ["h"]}, {"h": ["g", "fleet/plain"]}])
    assert one.completion("g", ASK).text == "by plain"
    assert fleet.asked == ["a", "b", "plain"]


def test_a_fallback_that_takes_no_such_request_hides_no_outage(router, fleet):
    """The error that may pass is told; those after it are asked all the same."""
    fleet.fails = {"a": [503], "b": [400]}
    with pytest.raises(ServiceUnavailableError) as info:
        router({"g": ["a"], "h": ["b"]}, fallbacks=[{"g": ["h"]}]).completion("g", ASK)
    assert [each["kind"] for each in info.value.attempted] == ["overloaded", "bad_request"]
    one = router({"g": ["a"], "h": ["b"], "i": ["c"]}, fallbacks=[{"g": ["h", "i"]}])
    assert one.completion("g", ASK).text == "by c"


def test_a_stream_that_began_is_not_begun_elsewhere(router, fleet):
    """What was handed over cannot be taken back."""
    fleet.fails["a"] = ["midway"]
    one = router({"g": [params("a", order=1), params("b", order=2)]})
    stream = one.completion("g", ASK, stream=True)
    with pytest.raises(APIConnectionError) as info:
        list(stream)
    assert info.value.partial.text == "be"
    assert fleet.asked == ["a"]


def test_weights_are_heeded(router, fleet):
    """Three of four requests go to the heavier one; a weight of 0 is never drawn."""
    one = router({"g": [params("a", weight=3), params("b", weight=1), params("c", weight=0)]})
    for _ in range(400):
        one.completion("g", ASK)
    seen = Counter(fleet.asked)
    assert 250 < seen["a"] < 350
    assert seen["c"] == 0


def test_the_least_busy_is_asked(router, fleet):
    """Requests under way count."""
    one = router({"g": ["a", "b", "c"]}, routing_strategy="least-busy")

    async def main():
        opened = asyncio.Event()

        async def gate(model):
            await opened.wait()

        fleet.gate = gate
        calls = [asyncio.ensure_future(one.acompletion("g", ASK)) for _ in range(9)]
        await asyncio.sleep(0.01)
        opened.set()
        await asyncio.gather(*calls)

    asyncio.run(main())
    assert Counter(fleet.asked) == {"a": 3, "b": 3, "c": 3}


def test_the_quickest_is_asked(router, fleet, clock):
    """By how soon it began to answer lately."""
    one = router({"g": ["slow", "quick"]}, routing_strategy="latency-based-routing")

    async def gate(model):
        clock.now_s += 2 if model == "slow" else 0.1

    fleet.gate = gate
    for _ in range(6):
        one.completion("g", ASK)
    assert Counter(fleet.asked) == {"slow": 1, "quick": 5}


def test_a_way_to_choose_can_be_given(router, fleet):
    """As a plugin with the hook."""

    class Last:
        @hookimpl
        def choose(self, strategy, deployments):
            return deployments[-1] if strategy == "Last" else None

    router({"g": ["a", "b", "c"]}, routing_strategy=Last()).completion("g", ASK)
    assert fleet.asked == ["c"]
    with pytest.raises(BadRequestError, match="routing_strategy='best' is known to nobody"):
        router({"g": ["a"]}, routing_strategy="best")


def test_requests_a_minute_are_counted(router, fleet, clock):
    """Two to the first, then the second; and when all are full the error says how long."""
    one = router({"g": [params("a", order=1, rpm=2), params("b", order=2, rpm=1)]})
    for _ in range(3):
        one.completion("g", ASK)
    assert fleet.asked == ["a", "a", "b"]
    with pytest.raises(RateLimitError, match="by their limits") as info:
        one.completion("g", ASK)
    assert info.value.failure.retry_after_s == pytest.approx(60)
    clock.now_s += 61
    one.completion("g", ASK)
    assert fleet.asked[3:] == ["a"]


def test_tokens_a_minute_are_counted_as_they_are_told(router, fleet):
    """Each answer says 5; 8 let two go."""
    one = router({"g": [params("a", order=1, tpm=8), params("b", order=2)]})
    for _ in range(4):
        one.completion("g", ASK)
    assert fleet.asked == ["a", "a", "b", "b"]


def test_a_full_deployment_is_passed_over_or_waited_for(router, fleet):
    """So many at a time, and nobody is refused for it."""
    one = router({"g": [params("a", max_parallel_requests=2)]})
    most = inside = 0

    async def gate(model):
        nonlocal most, inside
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.005)
        inside -= 1

    async def main():
        fleet.gate = gate
        return await asyncio.gather(*(one.acompletion("g", ASK) for _ in range(6)))

    assert len(asyncio.run(main())) == 6
    assert most == 2


def test_empty_alternates_are_dropped(router, caplog):
    """With a word in the log; a group of which nothing is left is an error."""
    caplog.set_level(logging.INFO, "scillm.router")
    one = router({"g": ["a", {"model": "", "api_base": "http://b"}]})
    assert [entry["litellm_params"]["model"] for entry in one.model_list] == ["fleet/a"]
    assert "names no model" in caplog.text
    with pytest.raises(BadRequestError, match="group 'g' has no deployment left"):
        router({"g": [{"model": ""}]})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"model_name": "g", "litellm_params": {"model": "m", "ordre": 1}}, "did you mean 'order'"),
        ({"model_nme": "g", "litellm_params": {}}, "did you mean 'model_name'"),
        ({"model_name": "g"}, "needs a model_name"),
        ({"model_name": "g", "litellm_params": {"model": "m", "rpm": "many"}}, "rpm='many'"),
        ("g", "an entry is a mapping"),
    ],
)
def test_a_list_that_cannot_be_understood_is_refused(kernel, entry, said):
    """With the place, and the nearest word."""
    with pytest.raises(BadRequestError, match=said) as info:
        Router([entry], kernel=kernel)
    assert "model_list[0]" in str(info.value)


def test_no_key_shows(router):
    """Neither in the deployments nor in what is sent around."""
    one = router(
        {"g": [params("a", api_key="sk-secret", extra_headers={"x-api-key": "sk-secret"})]}
    )
    assert "sk-secret" not in repr(one.plan.groups["g"].deployments)
    assert "sk-secret" not in repr(one.completion("g", ASK))


def test_the_calls_own_arguments_win_over_the_deployments(router, fleet):
    """Parameters, key, headers."""
    one = router({"g": [params("a", temperature=1, api_key="k1", api_base="http://a", seed=3)]})
    one.completion("g", ASK, temperature=0.5, api_key="k2", extra_headers={"x": "y"})
    call = fleet.calls[-1]
    assert dict(call.params) == {"temperature": 0.5, "seed": 3}
    assert (call.api_key.reveal(), call.api_base, call.headers["x"]) == ("k2", "http://a", "y")


def test_a_fallback_is_not_sent_the_key_of_the_first(router, fleet):
    """Nor asked at its address; headers that hold no key go along."""
    fleet.fails["a"] = [503]
    one = router(
        {"g": ["a"], "h": [params("b", api_base="http://h", api_key="kh")]},
        fallbacks=[{"g": ["fleet/c", "h"]}],
    )
    fleet.fails["c"] = [503]
    headers = {"authorization": "Bearer kg", "x-api-key": "kg", "x-trace": "1"}
    one.completion("g", ASK, api_key="kg", api_base="http://g", extra_headers=headers)
    first, plain, other = fleet.calls
    assert (first.api_base, first.api_key.reveal(), len(first.headers)) == ("http://g", "kg", 3)
    assert (plain.api_base, plain.api_key, dict(plain.headers)) == (None, None, {"x-trace": "1"})
    assert (other.api_base, other.api_key.reveal()) == ("http://h", "kh")
    assert dict(other.headers) == {"x-trace": "1"}


def test_without_a_list_calls_name_their_provider(kernel, fleet):
    """By prefix or by custom_llm_provider, through the same doors."""
    one = Router(kernel=kernel)
    assert one.completion("fleet/x", ASK).text == "by x"
    assert one.completion(model="y", custom_llm_provider="fleet", messages=ASK).text == "by y"
    with pytest.raises(UnknownModelError):
        one.completion("nobody/z", ASK)


def test_a_name_that_is_no_group_is_told(router):
    """With those that there are."""
    one = router({"text": ["a"], "vision": ["b"]})
    with pytest.raises(BadRequestError, match="did you mean 'text'"):
        one.completion("txt", ASK)


def test_a_deterministic_router_leaves_nothing_to_chance(router, fleet, monkeypatch):
    """Parameters, order, and a seed: the call's, the deployment's, the environment's."""
    monkeypatch.setenv("SCILLM_DETERMINISTIC_SEED", "7")
    one = router({"g": [params("a"), params("b", seed=5)]}, deterministic=True)
    one.completion("g", ASK, temperature=1)
    fixed = {"temperature": 0, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}
    assert dict(fleet.calls[-1].params) == {**fixed, "seed": 7}
    one.completion("g", ASK, seed=1)
    assert fleet.calls[-1].params["seed"] == 1
    fleet.fails["a"] = [503]
    one.completion("g", ASK)
    assert fleet.calls[-1].params["seed"] == 5
    assert fleet.asked == ["a", "a", "a", "b"]
    monkeypatch.setenv("SCILLM_DETERMINISTIC_SEED", "my run")
    fleet.fails["a"] = []
    seeds = set()
    for _ in range(2):
        router({"g": ["a"]}, deterministic=True).completion("g", ASK)
        seeds.add(fleet.calls[-1].params["seed"])
    assert len(seeds) == 1
    assert isinstance(seeds.pop(), int)


def test_a_budget_is_counted_as_it_is_spent(router, fleet):
    """Before each request; retries and fallbacks count, and nothing more is sent."""
    fleet.fails["a"] = [503, None]
    one = router({"g": [params("a", order=1), params("b", order=2)]})
    budget = one.set_budget(max_requests=3)
    one.completion("g", ASK)
    one.completion("g", ASK)
    with pytest.raises(RuntimeError, match=r"^BudgetExceeded: 3 of 3 requests are spent") as info:
        one.completion("g", ASK)
    assert isinstance(info.value, BudgetExceeded)
    assert (budget.requests, len(fleet.asked), budget.tokens) == (3, 3, 10)


def test_of_many_at_once_as_many_leave_as_the_budget_has(endpoint):
    """Counted at the endpoint: ten, and not one more; the others are told."""
    base = endpoint.url("lat5")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "k"}
    with Kernel.installed() as kernel:
        one = Router([{"model_name": "g", "litellm_params": params}], kernel=kernel)
        budget = one.set_budget(max_requests=10)
        requests = [{"model": "g", "messages": ASK}] * 200
        slots = asyncio.run(one.parallel_acompletions(requests, concurrency=64))
    assert len(endpoint.requests_to(base)) == budget.requests == 10
    errors = [slot.error for slot in slots if slot.error is not None]
    assert len(errors) == 190
    assert {type(error) for error in errors} == {BudgetExceeded}
    assert all(str(error).startswith("BudgetExceeded: 10 of 10") for error in errors)


def test_a_budget_that_ends_between_two_hosts_says_what_was_tried(router, fleet):
    """The failure is not forgotten over it."""
    fleet.fails["a"] = [503]
    one = router({"g": [params("a", order=1), params("b", order=2)]})
    one.set_budget(max_requests=1)
    with pytest.raises(BudgetExceeded) as info:
        one.completion("g", ASK)
    assert [each["kind"] for each in info.value.attempted] == ["overloaded"]
    assert fleet.asked == ["a"]


@pytest.mark.parametrize("is_left", [False, True])
def test_a_stream_without_usage_is_counted_by_its_letters(endpoint, is_left):
    """Also as far as it came, when it is left; its messages count from the start."""
    base = endpoint.url("nousage-gap1-n400")
    params = {"model": "openai_like/m", "api_base": base, "api_key": "k"}
    with Kernel.installed() as kernel:
        one = Router([{"model_name": "g", "litellm_params": params}], kernel=kernel)
        budget = one.set_budget(max_tokens=10_000)
        with one.completion("g", [{"role": "user", "content": "x" * 400}], stream=True) as stream:
            assert budget.tokens == 100
            for _ in stream:
                if is_left:
                    break
            letters = len(stream.partial.text)
    assert budget.tokens >= 100
    if not is_left:
        assert budget.tokens == 100 + letters // 4


def test_the_calls_timeout_wins_then_the_deployments_then_the_routers(router, fleet):
    """As its other arguments do."""
    one = router({"g": [params("a", timeout=7)], "h": ["b"]}, timeout=9)
    for group, given, total_s in [("g", {}, 7), ("g", {"timeout": 3}, 3), ("h", {}, 9)]:
        one.completion(group, ASK, **given)
        assert fleet.calls[-1].timeouts.total_s == total_s


def test_a_fallback_that_nobody_is_is_told_when_the_router_is_made(router, caplog):
    """With the nearest name, not when it is needed."""
    with pytest.raises(BadRequestError, match="names 'vison', which is no group: did you mean 'vi"):
        router({"text": ["a"], "vision": ["b"]}, fallbacks=[{"text": ["vison"]}])
    router({"text": ["a"], "vision": ["b"]}, fallbacks=[{"txt": ["vision"]}])
    assert "fallbacks are for 'txt', which is no group: did you mean 'text'?" in caplog.text
    with pytest.raises(BadRequestError, match="names 'c'"):
        router({"text": ["a"], "vision": ["b"]}).completion("text", ASK, fallbacks=["c"])


def test_a_router_says_why_it_cannot_be_pickled(router):
    """And what to do instead."""
    for attempt in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="make one in each process"):
            attempt(router({"g": ["a"]}))


def test_no_retries_need_no_plugin(kernel, fleet):
    """Nought is what happens without."""
    fleet.fails["x"] = [503]
    with pytest.raises(ServiceUnavailableError):
        Router(kernel=kernel, num_retries=0).completion("fleet/x", ASK)
    assert fleet.asked == ["x"]


def test_a_list_may_be_read_once(kernel, fleet):
    """A generator, for instance."""
    models = ("fleet/a", "")
    entries = ({"model_name": "g", "litellm_params": {"model": model}} for model in models)
    one = Router(entries, kernel=kernel, cooldown=3)
    assert len(one.model_list) == 1
    assert one.completion("g", ASK).text == "by a"


@pytest.mark.parametrize("wrong", [-1, "5", float("inf"), True])
def test_a_cooldown_that_is_no_time_is_refused(kernel, wrong):
    """Rather than kept for ever."""
    with pytest.raises(BadRequestError, match="cooldown_time"):
        Router(cooldown=wrong, kernel=kernel)


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_count_too_and_a_soft_budget_only_tells(router, fleet, caplog, stream):
    """Once, by a function or in the log."""
    told = []
    one = router({"g": ["a"]})
    one.set_budget(max_tokens=8, on_exhaust=told.append, hard=False)
    for _ in range(4):
        answer = one.completion("g", ASK, stream=stream)
        if stream:
            list(answer)
    assert len(told) == 1
    assert told[0]["tokens"] == 10
    assert len(caplog.records) == 1


def test_retries_without_a_plugin_for_them_are_refused(kernel):
    """Rather than forgotten."""
    with pytest.raises(BadRequestError, match="install scillm-retry"):
        Router([], kernel=kernel, num_retries=2)


def test_an_option_that_lies_around_is_refused_in_a_deployment(scillm_kernel):
    """Nobody would read it there; it says where it belongs."""

    class Around:
        ORDER = 300
        SETTINGS = (Setting(name="AROUND", default=0, read=int, option="around"),)

    params = {"model": "openai/m", "around": 1}
    with pytest.raises(BadRequestError, match="has 'around', which holds for a whole call"):
        Router([{"model_name": "g", "litellm_params": params}], kernel=scillm_kernel(Around()))


def test_embeddings_are_routed_too(endpoint):
    """By the same group."""
    params = {
        "custom_llm_provider": "openai_like",
        "model": "e",
        "api_base": endpoint.url(),
        "api_key": "k",
    }
    with Kernel.installed() as kernel:
        one = Router([{"model_name": "g", "litellm_params": params}], kernel=kernel)
        assert len(one.embedding("g", ["a", "b"]).data) == 2


def test_an_unknown_model_at_one_deployment_is_not_found(router, fleet):
    """The typed error of the last one asked."""
    fleet.fails["a"] = [404]
    with pytest.raises(NotFoundError):
        router({"g": ["a"]}).completion("g", ASK)
