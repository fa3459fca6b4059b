"""An app for plain uvicorn and for `scillm serve`: it ticks, and says back."""

import asyncio

import attrs

from scillm_serving import Events, Route, Rules, Server, application


@attrs.frozen
class Part:
    name: str
    size: int = 1


@attrs.frozen
class Wanted:
    title: str
    count: int
    ratio: float | None = None
    parts: list[Part] = attrs.field(factory=list)
    tags: dict[str, str] = attrs.field(factory=dict)
    choice: str | list[str] | None = None


async def back(asked):
    """Say back what was asked."""
    return asked.body


async def one(asked):
    """Say back the path."""
    return {"id": asked.path["id"]}


async def tick(asked):
    """Tick."""

    async def ticks():
        for number in range(8):
            yield {"n": number}
            await asyncio.sleep(0.1)

    return Events(ticks())


ROUTES = (
    Route(path="/things", answer=back, takes=Wanted, returns=Wanted),
    Route(path="/things/{id}", method="GET", answer=one),
    Route(path="/ticks", method="GET", answer=tick, streams=True),
)


def make(rules: Rules):
    """Make the app."""
    return application(ROUTES, rules, title="things")


SERVER = Server(make=make, port=0, summary="for tests")
app = make(Rules())
