"""Retries: a call that failed for a passing reason is made again, within limits of time and number.

Read ``plugin`` first, then ``policy`` (what the user allows) and ``run`` (one call being made).
"""

from __future__ import annotations

from scillm_retry.plugin import Retry

__all__ = ["Retry"]
