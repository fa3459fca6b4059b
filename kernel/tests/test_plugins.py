"""Finding, ordering, blocking, reporting."""

import pytest
from pluggy import PluginValidationError

from scillm import Kernel, Setting, SettingError, UnknownModelError, hookimpl
from scillm.plugins import Plugins


def _plugin(name, order=None, **hooks):
    return type(
        name, (), {"__name__": name, **({"ORDER": order} if order is not None else {}), **hooks}
    )()


def _tracing(name, seen, order=None):
    @hookimpl
    def resolve_model(self, call):
        seen.append(name)

    return _plugin(name, order, resolve_model=resolve_model)


def test_the_lowest_order_is_asked_first_whatever_the_order_given():
    """Ties go by name; no ORDER is 500."""
    seen = []
    plugins = [
        _tracing("b", seen),
        _tracing("z", seen, 100),
        _tracing("a", seen),
        _tracing("y", seen, 900),
    ]
    for given in (plugins, plugins[::-1]):
        seen.clear()
        Plugins.of(*given).manager.hook.resolve_model(call=None)
        assert seen == ["z", "a", "b", "y"]


def test_an_unknown_hook_is_refused_with_the_nearest_name():
    """A misspelt hook would never be called."""

    @hookimpl
    def sned(self):
        return None

    with pytest.raises(
        PluginValidationError, match="'sned', which is no hook. did you mean 'send'"
    ):
        Plugins.of(_plugin("p", sned=sned))


def test_a_forgotten_hookimpl_is_warned_of():
    """A hook without its mark would never be called, and nobody would know why."""

    def post_process(self, response):
        return response

    with pytest.warns(RuntimeWarning, match="'post_process' without @hookimpl, so it is never"):
        Plugins.of(_plugin("p", __module__=__name__, post_process=post_process))


def test_a_class_is_instantiated(echo):
    """As one that is installed is; what cannot be is refused at once."""
    kernel = Kernel.of(type(echo))
    assert kernel.completion("echo/m", [{"role": "user", "content": "hi"}]).text == "hi"
    with pytest.raises(TypeError, match="needed"):
        Kernel.of(type("P", (), {"__init__": lambda self, needed: None}))


def test_an_async_hook_is_refused_with_words():
    """Its coroutine would count as an answer."""

    @hookimpl
    async def send(self):
        return None

    with pytest.raises(PluginValidationError, match="an async function; hooks are plain functions"):
        Plugins.of(_plugin("p", send=send))


def test_an_unknown_argument_of_a_hook_is_refused():
    """Pluggy's own message says which."""

    @hookimpl
    def send(self, requst):
        return None

    with pytest.raises(PluginValidationError, match="requst"):
        Plugins.of(_plugin("p", send=send))


