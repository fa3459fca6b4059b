"""``scillm models``: which models each provider offers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from scillm_cli.group import complete_provider, kernel_of
from scillm_cli.terminal import address, one_line, tell

if TYPE_CHECKING:
    from scillm import Kernel, Request

WAIT_S = 10.0
"""How long one provider may take; all are asked at once."""


@define
class Listing:
    """What the providers said.

    Attributes:
        models: Models as the provider describes them, by provider.
        failed: Why a provider that was asked, or named by the user, did not list its models.
        left_out: Why a provider that nobody named was not asked.
        keyless: Those of the latter that lack a key alone.
    """

    models: dict[str, list[dict[str, Any]]] = field(factory=dict)
    failed: dict[str, str] = field(factory=dict)
    left_out: dict[str, str] = field(factory=dict)
    keyless: dict[str, None] = field(factory=dict)  # an ordered set

    def as_json(self) -> dict[str, Any]:
        """Return plain values, each model with the name that a call takes."""
        every = [
            {"model": _name(provider, model), "provider": provider, **model}
            for provider, models in self.models.items()
            for model in models
        ]
        return {"models": every, "failed": self.failed, "left_out": self.left_out}


@click.command()
@click.argument("providers", nargs=-1, metavar="[PROVIDER]...", shell_complete=complete_provider)
@click.option("--api-base", metavar="URL", help="Ask this address instead of the provider's own.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_context
def models(
    ctx: click.Context,
    providers: tuple[str, ...],
    api_base: str | None,
    is_json: bool,  # noqa: FBT001  # click passes options by name
) -> None:
    """List the models of each PROVIDER, or of all that are configured.

    Configured is who has a key, or needs none. Each is asked once; whoever does not answer
    within 10 s is a line on stderr. Exits with 1 if nobody lists any.
    """
    listing = asyncio.run(listed(kernel_of(ctx), providers, api_base))
    if is_json:
        import json

        click.echo(json.dumps(listing.as_json(), indent=2))
    else:
        _print(listing)
    _tell_of_the_rest(listing)
    if not listing.models:
        ctx.exit(1)


def _print(listing: Listing) -> None:
    for provider, offered in listing.models.items():
        for model in offered:
            click.echo(one_line(_name(provider, model)))


def _tell_of_the_rest(listing: Listing) -> None:
    for provider, why in listing.left_out.items():
        if provider not in listing.keyless:
            tell(f"not asked: {provider}: {why}")
    if listing.keyless:
        tell(f"not asked, for want of a key: {', '.join(listing.keyless)}")
    for provider, why in listing.failed.items():
        tell(f"no list: {provider}: {why}")


async def listed(kernel: Kernel, named: tuple[str, ...], api_base: str | None) -> Listing:
    """Ask providers for their models, all at once, each for at most ``WAIT_S`` seconds.

    Args:
        kernel: Whose plugins are asked.
        named: Provider names; none asks everyone whose request can be made.
        api_base: Address to ask instead of a provider's own, or None.
    """
    from scillm import AuthenticationError

    listing = Listing()
    providers = list(named) or _everyone(kernel, api_base)
    asked: dict[tuple[str, str], str] = {}  # a provider may go by several names
    for provider in providers:
        try:
            request = _request(kernel, provider, api_base)
        except Exception as error:  # noqa: BLE001  # a plugin's bug is a line too, and no failure of the rest
            name = getattr(error, "llm_provider", "") or provider
            (listing.failed if named else listing.left_out)[name] = _why(error, name)
            if isinstance(error, AuthenticationError) and not named:
                listing.keyless[name] = None
        else:
            asked.setdefault((request.route.provider, request.url), provider)
    async with kernel:
        await asyncio.gather(*(_ask(kernel, one, api_base, listing) for one in asked.values()))
    listing.models = {one: listing.models[one] for one in asked.values() if one in listing.models}
    return listing


def _everyone(kernel: Kernel, api_base: str | None) -> list[str]:
    """Return every provider; with an address alone, the one that takes any address."""
    if api_base is None:
        return list(kernel.plugins.providers())
    from scillm import doors

    call = doors.chat(kernel.plugins, "any", api_base=api_base)
    route = kernel.plugins.manager.hook.resolve_model(call=call)
    if route is None:
        raise click.UsageError("no installed plugin takes an address alone: name the PROVIDER too")
    return [route.provider]


def _request(kernel: Kernel, provider: str, api_base: str | None) -> Request:
    """Return what would be sent; whether it can be made tells whether a provider is configured.

    Raises:
        ScillmError: The provider is unknown, or lacks a key or an address.
    """
    from scillm import BadRequestError, UnknownModelError, doors

    hook = kernel.plugins.manager.hook
    call = doors.models(kernel.plugins, provider, **_told(provider, api_base))
    route = hook.resolve_model(call=call)
    request: Request | None = route and hook.prepare_request(call=call, route=route)
    if request is None:
        raise UnknownModelError(doors.nobody_answered(kernel.plugins, "resolve_model", call=call))
    if ":" not in request.url:
        raise BadRequestError(
            "no address: pass --api-base URL", llm_provider=request.route.provider
        )
    return request


async def _ask(kernel: Kernel, provider: str, api_base: str | None, listing: Listing) -> None:
    try:
        once = {"max_retries": 0} if "max_retries" in kernel.plugins.options else {}
        work = kernel.amodels(provider, timeout=WAIT_S, **once, **_told(provider, api_base))
        answer = await asyncio.wait_for(work, WAIT_S)
        listing.models[provider] = [model.to_dict() for model in answer.data]
    except (TimeoutError, asyncio.TimeoutError):  # two classes until Python 3.11
        listing.failed[provider] = f"no answer within {WAIT_S:g} s"
    except Exception as error:  # noqa: BLE001  # what one provider does must not lose the others' lists
        listing.failed[provider] = _why(error, provider)


def _told(provider: str, api_base: str | None) -> dict[str, Any]:
    """Name the provider apart: with an address, a prefix would count as part of the model."""
    return {"custom_llm_provider": provider, "api_base": api_base}


def _name(provider: str, model: dict[str, Any]) -> str:
    return f"{provider}/{model.get('id')}"


def _why(error: Exception, provider: str) -> str:
    from scillm import ScillmError

    is_meant = isinstance(error, ScillmError)
    said = str(error).removeprefix(f"{provider}: ")
    return one_line(address(said if is_meant else f"{type(error).__name__}: {error}"))
