"""What every provider must do."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from pytest_scillm.conformance.samples import Samples, openai_samples
from pytest_scillm.conformance.suite import Suite
from scillm import (
    APIError,
    BadRequestError,
    Call,
    InvalidResponse,
    Request,
    Route,
    UnsupportedParamsError,
    doors,
)

if TYPE_CHECKING:
    from pytest_scillm.wire import Wire
    from scillm import Kernel, Response

HEAVY = frozenset(["httpx", "aiohttp", "openai", "pydantic", "requests", "torch", "numpy", "rich"])
KEY = "sk-conformance-0123456789"
_ERRORS = [
    (400, "BadRequestError"),
    (401, "AuthenticationError"),
    (403, "PermissionDeniedError"),
    (404, "NotFoundError"),
    (422, "UnprocessableEntityError"),
    (429, "RateLimitError"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailableError"),
]


class ProviderConformance(Suite):
    """Inherit, fill in the attributes, run pytest.

    Attributes:
        plugin: The plugin: its module, or its class.
        model: A model that it answers for, ``"provider/model"``.
        samples: One answer of the provider, in its own dialect.
        arguments: What else a call of it needs, such as ``api_base``.
        takes_key: Whether it sends a key; False for what runs on this machine.
        has_history: Whether it sends more than the last message.
    """

    plugin: ClassVar[Any]
    model: ClassVar[str]
    samples: ClassVar[Samples] = openai_samples
    arguments: ClassVar[dict[str, Any]] = {}
    takes_key: ClassVar[bool] = True
    has_history: ClassVar[bool] = True

    @pytest.fixture
    def kernel(self, scillm_kernel: Callable[..., Kernel]) -> Kernel:
        """A kernel of the plugin and the wire alone."""
        return scillm_kernel(self._plugin())

    def _plugin(self) -> Any:
        return self.plugin() if isinstance(self.plugin, type) else self.plugin

    def _call(self, kernel: Kernel, **changes: Any) -> Call:
        arguments = {"api_key": KEY, **self.arguments, **changes}
        model = arguments.pop("model", self.model)
        messages = arguments.pop("messages", [{"role": "user", "content": "hi"}])
        return doors.chat(kernel.plugins, model, messages, **arguments)

    def _request(self, kernel: Kernel, **changes: Any) -> Request:
        hook, call = kernel.plugins.manager.hook, self._call(kernel, **changes)
        request: Request = hook.prepare_request(call=call, route=hook.resolve_model(call=call))
        return request

    def _ask(self, kernel: Kernel, **changes: Any) -> Response:
        arguments = {"api_key": KEY, **self.arguments, **changes}
        answer: Response = kernel.completion(
            self.model, [{"role": "user", "content": "hi"}], **arguments
        )
        return answer

    def test_imports_nothing_heavy(self) -> None:
        """Importing the plugin loads no client library; those wait for the first send."""
        module = self.plugin.__module__ if isinstance(self.plugin, type) else self.plugin.__name__
        code = f"import sys, {module}; print(*(set(sys.modules) & set({sorted(HEAVY)!r})))"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )  # our own words
        assert not run.stdout.split(), "import inside the function that needs it"

    def test_names_its_providers(self) -> None:
        """The prefix of its model stands in PROVIDERS, where the nearest name is looked for."""
        assert self.model.partition("/")[0] in self._plugin().PROVIDERS

    def test_leaves_foreign_models_alone(self, kernel: Kernel) -> None:
        """A model of another provider is declined with None, not with an error."""
        hook = kernel.plugins.manager.hook
        for model in ("nobody/nothing", "nothing", "", "/", "nobody/"):
            foreign = Call(model=model, provider="nobody" if model == "" else None)
            assert hook.resolve_model(call=foreign) is None

    def test_takes_its_name_apart_from_the_model(self, kernel: Kernel) -> None:
        """``custom_llm_provider`` with the bare model is the same call as the prefix."""
        provider, _, model = self.model.partition("/")
        apart = self._request(kernel, model=model, custom_llm_provider=provider)
        assert (apart.url, apart.body) == (self._request(kernel).url, self._request(kernel).body)

    def test_request_is_pure(self, kernel: Kernel) -> None:
        """The same call gives the same request."""
        first, second = self._request(kernel), self._request(kernel)
        assert (first.url, first.body, first.headers) == (second.url, second.body, second.headers)

    def test_request_is_json(self, kernel: Kernel) -> None:
        """The body survives JSON."""
        request = self._request(kernel, temperature=0.5)
        assert json.loads(request.encode()) == request.body

    @pytest.mark.parametrize(
        ("name", "value"),
        [("temperature", 0.375), ("max_tokens", 17), ("stop", ["§"]), ("seed", 4711)],
    )
    def test_a_parameter_is_sent_or_refused_by_name(
        self, kernel: Kernel, name: str, value: Any
    ) -> None:
        """No parameter is dropped in silence."""
        try:
            request = self._request(kernel, **{name: value})
        except UnsupportedParamsError as error:
            assert name in str(error)
        else:
            wanted = value[0] if isinstance(value, list) else value
            assert json.dumps(wanted, ensure_ascii=False) in request.encode().decode()

    def test_what_the_caller_adds_is_sent(self, kernel: Kernel) -> None:
        """``extra_body`` goes into the body, ``extra_headers`` into the headers, as they are."""
        request = self._request(
            kernel, extra_body={"x_mark": "§1"}, extra_headers={"x-trace": "§2"}
        )
        assert "§1" in request.encode().decode()
        assert request.headers.get("x-trace") == "§2"

    def test_the_key_is_sent(self, kernel: Kernel) -> None:
        """In a header, the address or the body; a header of the caller's own wins."""
        if not self.takes_key:
            return
        request = self._request(kernel)
        sent = f"{request.url} {request.wire_headers()} {request.encode().decode()}"
        assert KEY in sent
        name = next((n for n, v in request.wire_headers().items() if KEY in v), None)
        if name is not None:
            own = self._request(kernel, extra_headers={name: "mine"})
            assert own.wire_headers()[name] == "mine"

    def test_every_message_is_sent(self, kernel: Kernel) -> None:
        """The history is not cut; what cannot be said is refused."""
        if not self.has_history:
            return
        roles = ("system", "user", "assistant", "user")
        messages = [{"role": role, "content": f"§{n}"} for n, role in enumerate(roles)]
        sent = self._request(kernel, messages=messages).encode().decode()
        assert all(f"§{n}" in sent for n in range(4))

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://§/"}}]},
            {"role": "tool", "tool_call_id": "§", "content": "x"},
        ],
    )
    def test_a_message_of_another_kind_is_sent_or_refused(
        self, kernel: Kernel, message: dict[str, Any]
    ) -> None:
        """An image or a tool's answer is not dropped in silence."""
        try:
            request = self._request(kernel, messages=[message])
        except BadRequestError:
            return
        assert "§" in request.encode().decode()

    def test_the_deadline_is_the_callers(self, kernel: Kernel, wire: Wire) -> None:
        """A timeout of the call bounds the request."""
        wire.reply(self.samples.whole)
        self._ask(kernel, timeout=7)
        assert wire.sent[-1].timeouts.total_s == 7

    def test_another_operation_is_another_request_or_refused(self, kernel: Kernel) -> None:
        """An embedding is not asked for as if it were a chat."""
        call = doors.embedding(kernel.plugins, self.model, "§", api_key=KEY, **self.arguments)
        hook = kernel.plugins.manager.hook
        try:
            request = hook.prepare_request(call=call, route=hook.resolve_model(call=call))
        except BadRequestError:
            return
        assert isinstance(request, Request), "refuse by a BadRequestError what cannot be asked"
        chat = self._request(kernel)
        assert (request.url, request.body) != (chat.url, chat.body)

    def test_a_list_of_models_is_asked_for_or_refused(self, kernel: Kernel) -> None:
        """``models("provider")`` names no model: its id is ``""``, which is not ``None``."""
        provider = self.model.partition("/")[0]
        call = doors.models(kernel.plugins, provider, api_key=KEY, **self.arguments)
        hook = kernel.plugins.manager.hook
        try:
            route = hook.resolve_model(call=call)
            request = route and hook.prepare_request(call=call, route=route)
        except BadRequestError:
            return
        assert isinstance(route, Route), f"resolve_model answered {route!r} for a list of models"
        assert isinstance(request, Request), "refuse by a BadRequestError what cannot be asked"

    def test_no_message_is_refused(self, kernel: Kernel) -> None:
        """Nothing to ask is the caller's mistake, told before anything is sent."""
        with pytest.raises(BadRequestError):
            self._request(kernel, messages=[])

    def test_hides_its_key(self, kernel: Kernel) -> None:
        """No secret shows in the repr or a pickle of what a request is made of."""
        request = self._request(kernel)
        assert KEY not in repr(request)
        assert KEY.encode() not in pickle.dumps(
            (dict(request.headers), request.body, request.route)
        )

    def test_an_error_does_not_repeat_the_key(self, kernel: Kernel, wire: Wire) -> None:
        """A provider that echoes the key in its error does not bring it into a message."""
        wire.fail(401, {"error": {"message": f"incorrect key: {KEY}"}})
        with pytest.raises(APIError) as info:
            self._ask(kernel)
        assert KEY not in str(info.value) + repr(info.value.failure)

    def test_reads_a_whole_answer(self, kernel: Kernel, wire: Wire) -> None:
        """Text, finish reason, usage and who answered are read."""
        wire.reply(self.samples.whole)
        response = self._ask(kernel)
        assert (response.text, response.choices[0].finish_reason) == (self.samples.text, "stop")
        assert response.usage is not None
        assert response.usage.completion_tokens == self.samples.completion_tokens
        assert response.served_by is not None

    def test_reads_the_same_answer_streamed(self, kernel: Kernel, wire: Wire) -> None:
        """Whole and streamed answers fold to the same response."""
        end = self._request(kernel, stream=True).end
        wire.reply(self.samples.whole).reply(*self.samples.parts, end)
        whole = self._ask(kernel)
        stream: Any = self._ask(kernel, stream=True)
        text = "".join(chunk.text for chunk in stream)
        assert text == self.samples.text == stream.response.text
        assert stream.response.choices == whole.choices
        assert stream.response.usage == whole.usage

    def test_a_stream_that_stops_short_is_no_answer(self, kernel: Kernel, wire: Wire) -> None:
        """A stream without its end raises, and hands over what had come."""
        wire.reply(*self.samples.parts[:-2])
        with pytest.raises(InvalidResponse) as info:
            list(self._ask(kernel, stream=True))
        assert info.value.partial is not None

    @pytest.mark.parametrize(("status", "name"), _ERRORS)
    def test_names_http_errors(self, kernel: Kernel, wire: Wire, status: int, name: str) -> None:
        """A status becomes the error that users of openai expect, with provider and wait."""
        wire.fail(status, retry_after="7")
        with pytest.raises(APIError) as info:
            self._ask(kernel)
        error = info.value
        assert (type(error).__name__, error.status_code) == (name, status)
        assert error.failure.retry_after_s == 7.0
        assert error.llm_provider
        assert type(pickle.loads(pickle.dumps(error))) is type(error)  # our own bytes

    @pytest.mark.parametrize(
        "body", [b"<html>", b"[]", b'"text"', b'{"a": NaN}', b"\xff\xfe", b"", b"{" * 5000]
    )
    def test_a_garbled_answer_is_an_error(self, kernel: Kernel, wire: Wire, body: bytes) -> None:
        """An answer that is not what the provider documents is InvalidResponse, not a traceback."""
        wire.reply(body)
        with pytest.raises(InvalidResponse):
            self._ask(kernel)

    def test_an_unknown_argument_is_an_error(self, kernel: Kernel) -> None:
        """A misspelt argument is refused with the nearest name."""
        with pytest.raises(UnsupportedParamsError, match="did you mean 'temperature'"):
            self._ask(kernel, temprature=1)
