"""Arguments of users: what is accepted, what is refused, and how it is said."""

import inspect

import pytest

import scillm
from scillm import (
    BadRequestError,
    Kernel,
    Secret,
    Setting,
    Timeouts,
    UnsupportedParamsError,
    doors,
    hookimpl,
)
from scillm.plugins import PluginInfo

ASK = [{"role": "user", "content": "hi"}]


class Retry:
    __name__ = "retry"
    SETTINGS = (Setting(name="MAX_RETRIES", default=0, read=int, option="max_retries"),)

    @hookimpl
    def post_process(self):
        return None


@pytest.fixture
def plugins(echo):
    """A provider and a strategy with an option."""
    return Kernel.of(echo, Retry()).plugins


def test_parameters_options_and_the_rest_are_told_apart(plugins):
    """OpenAI's names are parameters, a plugin's are options, None is unset."""
    call = doors.chat(
        plugins,
        "echo/m",
        ASK,
        temperature=0,
        top_p=None,
        max_retries=3,
        metadata={"a": 1},
        extra_body={"x": 1},
        stream=None,
    )
    assert call.params == {"temperature": 0}
    assert call.options == {"max_retries": 3}
    assert (call.metadata, call.extra_body, call.stream) == ({"a": 1}, {"x": 1}, False)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("temprature", "temperature"),
        ("max_retry", "max_retries"),
        ("api_bas", "api_base"),
        ("zzz", None),
    ],
)
def test_an_unknown_argument_is_an_error_that_names_the_nearest(plugins, name, near):
    """It is never dropped in silence, and the way round is shown."""
    with pytest.raises(UnsupportedParamsError, match=f"unknown argument '{name}'") as info:
        doors.chat(plugins, "echo/m", ASK, **{name: 1})
    assert (
        (f"did you mean {near!r}" in str(info.value))
        if near
        else ("did you mean" not in str(info.value))
    )
    assert f"extra_body={{{name!r}: ...}}" in str(info.value)


def test_a_distant_name_is_no_hint(plugins):
    """``drop_params`` has nothing to do with ``allowed_openai_params``."""
    with pytest.raises(UnsupportedParamsError) as info:
        doors.chat(plugins, "echo/m", ASK, drop_params=True)
    assert "did you mean" not in str(info.value)


def test_an_option_of_a_plugin_that_is_not_active_is_not_taken_for_a_slip(plugins):
    """Who is not active, and why, stands in the message."""
    plugins.infos["hedging"] = PluginInfo(name="hedging", dist="x 1", state="blocked by X")
    with pytest.raises(UnsupportedParamsError, match=r"not active: hedging \(blocked by X\)"):
        doors.chat(plugins, "echo/m", ASK, hedge_delay_ms=5)


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_model_is_refused_and_none_takes_the_default(plugins, monkeypatch, empty):
    """A variable of the caller's that is not set must not be answered by another model."""
    monkeypatch.setenv("SCILLM_MODEL", "echo/default")
    with pytest.raises(BadRequestError, match="names none: .* SCILLM_MODEL"):
        doors.chat(plugins, empty, ASK)
    assert doors.chat(plugins, None, ASK).model == "echo/default"


def test_a_name_can_be_allowed(plugins):
    """``allowed_openai_params`` lets a parameter through that nobody knows."""
    call = doors.chat(plugins, "echo/m", ASK, top_k=5, allowed_openai_params=["top_k"])
    assert (call.params, call.allowed_openai_params) == ({"top_k": 5}, ("top_k",))


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ("hi", "messages='hi' is not a list"),
        ({"role": "user"}, "is not a list of messages"),
        (3, "is not a list"),
        (["hi"], r"messages\[0\] is 'hi': a message is a mapping"),
        ([{"content": "x"}], r"messages\[0\] has role None"),
        ([{"role": 3, "content": "x"}], "has role 3"),
        ([{"role": "user", "content": 3}], "has content 3"),
        (
            [{"role": "user", "content": ["x"]}],
            r"messages\[0\]\['content'\]\[0\] is 'x': a part is a mapping with a type",
        ),
        ([*ASK, {"role": "", "content": "x"}], r"messages\[1\] has role ''"),
    ],
)
def test_messages_of_the_wrong_shape_are_refused(plugins, messages, text):
    """The message says which one, what was found, and what is due."""
    with pytest.raises(BadRequestError, match=text):
        doors.chat(plugins, "echo/m", messages)


