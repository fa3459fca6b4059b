"""Settings whose names are everybody's; only the sidecar's own process reads them.

They stand in no table of the plugin: a program that has a ``RETRIES`` of its own must not be told
that it cannot be read.
"""

from __future__ import annotations

from scillm import Setting

MAX_CONCURRENCY = Setting(
    name="MAX_CONCURRENCY", default=4, prefix="", help="commands that run at a time"
)
ABS_TIMEOUT_S = Setting(
    name="ABS_TIMEOUT_S", default=90.0, prefix="", help="seconds that a command may run"
)
IDLE_TIMEOUT_S = Setting(
    name="IDLE_TIMEOUT_S", default=25.0, prefix="", help="seconds that it may say nothing"
)
RETRIES = Setting(
    name="RETRIES", default=1, prefix="", help="times that it is run again after 70, 75 or silence"
)
