"""The options that an URL carries: `/o/<options>/v1/chat/completions`.

`lat50-s429.ok-ra1` is three options joined by `-`; the table in the package's docstring says what
each does. An option that is nobody's is an error that names the nearest: a test with a misspelt
fault must not pass because no fault came.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping

import attrs

from .options import DIRTY_JSON, FLAGS, Options
from .plan import Plan
from .steps import STEPS, is_step

_HOST = re.compile(r"^https?://[^/]*")


def plan_of(path: str) -> Plan:
    """The plan of an URL, its script at the beginning.

    Args:
        path: the request target.

    Raises:
        ValueError: the path carries an option that does not exist.
    """
    path = _HOST.sub("", path.partition("?")[0])  # a client that takes us for its proxy names one
    if not path.startswith("/o/"):
        return Plan(Options(), path)
    options, _, rest = path[3:].partition("/")
    return Plan(parse_options(options), f"/{rest}")


def parse_options(text: str) -> Options:
    """Read options joined by `-`.

    Args:
        text: for example `lat50-s429.ok-ra1`; "" is none.

    Raises:
        ValueError: an option or a step that does not exist, or a value that it cannot have.
    """
    options = Options()
    for word in filter(None, text.split("-")):
        options = _with_option(options, word)
    return options


def _with_option(options: Options, word: str) -> Options:
    """The options with one more word read."""
    if word in FLAGS:
        return attrs.evolve(options, flags=options.flags | {word})
    if word in DIRTY_JSON:
        return attrs.evolve(options, dirty=DIRTY_JSON[word])
    if word.startswith("id"):
        return options
    if word.startswith("redir"):
        status, _, host = word[5:].partition(".")
        return attrs.evolve(options, always=check_step(status), redirect_to=host)
    if is_step(word):
        return attrs.evolve(options, always=word)
    for prefix, read in _WITH_VALUE.items():
        if word.startswith(prefix):
            return _read(options, word, word[len(prefix) :], read)
    raise ValueError(_unknown("option", word, [*FLAGS, *DIRTY_JSON, *_WITH_VALUE, *STEPS]))


def _read(
    options: Options, word: str, value: str, read: Callable[[Options, str], Options]
) -> Options:
    """The options with the value of one word read; an error quotes the word."""
    try:
        return read(options, value)
    except ValueError as error:
        raise ValueError(f"the option {word!r} of the endpoint: {error}") from None


def check_step(word: str) -> str:
    """The step itself, if there is one of this name.

    Raises:
        ValueError: there is none.
    """
    if not is_step(word):
        raise ValueError(_unknown("step", word, [*STEPS]))
    return word


def _unknown(what: str, word: str, known: list[str]) -> str:
    """The message for a word that nobody knows."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"the endpoint has no {what} {word!r}{hint} (pytest_scillm.endpoint lists them)"


def _latency(options: Options, value: str) -> Options:
    latency, _, jitter = value.partition("~")
    return attrs.evolve(
        options, latency_s=float(latency) / 1e3, jitter_s=float(jitter or "0") / 1e3
    )


def _every(options: Options, value: str) -> Options:
    count, _, step = value.partition(".")
    return attrs.evolve(options, every=int(count), every_step=check_step(step))


def _retry(name: str) -> Callable[[Options, str], Options]:
    """A reader for an option that sets one of the headers that ask to wait."""

    def read(options: Options, value: str) -> Options:
        float(value)
        return attrs.evolve(options, retry_headers={**options.retry_headers, name: value})

    return read


# Longer prefixes first: `ram50` is not `ra` with the value `m50`.
_WITH_VALUE: Mapping[str, Callable[[Options, str], Options]] = {
    "choices": lambda options, value: attrs.evolve(options, choices=int(value)),
    "every": _every,
    "pause": lambda options, value: attrs.evolve(options, pause_s=float(value) / 1e3),
    "gap": lambda options, value: attrs.evolve(options, gap_s=float(value) / 1e3),
    "lat": _latency,
    "ram": _retry("retry-after-ms"),
    "ra": _retry("retry-after"),
    "sz": lambda options, value: attrs.evolve(options, size_chars=int(value)),
    "n": lambda options, value: attrs.evolve(options, chunks=int(value)),
    "s": lambda options, value: attrs.evolve(
        options, script=tuple(check_step(step) for step in value.split("."))
    ),
}
