"""What the plugins would do with a call: who is asked, who answers, what would go out."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from scillm import doors
from scillm_cli.terminal import address, one_line, table

if TYPE_CHECKING:
    from pluggy import HookImpl

    from scillm import Call, Kernel, Request, Route

_ASKED_LATER = "asked in this order when there is an error or an answer"


@frozen(kw_only=True)
class Step:
    """One hook.

    Attributes:
        hook: Its name.
        wraps: Plugins that may change the answer, outermost first.
        idle: Those of them that would leave the Sender of this call as it is.
        asked: Plugins that were asked, first to last; the last is the one that answered.
        answered: Who answered, or None.
        refused: Who raised an error instead of answering, or None.
        unasked: Plugins that would have been asked had nobody answered before.
    """

    hook: str
    wraps: tuple[str, ...]
    asked: tuple[str, ...]
    answered: str | None
    refused: str | None = None
    unasked: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


@frozen(kw_only=True)
class Explanation:
    """A call's way through the hooks, as far as it can be known without sending.

    Attributes:
        model: What was asked for.
        steps: The hooks, in the order of a call.
        route: Who answers, or None.
        request: What would go out, secrets hidden, or None.
        problem: Why the call would fail before anything is sent, or ``""``.
    """

    model: str
    steps: tuple[Step, ...]
    route: dict[str, str] | None
    request: dict[str, Any] | None
    problem: str

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines for a person."""
        rows = [(step.hook, _words(step)) for step in self.steps]
        if self.route is not None:
            rows.append(("route", f"{self.route['provider']}, model {self.route['model']!r}"))
        if self.request is not None:
            rows.append(("request", f"{self.request['method']} {self.request['url']}"))
            rows += [
                ("header", f"{name}: {value}") for name, value in self.request["headers"].items()
            ]
            if self.request["body"] is not None:
                rows.append(("body", json.dumps(self.request["body"], ensure_ascii=False)))
        if self.problem:
            rows.append(("problem", self.problem))
        return "\n".join(table(rows))


def explained(kernel: Kernel, model: str, **arguments: Any) -> Explanation:
    """Ask the hooks that are pure, as a chat of one message would, and send nothing.

    Args:
        kernel: Whose plugins are asked.
        model: As a caller would write it.
        **arguments: ``provider`` and ``api_base``, or None.
    """
    call = doors.chat(
        kernel.plugins,
        model,
        [{"role": "user", "content": "..."}],
        custom_llm_provider=arguments.get("provider"),
        api_base=arguments.get("api_base"),
    )
    return _Walk(kernel, call).explanation()


class _Walk:
    """Goes through the hooks of one call; each step needs what the one before answered."""

    def __init__(self, kernel: Kernel, call: Call) -> None:
        self._kernel, self._call = kernel, call
        self._steps: list[Step] = []
        self._problem = ""

    def explanation(self) -> Explanation:
        call = self._call
        route: Route | None = self._ask("resolve_model", call=call)
        request: Request | None = None
        if route is not None:
            request = self._ask("prepare_request", call=call, route=route)
        if request is not None:
            self._ask("send", call=call, request=request)
        self._steps += [self._later(hook) for hook in ("classify_error", "post_process")]
        return Explanation(
            model=call.model,
            steps=tuple(self._steps),
            route=_answering(route) if route else None,
            request=_outgoing(request) if request else None,
            problem=self._problem,
        )

    def _ask(self, hook: str, **arguments: Any) -> Any:
        """Ask as the kernel does, with the wrappers, and note who had a part in it."""
        self._steps.append(self._one_by_one(hook, arguments))
        try:
            answer = getattr(self._kernel.plugins.manager.hook, hook)(**arguments)
        except Exception as error:  # noqa: BLE001  # a plugin may refuse the call, or have a bug: both are told
            self._problem = f"{hook}: {type(error).__name__}: {error}"
            return None
        if answer is None:
            self._problem = doors.nobody_answered(self._kernel.plugins, hook, **arguments)
        return answer

    def _one_by_one(self, hook: str, arguments: dict[str, Any]) -> Step:
        """Ask until somebody answers: pluggy does the same and does not tell who it was."""
        wraps, askers = _implementations(self._kernel, hook)
        asked: list[str] = []
        answered = refused = None
        while len(asked) < len(askers) and not (answered or refused):
            asker = askers[len(asked)]
            asked.append(asker.plugin_name)
            try:
                answer = asker.function(*(arguments[name] for name in asker.argnames))
            except Exception:  # noqa: BLE001  # the caller meets it again, and tells it
                refused = asker.plugin_name
            else:
                answered = None if answer is None else asker.plugin_name
        return Step(
            hook=hook,
            wraps=_names(wraps),
            asked=tuple(asked),
            answered=answered,
            refused=refused,
            unasked=_names(askers[len(asked) :]),
            idle=_names([one for one in wraps if hook == "send" and _is_idle(one, arguments)]),
        )

    def _later(self, hook: str) -> Step:
        wraps, askers = _implementations(self._kernel, hook)
        return Step(
            hook=hook,
            wraps=_names(wraps),
            asked=(),
            answered=None,
            unasked=_names(askers),
        )


def _names(implementations: list[HookImpl]) -> tuple[str, ...]:
    return tuple(one.plugin_name for one in implementations)


def _implementations(kernel: Kernel, hook: str) -> tuple[list[HookImpl], list[HookImpl]]:
    """Return wrappers and the others, each in the order in which pluggy calls them."""
    every = getattr(kernel.plugins.manager.hook, hook).get_hookimpls()[::-1]
    wraps = [one for one in every if one.wrapper or one.hookwrapper]
    return wraps, [one for one in every if one not in wraps]


def _is_idle(wrapper: HookImpl, arguments: dict[str, Any]) -> bool:
    """Whether a wrapper of ``send`` hands on what it wraps, as one does that is switched off."""
    steps: Any = wrapper.function(*(arguments[name] for name in wrapper.argnames))
    try:
        next(steps)
        steps.send(_inner)
    except StopIteration as end:
        return end.value is _inner
    except Exception:  # noqa: BLE001  # the whole hook is asked next, and tells it
        return False
    return False


async def _inner(request: Request) -> AsyncGenerator[Any, None]:
    raise AssertionError("explaining sends nothing")
    yield request


def _answering(route: Route) -> dict[str, str]:
    return {"provider": route.provider, "model": route.model}


def _outgoing(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": one_line(request.redact(address(request.url))),
        "headers": {name: str(value) for name, value in request.headers.items()},
        "body": json.loads(request.redact(request.encode().decode()) or "null"),
    }


def _words(step: Step) -> str:
    wraps = [name for name in step.wraps if name not in step.idle]
    said = [f"wrapped by {', '.join(wraps)}"] if wraps else []
    said += [f"off: {', '.join(step.idle)}"] if step.idle else []
    if step.asked:
        passed = [name for name in step.asked if name not in {step.answered, step.refused}]
        said += [f"not for {', '.join(passed)}"] if passed else []
        said += [f"answered by {step.answered}"] if step.answered else []
        said += [f"refused by {step.refused}"] if step.refused else []
        said += [f"not asked: {', '.join(step.unasked)}"] if step.unasked else []
    elif step.unasked:
        said.append(f"{_ASKED_LATER}: {', '.join(step.unasked)}")
    return "; ".join(said) or "nobody"