class _Entry:
    def __init__(self, name, load, dist="scillm-x 1"):
        self.name, self.load, self.group = name, load, "scillm.plugins"
        self.dist = type("Dist", (), dict(zip(("name", "version"), dist.split(), strict=True)))()


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these entry points are installed."""

    def pretend(*entries):
        monkeypatch.setattr("importlib.metadata.entry_points", lambda group: list(entries))
        return Plugins.installed()

    return pretend


def test_a_broken_plugin_is_listed_and_takes_nobody_down(installed, echo):
    """The reason stands in its state."""

    def broken():
        raise ModuleNotFoundError("No module named 'nonexistent_sdk'")

    plugins = installed(_Entry("bad", broken), _Entry("echo", lambda: echo))
    assert (
        plugins.infos["bad"].state
        == "failed: ModuleNotFoundError: No module named 'nonexistent_sdk'"
    )
    assert not plugins.infos["bad"].is_active
    assert plugins.infos["echo"].hooks == ("resolve_model", "prepare_request", "send")
    assert plugins.providers() == {"echo": "echo"}


def test_a_plugin_with_a_wrong_hook_is_listed_and_unasked(installed, echo):
    """Also when pluggy refuses it after taking half of its hooks."""

    @hookimpl
    def resolve_model(self, call):
        raise AssertionError("asked")

    @hookimpl
    def send(self, requst):
        return None

    wrong = _plugin("wrong", 1, resolve_model=resolve_model, send=send)
    plugins = installed(_Entry("wrong", lambda: wrong), _Entry("echo", lambda: echo))
    assert plugins.infos["wrong"].state.startswith("failed: PluginValidationError")
    assert Kernel(plugins).completion("echo/m", [{"role": "user", "content": "a"}]).text == "a"


def test_a_class_is_instantiated_once_per_kernel(installed):
    """So state lies on the instance, and kernels share none."""

    class Stateful:
        ORDER = 5

    first, second = (
        installed(_Entry("s", lambda: Stateful)),
        installed(_Entry("s", lambda: Stateful)),
    )
    assert isinstance(first.active()[0], Stateful)
    assert first.active()[0] is not second.active()[0]
    assert first.infos["s"].order == 5


@pytest.mark.parametrize(
    ("variable", "value", "state"),
    [
        ("SCILLM_PLUGINS_BLOCK", "scillm-My_Echo", "blocked by SCILLM_PLUGINS_BLOCK"),
        ("SCILLM_ENABLE_MY_ECHO", "0", "blocked by SCILLM_ENABLE_MY_ECHO=0"),
    ],
)
def test_a_blocked_plugin_is_not_even_imported(installed, monkeypatch, variable, value, state):
    """Blocking acts before import, and an unknown model is told of it."""
    monkeypatch.setenv(variable, value)
    plugins = installed(_Entry("my-echo", lambda: pytest.fail("imported")))
    assert plugins.infos["my-echo"].state == state
    with pytest.raises(UnknownModelError, match=r"not active: my-echo \(blocked by"):
        Kernel(plugins).completion("my-echo/m", [{"role": "user", "content": "a"}])


def test_a_switch_that_is_neither_yes_nor_no_blocks_its_plugin_alone(installed, monkeypatch, echo):
    """And says why."""
    monkeypatch.setenv("SCILLM_ENABLE_ODD", "perhaps")
    odd = _Entry("odd", lambda: pytest.fail("imported"))
    plugins = installed(odd, _Entry("echo", lambda: echo))
    assert plugins.infos["odd"].state.startswith("blocked: SCILLM_ENABLE_ODD='perhaps'")
    assert plugins.infos["echo"].is_active


def test_a_name_that_blocks_nothing_is_warned_of(installed, monkeypatch, echo):
    """It is likely misspelt; the nearest is named."""
    monkeypatch.setenv("SCILLM_PLUGINS_BLOCK", "ecco")
    with pytest.warns(
        RuntimeWarning, match="'ecco', which is no installed plugin. did you mean 'echo'"
    ):
        assert installed(_Entry("echo", lambda: echo)).infos["echo"].is_active


def test_a_setting_that_cannot_be_read_stops_a_kernel_of_what_is_installed(
    installed, monkeypatch, echo
):
    """Before anything is sent; the plugins themselves can still be listed."""
    echo.SETTINGS = (
        Setting(name="ECHO_TIMES", default=1),
        Setting(name="ECHO_PORT", default=1, prefix=""),
    )
    monkeypatch.setenv("ECHO_PORT", "tcp://of.something.else")
    assert installed(_Entry("echo", lambda: echo)).infos["echo"].is_active
    Kernel.installed()
    monkeypatch.setenv("SCILLM_ECHO_TIMES", "lots")
    assert Plugins.installed().infos["echo"].is_active
    with pytest.raises(SettingError, match="SCILLM_ECHO_TIMES='lots'"):
        Kernel.installed()


def test_a_legacy_name_is_warned_of_when_a_kernel_is_made(installed, monkeypatch, echo):
    """At the line that makes it, not at whatever call first reads it."""
    echo.SETTINGS = (Setting(name="ECHO_TIMES", default=1),)
    installed(_Entry("echo", lambda: echo))
    monkeypatch.setenv("LITELLM_ECHO_TIMES", "2")
    with pytest.warns(DeprecationWarning, match="LITELLM_ECHO_TIMES is legacy") as told:
        Kernel.installed()
    assert told[0].filename == __file__


def test_a_setting_that_a_plugin_reads_when_it_is_made_stops_a_kernel_too(installed, monkeypatch):
    """Rather than leaving the plugin out in silence."""
    switch = Setting(name="FAST", default=True)
    made = type("Fast", (), {"__init__": lambda self: switch.value() and None})
    monkeypatch.setenv("SCILLM_FAST", "maybe")
    assert installed(_Entry("fast", lambda: made)).infos["fast"].state.startswith("failed: Setting")
    with pytest.raises(SettingError, match="SCILLM_FAST='maybe'"):
        Kernel.installed()


def test_settings_and_options_are_collected(echo):
    """What plugins declare is what the doors accept."""
    from scillm import Setting

    echo.SETTINGS = (Setting(name="A", default=1, option="a_option"), Setting(name="B", default=1))
    plugins = Plugins.of(echo)
    assert [s.name for s in plugins.settings] == ["A", "B"]
    assert plugins.options == {"a_option"}


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("ORDER", "first", "ORDER = 'first', which is no int"),
        ("PROVIDERS", "mine", "PROVIDERS = 'mine', which is no tuple of str"),
        ("PROVIDERS", (1,), r"PROVIDERS = \(1,\), which is no tuple of str"),
        ("SETTINGS", ["X"], r"SETTINGS = \['X'\], which is no tuple of Setting"),
    ],
)
def test_an_attribute_of_another_type_is_refused_with_words(attribute, value, said):
    """It would be misread, or take the kernel down."""
    plugin = _plugin("p")
    setattr(type(plugin), attribute, value)
    with pytest.raises(PluginValidationError, match=said):
        Plugins.of(plugin)
