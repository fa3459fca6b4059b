"""What a type checker infers for a user of ``scillm``: checked by mypy, never run."""

from typing_extensions import assert_type

import scillm
from scillm import (
    Call,
    Chunk,
    EmbeddingResponse,
    Kernel,
    Response,
    Route,
    Secret,
    Stream,
    Timeouts,
    acompletion,
    aembedding,
    completion,
    embedding,
    hookimpl,
)

MESSAGES = [{"role": "user", "content": "Say hello."}]


def a_whole_answer_is_a_response() -> None:
    """Without ``stream`` the sync door returns the whole answer."""
    answer = completion(model="local/tiny", messages=MESSAGES)

    assert_type(answer, Response)
    assert_type(answer.text, str)
    assert_type(scillm.__version__, str)


def a_streamed_answer_is_a_stream_of_chunks() -> None:
    """``stream=True`` changes the type, and iterating gives chunks."""
    stream = completion(model="local/tiny", messages=MESSAGES, stream=True)

    assert_type(stream, Stream)
    for chunk in stream:
        assert_type(chunk, Chunk)


async def the_async_door_has_the_same_types() -> None:
    """What is awaited is what the sync door returns."""
    assert_type(await acompletion(model="local/tiny", messages=MESSAGES), Response)
    assert_type(await aembedding("local/tiny", ["hello"]), EmbeddingResponse)
    assert_type(embedding("local/tiny", ["hello"]), EmbeddingResponse)
    async for chunk in await acompletion(model="local/tiny", messages=MESSAGES, stream=True):
        assert_type(chunk, Chunk)


class Quiet:
    """A plugin as its author writes it: the decorator keeps the hook's type."""

    @hookimpl
    def resolve_model(self, call: Call) -> Route | None:
        """Answer for nobody."""
        assert_type(call.model, str)
        assert_type(call.timeouts, Timeouts)
        assert_type(call.api_key, Secret | None)
        return None


def a_kernel_of_ones_own_has_typed_doors() -> None:
    """A kernel made of plugins answers with the same types as the module."""
    kernel = Kernel.of(Quiet())

    assert_type(kernel, Kernel)
    assert_type(Quiet().resolve_model(Call(model="local/tiny")), Route | None)
