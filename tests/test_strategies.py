"""The smallest strategies, those that the documentation shows, pass the kit."""

from contextlib import aclosing

from pytest_scillm import StrategyConformance
from scillm import hookimpl


class Timing:
    """A strategy that only looks on."""

    ORDER = 100

    @hookimpl(wrapper=True)
    def send(self):
        inner = yield
        return inner and self._timed(inner)

    def _timed(self, inner):
        async def send(request):
            async with aclosing(inner(request)) as events:
                async for event in events:
                    yield event

        return send


class TestTiming(StrategyConformance):
    """A wrapper with a Sender of its own."""

    plugin = Timing


class Nothing:
    """A wrapper that changes nothing."""

    @hookimpl(wrapper=True)
    def send(self):
        return (yield)


class TestNothing(StrategyConformance):
    """Handing on what is inside is a strategy too."""

    plugin = Nothing
