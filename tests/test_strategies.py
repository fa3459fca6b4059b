"""The smallest strategies, those that the documentation shows, pass the kit."""

import os
import subprocess
import sys
from contextlib import aclosing

from pytest_scillm import StrategyConformance
from scillm import hookimpl


class Timing:
    """A strategy that only looks on."""

    ORDER = 100

    @hookimpl(wrapper=True)
    def send(self):
        inner = yield
        return inner and self._timed(inner)

    def _timed(self, inner):
        async def send(request):
            async with aclosing(inner(request)) as events:
                async for event in events:
                    yield event

        return send


class TestTiming(StrategyConformance):
    """A wrapper with a Sender of its own."""

    plugin = Timing


class Nothing:
    """A wrapper that changes nothing."""

    @hookimpl(wrapper=True)
    def send(self):
        return (yield)


class TestNothing(StrategyConformance):
    """Handing on what is inside is a strategy too."""

    plugin = Nothing


STRATEGIES = "auth cache hedge json-mode pacing preflight replay retry router telemetry"


def test_with_no_strategy_a_plain_call_still_works(endpoint):
    """Whole and streamed, by a process in which all of them are blocked; and its names say so."""
    program = f"""
import scillm
where = dict(custom_llm_provider="openai_like", api_base={endpoint.url("echo")!r}, api_key="sk-1")
ask = [dict(role="user", content="hello")]
print(scillm.completion("m", ask, **where).text)
stream = scillm.completion("m", ask, stream=True, **where)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream))
active = [info.name for info in scillm.kernel().plugins.infos.values() if info.is_active]
print(sorted(set(active) & set({STRATEGIES.split()!r})))
try:
    scillm.completion("m", ask, max_retries=3, **where)
except scillm.UnsupportedParamsError as error:
    print("max_retries" in str(error))
"""
    blocked = {**os.environ, "SCILLM_PLUGINS_BLOCK": STRATEGIES.replace(" ", ",")}

    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=blocked,
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.stdout.splitlines() == ["hello", "hello", "[]", "True"], said.stderr
