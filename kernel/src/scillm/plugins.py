"""Finding, ordering, blocking and reporting plugins.

A plugin is a module, or a class that is instantiated once per kernel, which an installed
distribution names in the entry-point group ``scillm.plugins``. Besides hooks it may carry
``ORDER`` (100 observe, 200 answer from memory, 300 persist, 400 spend, 500 providers,
900 transports; lowest is outermost), ``PROVIDERS``, ``SETTINGS`` and ``aclose``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any

from attrs import define, field, frozen
from pluggy import PluginManager, PluginValidationError

from scillm import hookspecs
from scillm._defaults import Defaults
from scillm.errors import SettingError, hint
from scillm.settings import KERNEL_SETTINGS, Setting, blocked_names, warn, why_blocked

GROUP = "scillm.plugins"
DEFAULT_ORDER = 500
_ATTRIBUTES: tuple[tuple[str, type[Any], type[Any] | None], ...] = (
    ("ORDER", int, None),
    ("PROVIDERS", tuple, str),
    ("SETTINGS", tuple, Setting),
)
_MACHINERY = ("pluggy.", "asyncio.", "scillm._portal")
HOOKS = ("resolve_model", "prepare_request", "send", "classify_error", "post_process")


@frozen(kw_only=True)
class PluginInfo:
    """What became of one plugin; a line of ``scillm plugins``.

    Attributes:
        name: Entry-point name.
        dist: Distribution and version, or ``"given"``.
        order: Its place; lowest is outermost.
        hooks: The hooks it implements.
        providers: The provider names it answers for.
        state: ``"active"``, or why it is not.
    """

    name: str
    dist: str
    order: int = DEFAULT_ORDER
    hooks: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    state: str = "active"

    @property
    def is_active(self) -> bool:
        """Whether its hooks are asked."""
        return self.state == "active"


@frozen
class _Found:
    name: str
    dist: str
    plugin: Any

    @property
    def place(self) -> tuple[int, str]:
        order = getattr(self.plugin, "ORDER", DEFAULT_ORDER)
        return order if isinstance(order, int) else DEFAULT_ORDER, self.name


@define(eq=False)
class Plugins:
    """A set of plugins, asked in order, with a record of what became of each."""

    manager: PluginManager = field(factory=lambda: PluginManager("scillm"))
    infos: dict[str, PluginInfo] = field(factory=dict)
    settings: tuple[Setting[Any], ...] = ()
    options: frozenset[str] = frozenset()
    misset: SettingError | None = None  # why one could not be made

    def __attrs_post_init__(self) -> None:
        self.manager.add_hookspecs(hookspecs)
        self.manager.register(Defaults(self.manager.hook), "kernel")

    @classmethod
    def of(cls, *plugins: Any) -> Plugins:
        """Exactly these plugins: modules, instances or classes; nothing is discovered."""
        self = cls()
        self._register(map(_given, plugins))
        return self

    @classmethod
    def installed(cls, *more: Any) -> Plugins:
        """Every installed plugin that is not blocked, and *more*."""
        self = cls()
        self._register([*self._discover(), *map(_given, more)])
        return self

    def read_settings(self) -> None:
        """Read each setting once, so that one that is not valid is told before a call.

        Others' variables are left out: they may be set for others, and mean something else.

        Raises:
            SettingError: One is not.
        """
        if self.misset:
            raise self.misset
        for setting in (*KERNEL_SETTINGS, *self.settings):
            if setting.prefix:
                setting.value()

    def active(self) -> list[Any]:
        """The plugins whose hooks are asked, outermost first."""
        ordered = sorted(self.infos.values(), key=lambda info: (info.order, info.name))
        return [self.manager.get_plugin(info.name) for info in ordered if info.is_active]

    def providers(self) -> dict[str, str]:
        """Provider name to the name of the plugin that answers for it."""
        active = (info for info in self.infos.values() if info.is_active)
        return {provider: info.name for info in active for provider in info.providers}

    def blamed(self, error: Exception) -> str:
        """Say in which plugin *error* arose, by the module of the innermost frame of one."""
        homes = {_home(self.manager.get_plugin(name)): name for name in self.infos}
        frame, who = error.__traceback__, "a plugin"
        while frame is not None:
            package = frame.tb_frame.f_globals.get("__name__", "")
            who = next((f"plugin {homes[h]!r}" for h in homes if h and _is_in(package, h)), who)
            frame = frame.tb_next
        return who

    def answering(self, hook: str, answer: object, arguments: Mapping[str, Any]) -> str:
        """Say which plugin answers *hook* so, by asking one by one: pluggy does not tell."""
        for one in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            if not one.wrapper:
                own = one.function(*(arguments[name] for name in one.argnames))
                if type(own) is type(answer):
                    return f"plugin {one.plugin_name!r}"
                if own is not None:
                    break
        return "a wrapper"

    def _discover(self) -> Iterator[_Found]:
        from importlib.metadata import entry_points  # slow to import: only discovery needs it

        entries = list(entry_points(group=GROUP))
        _warn_of_unknown(entry.name for entry in entries)
        for entry in entries:
            dist = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "?"
            if why := why_blocked(entry.name):
                self._record(_Found(entry.name, dist, None), state=why)
                continue
            try:
                loaded = entry.load()
                yield _Found(entry.name, dist, loaded() if isinstance(loaded, type) else loaded)
            except Exception as error:  # noqa: BLE001  # one broken plugin must not take the others down
                self.misset = error if isinstance(error, SettingError) else self.misset
                self._record(_Found(entry.name, dist, None), state=_failed(error))

    def _register(self, found: Iterable[_Found]) -> None:
        # pluggy asks the last registered first; the lowest ORDER shall be asked first.
        for one in sorted(found, key=lambda each: each.place, reverse=True):
            try:
                _check(one)
                self.manager.register(one.plugin, one.name)
            except (PluginValidationError, ValueError) as error:
                if one.dist == "given":
                    raise
                if self.manager.get_plugin(one.name) is one.plugin:
                    self.manager.unregister(name=one.name)  # pluggy leaves it half registered
                self._record(one, state=_failed(error))
            else:
                self._record(one, state="active")
        self.settings = tuple(s for p in self.active() for s in getattr(p, "SETTINGS", ()))
        self.options = frozenset(s.option for s in self.settings if s.option)

    def _record(self, one: _Found, *, state: str) -> None:
        self.infos[one.name] = PluginInfo(
            name=one.name,
            dist=one.dist,
            order=one.place[0],
            hooks=tuple(hook for hook in HOOKS if _implements(one.plugin, hook)),
            providers=getattr(one.plugin, "PROVIDERS", ()) if state == "active" else (),
            state=state,
        )


def _warn_of_unknown(installed: Iterable[str]) -> None:
    """Say which name in ``SCILLM_PLUGINS_BLOCK`` blocks nothing: it is likely misspelt."""
    known = list(installed)
    blocking = {name for name in known if why_blocked(name)}
    written = blocked_names()
    for plain, name in written.items():
        if plain not in {blocked.lower().replace("_", "-") for blocked in blocking}:
            said = f"SCILLM_PLUGINS_BLOCK names {name!r}, which is no installed plugin."
            warn(f"{said} {hint(plain, known)}".rstrip())


def past_machinery(trace: TracebackType | None) -> TracebackType | None:
    """Return where a trace that goes through pluggy, or an event loop, comes out of it."""
    out = trace
    while trace and trace.tb_next:
        if trace.tb_frame.f_globals.get("__name__", "").startswith(_MACHINERY):
            out = trace.tb_next
        trace = trace.tb_next
    return out


def _given(plugin: Any) -> _Found:
    made = plugin() if isinstance(plugin, type) else plugin
    return _Found(_name(made), "given", made)


def _name(plugin: Any) -> str:
    name = getattr(plugin, "__name__", None) or type(plugin).__name__
    return str(name).rpartition(".")[2]


def _home(plugin: Any) -> str:
    is_module = hasattr(plugin, "__spec__")
    return str(plugin.__name__ if is_module else type(plugin).__module__) if plugin else ""


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _failed(error: Exception) -> str:
    return f"failed: {type(error).__name__}: {error}"


def _implements(plugin: Any, hook: str) -> bool:
    return hasattr(getattr(plugin, hook, None), "scillm_impl")


def _check(one: _Found) -> None:
    """Refuse what pluggy would accept and never call, or call and misread.

    Raises:
        PluginValidationError: An unknown hook, an ``async def`` one, or an attribute that the
            kernel reads and that has another type.
    """
    for attribute, kind, item in _ATTRIBUTES:
        value = getattr(one.plugin, attribute, kind())
        if not isinstance(value, kind) or (item and not all(isinstance(v, item) for v in value)):
            what = f"tuple of {item.__name__}" if item else kind.__name__
            raise PluginValidationError(
                one.plugin, f"plugin {one.name!r} has {attribute} = {value!r}, which is no {what}"
            )
    home = _home(one.plugin)
    for name in HOOKS:
        module = getattr(getattr(one.plugin, name, None), "__module__", None)
        if module and _is_in(module, home) and not _implements(one.plugin, name):
            warn(
                f"plugin {one.name!r} has a function {name!r} without @hookimpl, so it is never "
                "called: mark it with `@scillm.hookimpl`, or give it another name"
            )
    kind_of = type(one.plugin)
    for name in dir(one.plugin):
        is_computed = isinstance(getattr(kind_of, name, None), property)  # perhaps at a cost
        if not (is_computed or name.startswith("_")) and _implements(one.plugin, name):
            _check_hook(one, name)


def _check_hook(one: _Found, name: str) -> None:
    if name not in HOOKS:
        said = f"plugin {one.name!r} implements {name!r}, which is no hook."
        raise PluginValidationError(one.plugin, f"{said} {hint(name, HOOKS)}".rstrip())
    if iscoroutinefunction(getattr(one.plugin, name)):
        raise PluginValidationError(
            one.plugin,
            f"plugin {one.name!r} makes the hook {name!r} an async function; hooks are plain"
            " functions, and only the Sender that `send` returns may await",
        )
