"""Not too fast: calls per second and minute, cool-downs after a 429, calls at a time.

Read ``plugin`` first. ``place`` is the state of one address, ``turnstile`` who is next.
"""

from scillm_pacing.plugin import Pacing

__all__ = ["Pacing"]
