"""Who is asked, how, what goes wrong, and what is then right. Tables; nothing happens here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RETRIES = 2
AT_MOST = 1 + RETRIES
"""Requests that one call may cost where asking again may help."""
PARALLEL = 4
TIMEOUT_S = 10.0
SHORT_TIMEOUT_S = 1.0
"""Where the client must give up a request by itself; not offered by one that has no such option."""
DEADLINE_S = 20.0
"""Seconds after which a cell that says nothing is stopped; it is then `waiting`."""
LONG_WAIT_S = 150
WATCH_S = 8.0
"""How long a wait of `LONG_WAIT_S` is watched: whoever asks again within it does not wait."""

DOORS: Mapping[str, str] = {
    "sync": "one call",
    "async": "one call in a loop of its own",
    "stream": "one async stream, read to its end",
    "router": "one async call by a router: the first deployment fails, its fallback is well",
    "parallel": f"{PARALLEL} calls at a time on one client",
}
WHOLE = ("sync", "async", "router", "parallel")


@dataclass(frozen=True)
class Peer:
    """Who is asked.

    Args:
        environment: the environment that it runs in.
        module: its adapter in `clients`.
        distribution: whose version is told.
        variables: environment variables of its processes.
    """

    environment: str
    module: str
    distribution: str
    variables: Mapping[str, str] = field(default_factory=dict)


PEERS: Mapping[str, Peer] = {
    "scillm": Peer("scillm", "ours", "scillm-kernel"),
    "scillm.httpx": Peer("scillm", "ours", "scillm-http", {"SCILLM_DISABLE_AIOHTTP": "1"}),
    "scillm.Router": Peer("scillm", "ours_router", "scillm-router"),
    "litellm": Peer("litellm", "litellm_sdk", "litellm", {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}),
    "litellm.Router": Peer(
        "litellm", "litellm_router", "litellm", {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    ),
    "openai": Peer("openai", "openai_sdk", "openai"),
    "any-llm": Peer("any-llm", "any_llm_sdk", "any-llm-sdk"),
    "aisuite": Peer("aisuite", "aisuite_sdk", "aisuite"),
    "edgequake": Peer("edgequake", "edgequake", "edgequake-litellm"),
}


@dataclass(frozen=True)
class Right:
    """What is right. All of it must hold, for each of the calls of a cell.

    Args:
        ends: how a call may end. `answered`: with the whole text that the endpoint sent.
            `raised`: with an error. `waiting`: not yet, when the time to watch is over.
            `closed`: cancelled, and its connection is closed. `quiet`: a stream that ends after its
            last piece without a finish reason. There are more, none of which is right anywhere.
        errors: an error bears one of these names, by its class or one above it.
        status: the error carries this status; 0 is any.
        requests: the most that one call may cost the (first) deployment.
        not_before_s: the call does not end sooner.
        tells_s: the error says so many seconds, in its text, in an attribute named after
            retry-after, or in the headers of its response.
        has_begun: pieces came before the error, and they are the beginning of the text.
    """

    ends: tuple[str, ...]
    errors: tuple[str, ...] = ()
    status: int = 0
    requests: int = AT_MOST
    not_before_s: float = 0.0
    tells_s: int = 0
    has_begun: bool = False


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and what is right then.

    Args:
        about: in words.
        options: of the endpoint's URL, beside `echo`.
        right: what is right through any door that `by_door` does not name.
        by_door: what is right through others.
        half: what counts for half, where `right` does not hold.
        doors: through which it is met.
        work: the function of `probe` that does the cell.
        timeout_s: the time limit of a request that the client is given.
        budget_s: the time limit of a call with all its attempts; 0 leaves the client's default.
            A client that has none is given it as `timeout_s`, which then is the same.
        watch_s: seconds after which the cell is stopped.
        retries: the attempts after the first that the client is given.
    """

    about: str
    options: str
    right: Right
    by_door: Mapping[str, Right] = field(default_factory=dict)
    half: Right | None = None
    doors: tuple[str, ...] = tuple(DOORS)
    work: str = "call"
    timeout_s: float = TIMEOUT_S
    budget_s: float = 0.0
    watch_s: float = DEADLINE_S
    retries: int = RETRIES

    @property
    def needs_timeout(self) -> bool:
        """Whether the client must end a request by itself."""
        return self.timeout_s == SHORT_TIMEOUT_S

    def right_through(self, door: str) -> Right:
        """What is right through a door."""
        return self.by_door.get(door, self.right)


RATE_LIMIT = ("RateLimitError",)
AUTH = ("AuthenticationError",)
NOT_FOUND = ("NotFoundError", "ModelNotFoundError")
UNPROCESSABLE = ("UnprocessableEntityError", "BadRequestError", "InvalidRequestError")
OWN = ("ScillmError", "OpenAIError", "AnyLLMError", "LLMError", "LiteLLMEdgeError")
"""The roots of the clients' errors: whoever bears one of these names is typed."""