def test_messages_may_be_any_iterable_of_mappings(plugins, whole):
    """A generator, a tuple, or an answer's message."""
    call = doors.chat(plugins, "echo/m", (m for m in [*ASK, whole("yo").choices[0].message]))
    assert [m["content"] for m in call.messages] == ["hi", "yo"]
    assert type(call.messages[1]) is dict


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"timeout": 0}, "timeout=0 is not a time"),
        ({"timeout": -1}, "timeout=-1"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": "10"}, "timeout='10'"),
        ({"api_base": "localhost:80"}, "api_base='localhost:80' is not an address"),
        ({"api_base": "http://me:pass@h/v1"}, "api_base holds a user name or password"),
        ({"api_key": 3}, "api_key is a int"),
        ({"extra_headers": [1]}, "extra_headers is a list"),
        ({"extra_headers": {"a": 1}}, r"extra_headers\['a'\] is a int"),
        ({"extra_body": "x"}, "extra_body is a str"),
        ({"model": 3}, "model=3 is not a name"),
    ],
)
def test_other_arguments_of_the_wrong_type_are_refused(plugins, arguments, text):
    """Each with its name and value."""
    arguments = {"model": "echo/m", "messages": ASK, **arguments}
    with pytest.raises(BadRequestError, match=text):
        doors.chat(plugins, **arguments)


def test_secrets_are_hidden_at_the_door(plugins):
    """A key, and any header that may hold one."""
    headers = {"X-Api-Key": "a", "Authorization": "b", "X-Trace": "c"}
    call = doors.chat(plugins, "echo/m", ASK, api_key="sk", extra_headers=headers)
    assert call.api_key == Secret("sk")
    assert call.headers == {"x-api-key": Secret("a"), "authorization": Secret("b"), "x-trace": "c"}
    assert doors.chat(plugins, "echo/m", ASK, api_key="").api_key is None


def test_a_timeout_bounds_every_phase(plugins):
    """Seconds, or one's own Timeouts."""
    timeouts = doors.chat(plugins, "echo/m", ASK, timeout=30).timeouts
    assert (timeouts.total_s, timeouts.connect_s, timeouts.read_s) == (30, 10, 30)
    own = Timeouts(total_s=None)
    assert doors.chat(plugins, "echo/m", ASK, timeout=own).timeouts is own
    assert doors.chat(plugins, "echo/m", ASK).timeouts.total_s == 600


def test_a_model_can_come_from_the_environment(plugins, monkeypatch):
    """SCILLM_MODEL answers where a call names none."""
    assert doors.chat(plugins, None, ASK).model == ""
    monkeypatch.setenv("SCILLM_MODEL", "echo/m")
    assert doors.chat(plugins, None, ASK).model == "echo/m"


def test_help_shows_every_argument():
    """The doors show the signature that they read."""
    for door in (scillm.completion, scillm.acompletion):
        shown = list(inspect.signature(door).parameters)
        assert shown[:2] == ["model", "messages"]
        assert inspect.signature(door).return_annotation == "Response | Stream"
        assert {"custom_llm_provider", "api_base", "extra_headers", "stream", "timeout"} <= set(
            shown
        )


@pytest.mark.parametrize(
    "bad", [{"t": float("nan")}, {"t": float("inf")}, {"t": object()}, {"t": "\ud800"}]
)
def test_what_is_not_json_is_refused_by_name(bad):
    """A NaN must not travel as null, nor a lone surrogate as a question mark."""
    request = scillm.Request(
        route=scillm.Route(provider="p", model="m"),
        url="x:",
        read=lambda f: (),
        body={"model": "m", **bad},
    )
    with pytest.raises(BadRequestError, match="'t' cannot be sent as JSON"):
        request.encode()


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx: y", "ké", "\x00", "a\tb"])
def test_a_header_that_could_smuggle_another_is_refused(value):
    """And its value is not shown."""
    request = scillm.Request(
        route=scillm.Route(provider="p", model="m"),
        url="x:",
        read=lambda f: (),
        headers={"authorization": Secret(value)},
    )
    with pytest.raises(
        BadRequestError, match="header 'authorization' is not a single line"
    ) as info:
        request.wire_headers()
    assert value not in str(info.value)


def test_a_header_name_must_be_a_token():
    """A name with a colon or a space is none."""
    request = scillm.Request(
        route=scillm.Route(provider="p", model="m"),
        url="x:",
        read=lambda f: (),
        headers={"a: b": "c"},
    )
    with pytest.raises(BadRequestError, match="'a: b'"):
        request.wire_headers()
