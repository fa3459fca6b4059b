"""What an answer costs: never a guess, and never 0 for what is not known."""

import asyncio
import json
import subprocess
import sys

import pytest

import scillm_openai_like
from scillm import BadRequestError, Kernel
from scillm_cache import Caching

ASK = [{"role": "user", "content": "hi"}]
MINE = {"openai/gpt-4o-mini": {"input_usd_per_mtok": 1, "output_usd_per_mtok": 10}}


def test_an_answer_says_what_it_cost(ask, wire):
    """As a field and among the notes, with whose prices."""
    wire.whole()
    answer = ask(cost=True)
    assert answer.cost == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)
    assert answer.additional_kwargs["telemetry"] == {
        "cost": answer.cost,
        "response_cost": answer.cost,
        "cost_source": "genai-prices",
    }
    assert answer._hidden_params["response_cost"] == answer.cost
    assert answer.usage.total_tokens == 1100


def test_the_end_of_a_stream_says_what_it_cost(ask, wire):
    """On the whole answer that it leaves."""
    wire.pieces()
    stream = ask(stream=True, cost=True)
    list(stream)
    assert stream.response.cost == pytest.approx(0.00021)
    assert stream.response.additional_kwargs["telemetry"]["cost"] == stream.response.cost


def test_an_answer_is_left_alone_unless_asked(ask, wire):
    """Neither a field nor a note."""
    wire.whole()
    answer = ask()
    assert "cost" not in answer
    assert "telemetry" not in answer.additional_kwargs


def test_a_variable_switches_it_on_and_a_call_off(ask, wire, monkeypatch):
    """SCILLM_COST."""
    monkeypatch.setenv("SCILLM_COST", "1")
    wire.whole()
    assert ask().cost > 0
    assert "cost" not in ask(cost=False)


def test_prices_switch_it_on(ask, wire):
    """Who gives prices wants to know."""
    wire.whole()
    answer = ask(prices=MINE)
    assert answer.cost == pytest.approx((1000 * 1 + 100 * 10) / 1e6)
    assert answer.additional_kwargs["telemetry"]["cost_source"] == "prices"


def test_an_unknown_price_is_none_with_the_reason(ask, wire):
    """Not 0."""
    wire.whole(model="nobody-knows-1")
    answer = ask("openai/nobody-knows-1", cost=True)
    assert answer.cost is None
    note = answer.additional_kwargs["telemetry"]
    assert note["cost"] is None
    assert "no price is known for openai/nobody-knows-1" in note["cost_unknown"]
    assert "SCILLM_PRICES" in note["cost_unknown"]


def test_a_provider_that_tells_no_usage_gives_no_cost(ask, wire):
    """Tokens are not guessed."""
    wire.whole(usage=None)
    answer = ask(cost=True)
    assert answer.cost is None
    assert answer.additional_kwargs["telemetry"]["cost_unknown"] == "the provider told no usage"


def test_a_stream_without_a_usage_says_that_it_is_not_known(ask, wire):
    """On its last piece."""
    wire.pieces(usage=None)
    stream = ask(stream=True, cost=True)
    list(stream)
    assert stream.response.cost is None


def test_without_the_library_the_reason_says_how_to_get_it(tmp_path):
    """The answer comes; the cost does not."""
    program = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from pytest_scillm import Wire\n"
        "import scillm_openai_like\n"
        "from scillm import Kernel\n"
        "from scillm_telemetry import Telemetry\n"
        "choice = {'index': 0, 'message': {'content': 'ok'}, 'finish_reason': 'stop'}\n"
        "wire = Wire().reply({'choices': [choice], 'usage': {'prompt_tokens': 1}})\n"
        "kernel = Kernel.of(wire, scillm_openai_like, Telemetry())\n"
        "ask = [{'role': 'user', 'content': 'hi'}]\n"
        "answer = kernel.completion('openai/gpt-4o-mini', ask, api_key='k', cost=True)\n"
        "print(answer.text, answer.cost, answer.additional_kwargs['telemetry']['cost_unknown'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("ok None"), done.stderr
    assert "pip install 'scillm-telemetry[prices]'" in done.stdout