ANSWERED = Right(("answered",))
TOLD = Right(("answered", "raised"), OWN)
GIVEN_UP = Right(("raised",), RATE_LIMIT, 429, requests=1, tells_s=LONG_WAIT_S)
GIVEN_UP_MUTE = Right(("raised",), RATE_LIMIT, 429, requests=1)
FALLEN_BACK = Right(("answered",), requests=1)
SAME = Right(("raised",), ("Exception",))
CUT = Right(("answered", "raised"), OWN, has_begun=True)

FAULTS: Mapping[str, Fault] = {
    "429": Fault("429, then well", "s429.ok", ANSWERED),
    "429-after-2": Fault(
        "429 with Retry-After: 2, then well",
        "s429.ok-ra2",
        Right(("answered",), not_before_s=1.9),
        {"router": ANSWERED},
    ),
    "429-after-150-short": Fault(
        "429 with Retry-After: 150, and 4 s for the call",
        f"429-ra{LONG_WAIT_S}",
        GIVEN_UP,
        {"router": FALLEN_BACK},
        GIVEN_UP_MUTE,
        timeout_s=4.0,
        budget_s=4.0,
        watch_s=WATCH_S,
    ),
    "429-after-150-long": Fault(
        "429 with Retry-After: 150, and 600 s for the call",
        f"429-ra{LONG_WAIT_S}",
        Right(("waiting",), requests=1),
        {"router": FALLEN_BACK},
        GIVEN_UP,
        timeout_s=600.0,
        budget_s=600.0,
        watch_s=WATCH_S,
    ),
    "503": Fault("503, then well", "s503.ok", ANSWERED),
    "401-x-api-key": Fault(
        "401 for a Bearer key, well with x-api-key",
        "xkey",
        # Whose key is refused is asked to say so; the name and status that litellm gives depend
        # on the wording of the server's message.
        Right(("answered", "raised"), (*AUTH, "BadRequestError", "LLMError"), requests=2),
    ),
    "401-quotes-key": Fault(
        "401 whose message quotes the key",
        "leak",
        Right(("raised",), AUTH, 401, requests=2),
        {"router": Right(("answered", "raised"), AUTH, 401, requests=2)},
    ),
    "404": Fault(
        "404", "404", Right(("raised",), NOT_FOUND, 404, requests=1), {"router": FALLEN_BACK}
    ),
    "422": Fault(
        "422",
        "422",
        Right(("raised",), UNPROCESSABLE, 422, requests=1),
        {"router": Right(("answered", "raised"), UNPROCESSABLE, 422, requests=1)},
    ),
    "timeout": Fault(
        "no answer, then well, and 1 s for a request",
        "shang.ok",
        ANSWERED,
        timeout_s=SHORT_TIMEOUT_S,
    ),
    "dropped-early": Fault("dropped before headers, then well", "sdrop.ok", ANSWERED),
    "dropped-body": Fault("dropped mid-body, then well", "strunc.ok", ANSWERED, doors=WHOLE),
    "dropped-stream": Fault("dropped mid-stream", "smid.ok", CUT, doors=("stream",)),
    "stalled-stream": Fault(
        "half of a stream, then nothing, and 1 s for a request",
        "stall",
        CUT,
        doors=("stream",),
        timeout_s=SHORT_TIMEOUT_S,
    ),
    "ended-stream": Fault(
        "a stream that ends without finish reason and end mark",
        "cutsse",
        CUT,
        half=Right(("quiet",)),
        doors=("stream",),
    ),
    "malformed": Fault("200 with malformed JSON, then well", "sbad.ok", TOLD),
    "html": Fault("200 with an HTML page, then well", "shtml.ok", TOLD),
    "empty": Fault("200 without choices, then well", "sempty.ok", TOLD),
    "pickle-404": Fault(
        "the error of a 404 after pickle and back", "404", SAME, doors=("sync",), work="pickled"
    ),
    "pickle-401": Fault(
        "the error of a 401 after pickle and back", "401", SAME, doors=("async",), work="pickled"
    ),
    "pickle-cut": Fault(
        "the error of a stream dropped half way after pickle and back",
        "smid.ok",
        SAME,
        doors=("stream",),
        work="pickled",
    ),
    "two-runs": Fault(
        "one client over two asyncio.run",
        "",
        ANSWERED,
        doors=("async", "stream", "parallel"),
        work="two_runs",
    ),
    "four-threads": Fault(
        "one client from 4 threads, each with its loop",
        "lat20",
        ANSWERED,
        doors=("sync", "async", "stream"),
        work="four_threads",
    ),
    "cancelled": Fault(
        "cancelled within the answer: the connection is closed",
        "stall",
        Right(("closed",), requests=1),
        doors=("async", "stream"),
        work="cancelled",
    ),
    "restart": Fault(
        "the server is killed after one call, and back 0.5 s into the next",
        "",
        ANSWERED,
        doors=("sync", "async", "stream"),
        work="restarted",
        retries=5,
    ),
}

CELLS: tuple[tuple[str, str], ...] = tuple(
    (name, door) for name, fault in FAULTS.items() for door in fault.doors
)
"""Fault and door of each cell, the same for all clients."""
