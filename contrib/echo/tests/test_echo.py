"""The smallest plugin passes the kit."""

import scillm_echo
from pytest_scillm import ProviderConformance, Samples
from scillm import Kernel


class TestEcho(ProviderConformance):
    """Every standard test of a provider."""

    plugin, model = scillm_echo, "echo/any"
    takes_key = has_history = False  # it says back the last message, to anybody
    samples = Samples(
        text="hi there",
        whole={"said": "hi there", "tokens": 2, "end": "stop"},
        parts=[
            {"piece": "hi ", "tokens": 1, "end": None},
            {"piece": "the", "tokens": 2, "end": None},
            {"piece": "re", "tokens": 2, "end": "stop"},
            {"piece": "", "tokens": 2, "end": "stop"},
        ],
        completion_tokens=2,
    )


def test_it_says_back_what_it_was_asked():
    """Whole and streamed, with nothing but itself."""
    with Kernel.of(scillm_echo) as kernel:
        ask = [{"role": "user", "content": "hello you"}]
        assert kernel.completion("echo/any", ask).text == "hello you"
        stream = kernel.completion("echo/any", ask, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "hello you"