def test_an_answer_from_the_cache_costs_nothing_more(wire, seen):
    """0, what it would have cost beside it; whoever paid has the price."""
    kernel = Kernel.of(wire.whole(), scillm_openai_like, Caching(), seen.plugin())
    first, second = (
        kernel.completion("openai/gpt-4o-mini", ASK, api_key="k", cost=True, cache=True)
        for _ in range(2)
    )
    assert first.cost == pytest.approx(0.00021)
    assert second.cost == 0
    note = second.additional_kwargs["telemetry"]
    assert note["cost_source"] == "cache"
    assert note["cost_saved"] == pytest.approx(0.00021)


def test_a_stream_from_the_cache_costs_nothing_more_either(wire, seen):
    """Though it was whole before it was cut into pieces."""
    kernel = Kernel.of(wire.whole(), scillm_openai_like, Caching(), seen.plugin())
    more = {"api_key": "k", "cost": True, "cache": True}
    kernel.completion("openai/gpt-4o-mini", ASK, **more)
    stream = kernel.completion("openai/gpt-4o-mini", ASK, stream=True, **more)
    assert "".join(chunk.text for chunk in stream) == "ok"
    assert stream.response.cost == 0


def test_callers_who_share_one_flight_pay_once(wire, seen):
    """One request for ten equal calls has one cost."""
    kernel = Kernel.of(wire.whole(), scillm_openai_like, Caching(), seen.plugin())

    async def main():
        calls = [
            kernel.acompletion("openai/gpt-4o-mini", ASK, api_key="k", cost=True, cache=True)
            for _ in range(10)
        ]
        return await asyncio.gather(*calls)

    assert sum(answer.cost for answer in asyncio.run(main())) == pytest.approx(0.00021)


def test_embeddings_have_a_cost(kernel, wire):
    """From the tokens of their texts."""
    vector = {"object": "embedding", "index": 0, "embedding": [0.1]}
    usage = {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}
    wire.reply({"object": "list", "data": [vector], "model": "e", "usage": usage})
    answer = kernel.embedding("openai/text-embedding-3-small", ["a"], api_key="k", cost=True)
    assert answer.cost == pytest.approx(0.02)
    assert answer.additional_kwargs["telemetry"]["cost"] == answer.cost


def test_lists_of_models_have_none(kernel, wire):
    """Nothing is paid for them."""
    wire.reply({"object": "list", "data": [{"id": "m", "object": "model"}]})
    assert "cost" not in kernel.models("openai", api_key="k", cost=True)


def test_cached_tokens_are_cheaper(ask, wire):
    """By the library's price for them."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}
    wire.whole(usage={**usage, "prompt_tokens_details": {"cached_tokens": 1000}})
    assert ask(cost=True).cost == pytest.approx(1000 * 0.075e-6)


def test_counts_that_cannot_be_give_no_cost(ask, wire):
    """More cached tokens than tokens is no price to be trusted."""
    usage = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}
    wire.whole(usage={**usage, "prompt_tokens_details": {"cached_tokens": 1000}})
    answer = ask(cost=True)
    assert answer.cost is None
    assert answer.additional_kwargs["telemetry"]["cost_unknown"]


def test_a_provider_is_also_known_by_its_address(kernel, wire):
    """Where its name is another one in the table."""
    wire.whole(model="accounts/fireworks/models/deepseek-v3-0324")
    answer = kernel.completion(
        "fireworks_ai/accounts/fireworks/models/deepseek-v3-0324", ASK, api_key="k", cost=True
    )
    assert answer.cost > 0


def test_the_model_that_answered_counts_where_the_one_that_was_asked_has_no_price(ask, wire):
    """An alias of the provider's."""
    wire.whole(model="gpt-4o-mini")
    assert ask("openai/our-alias", cost=True).cost == pytest.approx(0.00021)


