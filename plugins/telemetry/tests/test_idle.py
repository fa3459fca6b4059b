"""What is not asked for costs next to nothing."""

import subprocess
import sys

import pytest

import scillm_openai_like
from scillm import Call, Kernel
from scillm_telemetry import Telemetry


def test_an_idle_plugin_leaves_the_sender_alone(wire):
    """There is nothing around it: the very function that the transport gives comes back."""
    wire.whole()
    telemetry = Telemetry()
    hook = telemetry.send(Call(), None)
    next(hook)
    sender = wire.send()
    with pytest.raises(StopIteration) as info:
        hook.send(sender)
    assert info.value.value is sender


def test_an_idle_plugin_loads_nothing():
    """Neither OpenTelemetry nor Prometheus nor prices are imported by a call that does not ask."""
    program = (
        "import sys\n"
        "from pytest_scillm import Wire\n"
        "import scillm_openai_like\n"
        "from scillm import Kernel\n"
        "from scillm_telemetry import Telemetry\n"
        "choice = {'index': 0, 'message': {'content': 'ok'}, 'finish_reason': 'stop'}\n"
        "kernel = Kernel.of(Wire().reply({'choices': [choice]}), scillm_openai_like, Telemetry())\n"
        "ask = [{'role': 'user', 'content': 'hi'}]\n"
        "print(kernel.completion('openai/m', ask, api_key='k').text)\n"
        "heavy = ('opentelemetry', 'prometheus_client', 'genai_prices', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "ok\n[]\n", done.stderr


def test_two_kernels_do_not_share_what_they_tell(wire, seen):
    """Each has its plugin, and its plugin its providers."""
    wire.whole()
    ask = [{"role": "user", "content": "hi"}]
    other = Kernel.of(wire, scillm_openai_like, Telemetry())
    mine = Kernel.of(wire, scillm_openai_like, seen.plugin())
    other.completion("openai/m", ask, api_key="k", cost=True)
    mine.completion("openai/m", ask, api_key="k", otel=True)
    assert len(seen.spans) == 1
