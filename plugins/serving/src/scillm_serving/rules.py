"""What a server allows: settings, and the value that an app is made with."""

from __future__ import annotations

from attrs import field, frozen

from scillm import Secret, Setting

TOKEN: Setting[str | None] = Setting(
    name="SERVE_TOKEN",
    default=None,
    is_secret=True,
    help="token that a server wants as Authorization: Bearer, or as x-api-key; none if unset",
)
MAX_BODY_BYTES = Setting(
    name="SERVE_MAX_BODY_BYTES", default=16 * 2**20, help="longest body that a server reads"
)
MAX_CONCURRENT = Setting(
    name="SERVE_MAX_CONCURRENT", default=256, help="requests that a server works on at a time"
)
DEADLINE_S = Setting(
    name="SERVE_DEADLINE_S", default=600.0, help="seconds that an answer may take, streams too"
)
BODY_S = Setting(
    name="SERVE_BODY_S", default=30.0, help="seconds in which a request's body must have come"
)
GRACEFUL_S = Setting(
    name="SERVE_GRACEFUL_S", default=30.0, help="seconds that running answers have at the end"
)
KEEP_ALIVE_S = Setting(
    name="SERVE_KEEP_ALIVE_S",
    default=0.0,
    help="seconds of silence after which a stream gets a comment; 0 for none",
)
METRICS = Setting(name="SERVE_METRICS", default=False, help="whether a server has /metrics")
SETTINGS = (
    TOKEN,
    MAX_BODY_BYTES,
    MAX_CONCURRENT,
    DEADLINE_S,
    BODY_S,
    GRACEFUL_S,
    KEEP_ALIVE_S,
    METRICS,
)


@frozen(kw_only=True)
class Rules:
    """What a server allows.

    Attributes:
        token: What a request must carry, or None; routes that are open need none.
        max_body_bytes: The longest body.
        max_concurrent: Requests at a time; one more is answered by 429.
        deadline_s: Seconds for an answer, from the end of the request's body to its own end.
        body_s: Seconds for the request's body.
        graceful_s: Seconds that running answers have when the server is asked to end.
        keep_alive_s: Seconds of silence after which a stream gets a comment; 0 for none.
        has_metrics: Whether there is ``/metrics``.
    """

    token: Secret | None = None
    max_body_bytes: int = field(default=MAX_BODY_BYTES.default)
    max_concurrent: int = field(default=MAX_CONCURRENT.default)
    deadline_s: float = field(default=DEADLINE_S.default)
    body_s: float = field(default=BODY_S.default)
    graceful_s: float = field(default=GRACEFUL_S.default)
    keep_alive_s: float = field(default=KEEP_ALIVE_S.default)
    has_metrics: bool = field(default=METRICS.default)

    @classmethod
    def set_by_environment(cls) -> Rules:
        """Return the rules that the settings say.

        Raises:
            SettingError: A variable cannot be read.
        """
        token = TOKEN.value()
        return cls(
            token=Secret(token) if token else None,
            max_body_bytes=MAX_BODY_BYTES.value(),
            max_concurrent=MAX_CONCURRENT.value(),
            deadline_s=DEADLINE_S.value(),
            body_s=BODY_S.value(),
            graceful_s=GRACEFUL_S.value(),
            keep_alive_s=KEEP_ALIVE_S.value(),
            has_metrics=METRICS.value(),
        )