def test_own_prices_know_every_kind_of_token(ask, wire):
    """Cached, written, reasoning ones, and each request."""
    price = {
        "input_usd_per_mtok": 1,
        "output_usd_per_mtok": 10,
        "cache_read_usd_per_mtok": 0.1,
        "cache_write_usd_per_mtok": 2,
        "reasoning_usd_per_mtok": 20,
        "request_usd": 0.5,
    }
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    usage |= {"prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100}}
    usage |= {"completion_tokens_details": {"reasoning_tokens": 60}}
    wire.whole(usage=usage)
    wanted = 0.5 + (500 * 1 + 400 * 0.1 + 100 * 2 + 40 * 10 + 60 * 20) / 1e6
    assert ask(prices={"openai/*": price}).cost == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("prices", "wanted"),
    [
        ({"openai/gpt-4o-mini": 1, "openai/*": 2, "*": 3}, 1),
        ({"gpt-4o-mini": 1, "openai/*": 2}, 1),
        ({"openai/*": 2, "*": 3}, 2),
        ({"*": 3}, 3),
        ({"gpt-4o-mini-x": 4}, 4),
        ({"openai/gpt-4o-mini": 0}, 0),
    ],
)
def test_the_nearest_own_price_wins(ask, wire, prices, wanted):
    """Exact names before patterns, longer ones before shorter; 0 is a price."""
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    wire.whole(usage=usage)
    given = {name: {"input_usd_per_mtok": usd} for name, usd in prices.items()}
    assert ask(prices=given).cost == wanted


def test_prices_in_the_shape_of_litellms_table_are_read(ask, wire):
    """Per token; its other fields are left out."""
    wire.whole()
    entry = {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-5, "max_tokens": 4096}
    assert ask(prices={"gpt-4o-mini": entry}).cost == pytest.approx(0.002)


def test_a_file_of_prices_is_read_again_when_it_changes(ask, wire, tmp_path, monkeypatch):
    """SCILLM_PRICES names it."""
    path = tmp_path / "prices.json"
    monkeypatch.setenv("SCILLM_PRICES", str(path))
    wire.whole()
    path.write_text(json.dumps(MINE))
    assert ask().cost == pytest.approx(0.002)
    path.write_text(json.dumps({"openai/*": {"request_usd": 7.25}}))
    assert ask().cost == 7.25


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ({"m": {"input_usd_per_mtoks": 1}}, "did you mean 'input_usd_per_mtok'?"),
        ({"m": {"input_usd_per_mtok": "1"}}, "must be a number of US dollars"),
        ({"m": {"input_usd_per_mtok": -1}}, "must be a number of US dollars"),
        ({"m": {"input_usd_per_mtok": float("nan")}}, "must be a number of US dollars"),
        ({"m": 3}, "write {'input_usd_per_mtok'"),
        (3, "neither a mapping nor the path of a file"),
        ("/nowhere/prices.json", "cannot be read: No such file"),
    ],
)
def test_prices_that_cannot_be_read_are_an_error_before_anything_is_sent(ask, wire, prices, said):
    """It says what, and where."""
    wire.whole()
    with pytest.raises(BadRequestError) as info:
        ask(prices=prices)
    assert said in str(info.value)
    assert not wire.sent


def test_a_file_that_is_no_json_is_named_with_its_variable(ask, wire, tmp_path, monkeypatch):
    """So that it can be found."""
    path = tmp_path / "prices.json"
    path.write_text("{")
    monkeypatch.setenv("SCILLM_PRICES", str(path))
    wire.whole()
    with pytest.raises(BadRequestError, match=r"SCILLM_PRICES: the price file .*prices.json"):
        ask()


def test_loading_the_table_of_prices_does_not_hold_up_other_calls():
    """It is loaded in a thread, while the request is under way."""
    program = (
        "import asyncio, threading\n"
        "import scillm_telemetry.library as library\n"
        "from pytest_scillm import Wire\n"
        "import scillm_openai_like\n"
        "from scillm import Kernel\n"
        "from scillm_telemetry import Telemetry\n"
        "load, threads = library.load, []\n"
        "def noting():\n"
        "    threads.append(threading.current_thread() is threading.main_thread())\n"
        "    return load()\n"
        "noting.cache_info = load.cache_info\n"
        "library.load = noting\n"
        "choice = {'index': 0, 'message': {'content': 'ok'}, 'finish_reason': 'stop'}\n"
        "wire = Wire().reply({'choices': [choice], 'usage': {'prompt_tokens': 1}})\n"
        "kernel = Kernel.of(wire, scillm_openai_like, Telemetry())\n"
        "ask = [{'role': 'user', 'content': 'hi'}]\n"
        "call = kernel.acompletion('openai/gpt-4o-mini', ask, api_key='k', cost=True)\n"
        "answer = asyncio.run(call)\n"
        "print(answer.cost > 0, threads[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True False\n", done.stderr
